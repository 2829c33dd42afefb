package reorder

import "github.com/streamrun/streamrun/topology"

// Settled implements topology.OrderMachine. An apply ends its step and has changed
// nothing yet; all other decisions are done when they are made. A record in hand
// that nothing was decided about is not counted yet, and a command that has not
// begun is remembered nowhere.
func (m *Machine) Settled() bool {
	return !m.flying && !m.hand.full && !m.seq.undecided() && len(m.commands) == 0 && (m.at == len(m.out) || m.out[m.at].Kind == topology.DecideApply || m.out[m.at].Kind == topology.DecideCompensate)
}
