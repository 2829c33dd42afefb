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
	shown, e, x := s.shown(ev), s.keep(ev), s.row.more()
	if !s.bySeq && e.Number == 0 {
		x.arrival++
		e.Number = x.arrival
	}
	s.claim(e)
	if !again {
		s.ledger.move(e, stateHeld)
	}
	e.try, e.kept, e.waiting = tryNone, true, waiting
	s.held.Put(e)
	if waiting {
		i, _ := slices.BinarySearch(x.waiting, e.Number)
		x.waiting = slices.Insert(x.waiting, i, e.Number)
	}
	if !again {
		s.emit(topology.Decision{Kind: topology.DecideHold, Rule: rule, Event: shown, Blocker: blocker})
	}
}

// claim takes a void number: another id than the one that made it void has it now.
func (s *Sequencer) claim(e *Event) {
	if s.bySeq && e.Number > s.row.last {
		s.row.more().void.remove(e.Number)
	}
}

// overflow decides about an event that would exceed the held count (R12). It
// reports whether the event is held all the same.
func (s *Sequencer) overflow(ev *Event) (held bool) {
	switch {
	case s.contract.OnOverflow == policies.OnOverflowPark:
		s.park(policies.ReasonGapTimeout, 12)
		for s.drainable() {
			s.evacuate(s.held.Min())
		}
		s.refuse(ev, policies.ReasonEntityParked, 12, true)
		return false
	case s.contract.OnOverflow == policies.OnOverflowSkip && s.skippable(ev):
		s.put(ev, false, 12, s.row.next())
		s.skip(12)
		return true
	}
	if ev.state == stateFresh {
		s.pause(12)
	} else {
		s.tryAgain(ev, tryLook) // it cannot be given back: it looks again later
	}
	return false
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
		s.apply(s.held.Min(), tryOrder, false)
		return
	}
	row := s.row
	to := s.held.Min().Number
	for _, e := range row.rare.tries {
		if e.Number > row.last {
			to = min(to, e.Number)
		}
	}
	from := row.next()
	if from >= to {
		return
	}
	row.skipTo(to - 1)
	row.ids.trim(s.contract.IDMemory, row.last)
	s.emit(topology.Decision{Kind: topology.DecideSkip, Rule: rule, From: from, To: to - 1})
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
	shown, e := s.shown(ev), s.keep(ev)
	s.claim(e)
	if s.held.Get(e.Number) == e {
		s.held.Delete(e)
	}
	if e.state != stateRetrying {
		s.ledger.move(e, stateRetrying)
	}
	rule := policies.Rule(13)
	if what == tryLook {
		rule = 10
		e.kept = false // looks are volatile
		s.held.Touch(e)
	}
	e.waiting = false
	e.try, e.due, e.arm = what, s.now+s.delay, s.arm()
	s.row.more().tries = append(s.row.more().tries, e)
	s.emit(topology.Decision{Kind: topology.DecideRetry, Rule: rule, Event: shown, Attempt: e.attempts + 1, Due: e.due})
}

// stopTrying takes the event out of those that are tried again.
func (s *Sequencer) stopTrying(e *Event) {
	x := s.row.rare
	if i := slices.Index(x.tries, e); i >= 0 {
		x.tries = slices.Delete(x.tries, i, i+1)
	}
}
