package reorder

import (
	"github.com/streamrun/streamrun/policies"
)

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
		if !s.room(1) {
			s.refuseHeld(ev)
			return
		}
		s.settle(ev)
		s.letter(ev, policies.ReasonCauseCycle, 18, true)
		s.parkAs(policies.ReasonEntityParked, 18)
		return
	}
	number := ev.Number
	if s.held.Get(number) == nil {
		s.hold(ev, false, 18, 0)
		if s.held.Get(number) == nil {
			return // paused, or parked
		}
	}
	x := s.row.more()
	x.causal = timer{set: true, on: true, number: number, due: s.now + s.wait, arm: s.arm()}
}

// refuseHeld keeps an event whose letter does not fit: the one in hand is paused,
// any other is asked about again later.
func (s *Sequencer) refuseHeld(ev *Event) {
	if ev.state == stateFresh {
		s.pause(ev, 19)
		return
	}
	s.tryAgain(ev, tryLook)
}

// loops reports whether the chain of causes leads back to the event or is too long.
func (s *Sequencer) loops(ev *Event) bool {
	id := idOf(&ev.Metadata)
	cause := ev.Causation
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
	if e == nil {
		return
	}
	switch s.contract.OnTimeout {
	case policies.OnTimeoutSkip:
		if !s.row.retrying() {
			s.apply(e, tryUnordered, false)
			return
		}
	case policies.OnTimeoutRebuild:
		s.askRebuild(e.Number, 18)
		return
	case policies.OnTimeoutHold:
		s.alarm(e.Number, 18)
		return
	default:
		if s.room(1) {
			s.settle(e)
			s.letter(e, policies.ReasonCauseTimeout, 18, true)
			s.parkAs(policies.ReasonEntityParked, 18)
			return
		}
	}
	// It cannot be done now: ask again a little later.
	x.causal.on, x.causal.due, x.causal.arm = true, s.now+s.delay, s.arm()
}

// idOf is the id of an event: its idempotency key, or what is derived from entity,
// epoch and sequence.
func idOf(m *policies.Metadata) string {
	if m.ID != "" {
		return m.ID
	}
	return DerivedID(m.Entity, m.Epoch, m.Sequence)
}
