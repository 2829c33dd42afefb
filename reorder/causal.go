package reorder

import "github.com/streamrun/streamrun/policies"

// causeMissing reports whether the event must wait for its cause (R18). Causal
// contracts are sequence contracts.
func (s *Sequencer) causeMissing(ev *Event) bool {
	return s.contract.Causal && s.bySeq && ev.Causation != "" && !s.outside.CauseApplied(ev.Causation)
}

// causallyHeld reports whether the event of the number is held for its cause.
func (s *Sequencer) causallyHeld(number int64) bool {
	x := s.row.rare
	return x != nil && x.causal.set && x.causal.number == number
}

// holdForCause holds the event whose turn it is until its cause is applied.
func (s *Sequencer) holdForCause(ev *Event) {
	if s.loops(ev) {
		s.parkFor(ev, policies.ReasonCauseCycle)
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

// parkFor dead-letters an event because of its cause and parks the entity.
func (s *Sequencer) parkFor(ev *Event, reason policies.Reason) {
	if ev.state != stateFresh && !s.room(1) {
		s.tryAgain(ev, tryLook) // its letter does not fit: it is asked about again later
		return
	}
	s.settle(ev)
	if s.letter(ev, reason, 18, true) {
		s.park(policies.ReasonEntityParked, 18)
	}
}

// loops reports whether the chain of causes leads back to the event or is too long.
func (s *Sequencer) loops(ev *Event) bool {
	id, cause := idOf(&ev.Metadata), ev.Causation
	for depth := 1; cause != ""; depth++ {
		if cause == id || depth > s.contract.MaxDepth {
			return true
		}
		cause = s.outside.CauseOf(cause)
	}
	return false
}

// fireCausal does what the contract says when the cause does not come (R18).
func (s *Sequencer) fireCausal() {
	x := s.row.rare
	e := s.held.Get(x.causal.number)
	switch s.contract.OnTimeout {
	case policies.OnTimeoutSkip:
		if !s.row.retrying() {
			s.apply(e, tryUnordered, false)
			return
		}
		x.causal.on, x.causal.due, x.causal.arm = true, s.now+s.delay, s.arm() // ask again once the entity waits no more
	case policies.OnTimeoutRebuild:
		s.askRebuild(e.Number, e.Number, 18)
	case policies.OnTimeoutHold:
		s.alarm(e.Number, 18)
	default:
		s.parkFor(e, policies.ReasonCauseTimeout)
	}
}
