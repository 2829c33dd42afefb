package reorder

import "github.com/streamrun/streamrun/topology"

// Settled implements topology.OrderMachine. An apply ends its step and has changed
// nothing yet; all other decisions are done when they are made.
func (m *Machine) Settled() bool {
	return !m.flying && (m.at == len(m.out) || m.out[m.at].Kind == topology.DecideApply || m.out[m.at].Kind == topology.DecideCompensate)
}
