package reorder

// Settled implements topology.OrderMachine. All that is decided has been handed out. A
// record in hand that nothing was decided about is not counted yet, and a command that
// has not begun is remembered nowhere.
func (m *Machine) Settled() bool {
	return !m.flying && m.at == len(m.out) && !m.hand.full && !m.seq.undecided() && len(m.commands) == 0
}
