package reorder

import (
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// hold lets the event wait, unless too many wait already (R12). A waiting event is
// decided again when the entity is no longer busy.
func (s *Sequencer) hold(ev *Event, waiting bool, rule policies.Rule, blocker int64) {
	if s.held.Len() >= s.contract.MaxHeld {
		s.overflow(ev)
		return
	}
	s.put(ev, waiting, rule, blocker)
}

// put lets the event wait.
func (s *Sequencer) put(ev *Event, waiting bool, rule policies.Rule, blocker int64) {
	again := ev.state == stateHeld
	shown := s.shown(ev)
	e := s.keep(ev)
	x := s.row.more()
	if !s.bySeq && !again && e.Number == 0 {
		x.arrival++
		e.Number = x.arrival
	}
	if s.bySeq && len(x.void) > 0 && e.Number > s.row.last {
		x.void.remove(e.Number) // another id claims it
	}
	if !again {
		s.ledger.move(e, stateHeld)
	}
	e.try, e.kept, e.waiting = tryNone, true, waiting
	s.held.Put(e)
	if waiting {
		x.waiting = append(x.waiting, e.Number)
	}
	if !again {
		s.emit(topology.Decision{Kind: topology.DecideHold, Rule: rule, Event: shown, Blocker: blocker})
	}
}

// overflow decides about an event that would exceed the held count (R12).
func (s *Sequencer) overflow(ev *Event) {
	switch {
	case s.contract.OnOverflow == policies.OnOverflowPark && s.room(s.held.Len()+1):
		s.parkAs(policies.ReasonGapTimeout, 12)
		s.evacuate()
		s.letter(ev, policies.ReasonEntityParked, 12, true)
		return
	case s.contract.OnOverflow == policies.OnOverflowSkip && s.skippable(ev):
		s.put(ev, false, 12, s.row.next())
		s.skip(12)
		return
	}
	if ev.state == stateFresh {
		s.pause(ev, 12)
		return
	}
	s.tryAgain(ev, tryLook) // it cannot be given back: it looks again later
}

// skippable reports whether a skip would let at least one held event go.
func (s *Sequencer) skippable(ev *Event) bool {
	if s.busy() || s.byVersion {
		return false
	}
	if s.byTime {
		return true
	}
	smallest := ev.Number
	if e := s.held.Min(); e != nil {
		smallest = min(smallest, e.Number)
	}
	next := s.row.next()
	return smallest > next && s.row.trying(next) == nil && !s.row.full(s.contract.MaxHoles)
}

// skip gives the head hole up: its numbers become holes and last jumps to the
// number before the smallest held one (R11), or before one that is tried again,
// which is never given up. Under event time the earliest held event is released.
func (s *Sequencer) skip(rule policies.Rule) {
	if s.byTime {
		e := s.held.Min()
		e.released = true
		s.row.more().waiting = append(s.row.more().waiting, e.Number)
		return
	}
	row, x := s.row, s.row.more()
	to := s.held.Min().Number
	for _, e := range x.tries {
		if e.Number > row.last {
			to = min(to, e.Number)
		}
	}
	from := row.next()
	if from >= to {
		return
	}
	// pass ends at a number that is decided; here the last one is given up as well.
	last := to - 1
	isAhead := x.ahead.has(last)
	row.pass(last)
	if !isAhead {
		x.holes.add(last, last)
	}
	row.ids.trim(s.contract.IDMemory, row.last)
	s.emit(topology.Decision{Kind: topology.DecideSkip, Rule: rule, From: from, To: last})
}

// evacuate turns held events of a parked entity into letters while the budget and
// the room for letters last. It reports whether the budget cut it.
func (s *Sequencer) evacuate() (more bool) {
	x := s.row.rare
	if x == nil || x.evacuate == "" {
		return false
	}
	rule := policies.Rule(13)
	if x.evacuate == policies.ReasonGapTimeout {
		rule = 11
	}
	for e := s.held.Min(); e != nil; e = s.held.Min() {
		if len(s.out) >= s.budget {
			return true
		}
		if !s.room(1) {
			return false
		}
		s.held.Delete(e)
		s.letter(e, x.evacuate, rule, true)
	}
	x.evacuate = ""
	x.waiting = nil
	x.causal = timer{}
	return false
}

// look lets the event look at the gap again later (R10, gap=retry).
func (s *Sequencer) look(ev *Event) {
	if ev.attempts >= s.retries {
		s.refuse(ev, policies.ReasonRetryExhausted, 10, false)
		return
	}
	s.tryAgain(ev, tryLook)
}

// tryAgain puts the event among those that are tried again after the delay.
func (s *Sequencer) tryAgain(ev *Event, what tryKind) {
	shown := s.shown(ev)
	e := s.keep(ev)
	x := s.row.more()
	if s.bySeq && len(x.void) > 0 && e.Number > s.row.last {
		x.void.remove(e.Number)
	}
	if e.state == stateHeld && s.held.Get(e.Number) == e {
		s.held.Delete(e)
	}
	if e.state != stateRetrying {
		s.ledger.move(e, stateRetrying)
	}
	if what == tryLook {
		e.kept = false // looks are volatile
	}
	e.waiting = false
	e.try, e.due, e.arm = what, s.now+s.delay, s.arm()
	x.tries = append(x.tries, e)
	rule := policies.Rule(13)
	if what == tryLook {
		rule = 10
	}
	s.emit(topology.Decision{Kind: topology.DecideRetry, Rule: rule, Event: shown, Attempt: e.attempts + 1, Due: e.due})
}

// stopTrying takes the event out of those that are tried again.
func (s *Sequencer) stopTrying(e *Event) {
	x := s.row.rare
	if x == nil {
		return
	}
	if i := slices.Index(x.tries, e); i >= 0 {
		x.tries = slices.Delete(x.tries, i, i+1)
	}
}
