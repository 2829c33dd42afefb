package runner

import (
	"errors"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// checkContracts asks the contracts what Build, which does not know the guarantee,
// could not ask them.
func checkContracts(plans []*task.Plan, g Guarantee) error {
	facts := policies.Facts{SequencedPaths: true, AtLeastOnce: g == AtLeastOnce}
	var errs []error
	for _, p := range plans {
		for _, n := range p.Sub.Nodes {
			if o, ok := n.Order.(topology.Order); ok {
				if err := o.Contract().Validate(facts); err != nil {
					errs = append(errs, n.Fail("%w", err))
				}
			}
		}
	}
	return errors.Join(errs...)
}
