package runner

import (
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// An early is what a worker does of the next transaction while the one before it has not
// ended and nothing more fits into a batch: it takes the batches, and encodes their
// outputs as long as it would wait.
type early struct {
	batches  []*task.Batch
	encoding kafka.Encoding // nil: outputs are encoded when they are produced
	left     bool           // there may be more to encode
}

// more encodes some more; false: nothing was left.
func (e *early) more() bool {
	if !e.left {
		return false
	}
	e.left = e.encoding.More()
	return true
}

// of returns what is encoded of a transaction. It is nothing when a task was lost
// meanwhile: none of its outputs may be written.
func (e *early) of(parts []part) *early {
	if e == nil || e.encoding == nil {
		return nil
	}
	for _, b := range e.batches {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.batch == b }) {
			return nil
		}
	}
	return e
}

func (e *early) has(b *task.Batch) bool { return e != nil && slices.Contains(e.batches, b) }
