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

// overflow decides about an event that would exceed the held count (R12).
func (s *Sequencer) overflow(ev *Event) {
	switch {
	case s.contract.OnOverflow == policies.OnOverflowPark && s.parkable(ev, 1):
		s.park(policies.ReasonGapTimeout, 12)
		for s.held.Len() > 0 {
			s.evacuate(s.held.Min())
		}
		s.letter(ev, policies.ReasonEntityParked, 12, true)
	case s.contract.OnOverflow == policies.OnOverflowSkip && s.skippable(ev):
		s.skip(ev, 12)
		s.deferred = ev
	case ev.state == stateFresh:
		s.pause(12)
	default:
		s.tryAgain(ev, tryLook) // it cannot be given back: it looks again later
	}
}

// skippable reports whether there is something to give up.
func (s *Sequencer) skippable(ev *Event) bool {
	if !s.bySeq {
		return s.byTime && s.held.Len() > 0 && !s.row.retrying()
	}
	from, to := s.headHole(ev)
	return from <= to && !s.row.full(s.contract.MaxHoles)
}

// headHole returns the first and the last of the numbers before the smallest held
// one that are not ahead, from the first that is not void; ev, if any, counts as held. One that is tried
// again ends it: it is never given up.
func (s *Sequencer) headHole(ev *Event) (from, to int64) {
	row := s.row
	to = noNumber
	if e := s.held.Min(); e != nil {
		to = e.Number
	}
	if ev != nil {
		to = min(to, ev.Number)
	}
	if to == noNumber {
		return 0, -1 // nothing waits
	}
	if row.rare != nil {
		for _, e := range row.rare.tries {
			if e.Number > row.last {
				to = min(to, e.Number)
			}
		}
	}
	from = row.next()
	for to--; to >= from && row.Ahead(to); to-- {
	}
	return from, to
}

// skip gives the head hole up: its numbers become holes and last jumps (R11); ev, if
// any, counts as held. Under event time the earliest held event is released.
func (s *Sequencer) skip(ev *Event, rule policies.Rule) {
	if s.byTime {
		s.apply(s.held.Min(), tryOrder, false)
		return
	}
	row := s.row
	from, last := s.headHole(ev)
	if from > last {
		return
	}
	s.gaveUp()
	row.skipTo(last)
	row.ids.trim(s.contract.IDMemory, row.last)
	s.emit(topology.Decision{Kind: topology.DecideSkip, Rule: rule, From: from, To: last})
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
	if s.held.Get(e.Number) == e {
		s.held.Delete(e)
	}
	if e.state != stateRetrying {
		s.ledger.move(e, stateRetrying)
	}
	rule := policies.Rule(13)
	if what == tryLook {
		rule = 10
	}
	s.endCausal(e)
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
