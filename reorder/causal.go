package reorder

import "github.com/streamrun/streamrun/policies"

// causeMissing reports whether the event must wait for its cause (R18). Causal
// contracts are sequence contracts.
func (s *Sequencer) causeMissing(ev *Event) bool {
	return s.contract.Causal && s.bySeq && ev.Causation != "" && !s.outside.CauseApplied(ev.Causation)
}

// unasked says how an event is applied that does not wait for its cause: only what
// has its turn is asked for it.
func (s *Sequencer) unasked(ev *Event) tryKind {
	if s.causeMissing(ev) {
		return tryUnordered
	}
	return tryOrder
}

// causallyHeld reports whether the event of the number is held for its cause.
func (s *Sequencer) causallyHeld(number int64) bool {
	x := s.row.rare
	return x != nil && x.causal.set && x.causal.number == number
}

// endCausal ends the wait of an event for its cause.
func (s *Sequencer) endCausal(e *Event) {
	if s.causallyHeld(e.Number) {
		s.row.rare.causal = timer{}
	}
}

// holdForCause holds the event whose turn it is until its cause is applied.
func (s *Sequencer) holdForCause(ev *Event) {
	if s.loops(ev) {
		s.parkWith(ev, policies.ReasonCauseCycle, 18)
		return
	}
	number := ev.Number
	if s.held.Get(number) != ev {
		s.hold(ev, false, 18, 0)
		if s.held.Get(number) == nil {
			return // paused, or parked
		}
	}
	s.row.more().causal = timer{set: true, on: true, number: number, due: s.now + s.wait, arm: s.arm()}
}

// loops reports whether the chain of held causes leads back to the event or is too long.
func (s *Sequencer) loops(ev *Event) bool {
	id, cause := idOf(&ev.Metadata), ev.Causation
	for depth := 0; cause != id && depth <= s.contract.MaxDepth; depth++ {
		held := false
		if cause, held = s.outside.CauseOf(cause); !held || cause == "" && depth < s.contract.MaxDepth {
			return false
		}
	}
	return true
}

// fireCausal does what the contract says when the cause does not come (R18).
func (s *Sequencer) fireCausal() {
	x := s.row.rare
	e := s.held.Get(x.causal.number)
	switch s.contract.OnTimeout {
	case policies.OnTimeoutSkip:
		s.apply(e, tryUnordered, false)
	case policies.OnTimeoutRebuild, policies.OnTimeoutHold: // the cause is no event of the entity: no rebuild brings it
		x.causal.on = false
		s.alarm(e.Number, 18)
	default:
		if !s.parkable(e, 1) { // asked again a little later
			c := &x.causal
			c.on, c.due, c.arm = true, s.now+s.delay, s.arm()
			return
		}
		s.parkWith(e, policies.ReasonCauseTimeout, 18)
	}
}
