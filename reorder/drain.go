package reorder

import (
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// drain applies held events while one is next, and decides the waiting ones again.
// It ends at an apply, and reports whether the budget cut it.
func (s *Sequencer) drain() (more bool) {
	if s.row.parked {
		return s.evacuate()
	}
	for !s.flight.active && !s.row.retrying() && s.drainable() {
		if len(s.out) >= s.budget {
			return true
		}
		s.drainOne()
		if s.row.parked {
			return s.evacuate()
		}
	}
	return false
}

// drainable reports whether drainOne has something to decide.
func (s *Sequencer) drainable() bool {
	e := s.held.Min()
	if e == nil || s.row.parked || s.row.retrying() {
		return false
	}
	if x := s.row.rare; x != nil && len(x.waiting) > 0 {
		return true
	}
	if !s.bySeq {
		return false
	}
	next := s.row.next()
	return e.Number <= next && (!s.causallyHeld(e.Number) || !s.causeMissing(e))
}

// drainOne decides about the held event whose turn it is, or about the first that waits.
func (s *Sequencer) drainOne() {
	e := s.held.Min()
	if s.bySeq && e.Number == s.row.next() && !(s.causallyHeld(e.Number) && s.causeMissing(e)) {
		s.inOrder(e)
		return
	}
	x := s.row.more()
	if len(x.waiting) == 0 {
		s.again(e) // a number that was passed while it waited
		return
	}
	if s.byTime {
		s.releaseWaiting()
		return
	}
	i := 0
	for j, n := range x.waiting {
		if n < x.waiting[i] {
			i = j
		}
	}
	e = s.held.Get(x.waiting[i])
	x.waiting = slices.Delete(x.waiting, i, i+1)
	if e != nil && e.waiting {
		s.again(e)
	}
}

// again decides about a held event as if it came now.
func (s *Sequencer) again(e *Event) {
	s.held.Delete(e)
	e.waiting = false
	s.place(e, false)
	if s.flight.active && s.flight.ev == e {
		s.held.Put(e) // it waits for its outcome where it was
	}
}

// release applies a held event that the watermark passed (R17).
func (s *Sequencer) release(e *Event) {
	e.released = true
	if s.row.parked || s.row.retrying() || (s.row.rare != nil && s.row.rare.draining) {
		s.row.more().waiting = append(s.row.more().waiting, e.Number)
		return
	}
	s.apply(e, tryOrder, false)
}

// releaseWaiting applies the earliest of the released events that had to wait for a retry.
func (s *Sequencer) releaseWaiting() {
	x := s.row.more()
	var first *Event
	at := 0
	for i, n := range x.waiting {
		if e := s.held.Get(n); e != nil && (first == nil || earlier(e, first)) {
			first, at = e, i
		}
	}
	if first == nil {
		x.waiting = x.waiting[:0]
		return
	}
	x.waiting = slices.Delete(x.waiting, at, at+1)
	s.apply(first, tryOrder, false)
}

// rearm sees to the timer and the rebuild request of the head hole (R11): they
// stand while a held event waits for the missing ones, and begin anew when next changes.
func (s *Sequencer) rearm() {
	row, x := s.row, s.row.rare
	e := s.held.Min()
	if !s.bySeq || row.parked || e == nil || s.contract.Gap != policies.GapBuffer && s.contract.Gap != policies.GapRebuild {
		if x != nil {
			x.hole = timer{}
		}
		return
	}
	next := row.next()
	if e.Number <= next || row.trying(next) != nil {
		if x != nil {
			x.hole = timer{}
		}
		return
	}
	x = row.more()
	if !x.hole.set || x.hole.number != next {
		x.hole = timer{set: true, on: true, number: next, due: s.now + s.wait, arm: s.arm()}
		s.emit(topology.Decision{Kind: topology.DecideArm, Rule: 11, Due: x.hole.due, From: next})
	}
	if s.contract.Gap == policies.GapRebuild {
		s.askRebuild(next, 10)
	}
}

// askRebuild requests a rebuild from the first number of a hole, once per hole.
func (s *Sequencer) askRebuild(next int64, rule policies.Rule) {
	if x := s.row.more(); !x.asked.is(next) {
		x.asked = mark{true, next}
		s.emit(topology.Decision{Kind: topology.DecideRequestRebuild, Rule: rule, From: next})
	}
}

// fire fires the earliest timer of the entity if it is due.
func (s *Sequencer) fire() {
	t, x := s.row.timer(), s.row.rare
	if !t.on || t.due > s.now {
		return
	}
	switch {
	case x.hole.on && x.hole.arm == t.arm:
		x.hole.on = false
		s.fireHole()
	case x.causal.on && x.causal.arm == t.arm:
		x.causal.on = false
		s.fireCausal()
	default:
		for _, e := range x.tries {
			if e.arm == t.arm {
				s.fireTry(e)
				return
			}
		}
	}
}

// fireHole does what the contract says when the head hole stays open (R11).
func (s *Sequencer) fireHole() {
	next := s.row.next()
	switch s.contract.OnTimeout {
	case policies.OnTimeoutSkip:
		if s.row.full(s.contract.MaxHoles) {
			s.parkAs(policies.ReasonGapTimeout, 11)
			return
		}
		s.skip(11)
	case policies.OnTimeoutRebuild:
		s.askRebuild(next, 11)
	case policies.OnTimeoutHold:
		s.alarm(next, 11)
	default:
		s.parkAs(policies.ReasonGapTimeout, 11)
	}
}

// alarm says, once per hole, that it stays open past its wait.
func (s *Sequencer) alarm(next int64, rule policies.Rule) {
	if x := s.row.more(); !x.rung.is(next) {
		x.rung = mark{true, next}
		s.emit(topology.Decision{Kind: topology.DecideAlarm, Rule: rule, From: next})
	}
}

// fireTry runs a handler again, or looks at a gap again.
func (s *Sequencer) fireTry(e *Event) {
	if e.try != tryLook {
		s.apply(e, e.try, false)
		return
	}
	s.stopTrying(e)
	e.attempts++
	s.place(e, s.busy())
}
