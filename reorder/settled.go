package reorder

import "github.com/streamrun/streamrun/topology"

// Settled implements topology.OrderMachine. An apply ends its step and has changed
// nothing yet; all other decisions are done when they are made. A record in hand
// that nothing was decided about is not counted yet.
func (m *Machine) Settled() bool {
	return !m.flying && !m.hand.full && m.seq.deferred == nil && (m.at == len(m.out) || m.out[m.at].Kind == topology.DecideApply || m.out[m.at].Kind == topology.DecideCompensate)
}
