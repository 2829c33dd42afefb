package reorder

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// inOrder applies an event whose turn it is, once its cause is applied (R18).
func (s *Sequencer) inOrder(ev *Event) {
	if s.causeMissing(ev) {
		s.holdForCause(ev)
		return
	}
	s.apply(ev, tryOrder, false)
}

// apply asks for the handler, or the compensation, to run on the event.
func (s *Sequencer) apply(ev *Event, try tryKind, redrive bool) {
	if s.bySeq && ev.Version != 0 && ev.Version < s.row.version && (try == tryOrder || try == tryUnordered) &&
		s.contract.OnVersionBackward == policies.VersionReject {
		if redrive {
			s.row.rare.redriving = false // its letter stays
		} else {
			s.fail(ev, try, policies.ReasonVersionBackward, policies.NoRule)
		}
		return
	}
	attempt := 1
	if !redrive && ev.try != tryNone && ev.try != tryLook {
		attempt = ev.attempts + 1
	}
	s.flight = flight{active: true, ev: ev, try: try, redrive: redrive, attempt: attempt}
	d := topology.Decision{Kind: topology.DecideApply, Rule: 9, Event: s.shown(ev), Attempt: attempt}
	switch try {
	case tryCompensate:
		d.Kind, d.Rule = topology.DecideCompensate, 8
	case tryAhead:
		d.Mode = topology.ApplyAhead
	case tryUnordered:
		d.Mode, d.Rule = topology.ApplyUnordered, 18
	default:
		if ev.resolves {
			d.Rule = 4
		} else if s.bySeq && ev.Number > s.row.nextWithout(ev.Number) {
			d.Rule = 10
		}
	}
	switch {
	case s.byVersion:
		d.Rule = 14
	case s.byTime:
		d.Rule = 17
	}
	if attempt > 1 {
		d.Rule = 13
	}
	s.emit(d)
}

// outcome ends the flight.
func (s *Sequencer) outcome(o topology.ApplyOutcome) {
	f := s.flight
	s.flight = flight{}
	ev := f.ev
	if ev.state == stateRetrying {
		s.stopTrying(ev)
	}
	switch {
	case o == topology.OutcomeDone:
		s.done(ev, f)
	case f.redrive:
		s.row.rare.redriving = false // up to the first that fails
	case o == topology.OutcomeRetryable && f.attempt <= s.retries:
		shown, e := s.shown(ev), s.keep(ev)
		e.attempts = f.attempt
		s.tryAgain(e, f.try)
		s.out[len(s.out)-1].Event = shown
	default:
		s.fail(ev, f.try, policies.ReasonPoison, 13)
	}
}

// done books an apply that succeeded.
func (s *Sequencer) done(ev *Event, f flight) {
	row := s.row
	s.settle(ev)
	if f.try == tryCompensate {
		s.closeHole(ev.Number)
		s.remember(ev, false)
		s.ledger.end(ev, colCompensated)
		return
	}
	switch {
	case s.byVersion:
		x := row.more()
		if x.winner == nil {
			x.winner = &winner{}
		}
		x.winner.version, x.winner.eventTime = ev.Version, ev.EventTime
		x.winner.id = append(x.winner.id[:0], ev.ID...)
	case s.byTime:
	case f.try == tryAhead && ev.Number > row.last+1:
		s.claim(ev)
		row.rare.ahead.add(ev.Number, ev.Number)
	default:
		row.pass(ev.Number)
		if ev.Version != 0 && ev.Version < row.version {
			s.ledger.counts[ev.Source].VersionBackward++
		}
	}
	if f.try != tryAhead {
		row.version = max(row.version, ev.Version)
	}
	s.remember(ev, true)
	row.ids.trim(s.contract.IDMemory, row.last)
	if s.contract.Causal {
		s.outside.Applied(s.shown(ev))
	}
	s.book(ev)
}

// book counts an applied event, and resolves the letter that it or an earlier
// delivery of it had.
func (s *Sequencer) book(ev *Event) {
	if ev.state == stateLetter {
		s.held.RemoveLetter(ev)
		s.ledger.end(ev, colApplied)
		s.emit(topology.Decision{Kind: topology.DecideResolve, Rule: policies.NoRule, Event: &ev.OrderEvent})
		return
	}
	if ev.resolves {
		if l := s.held.FindLetter(ev.hash, ev.Epoch, ev.position()); l != nil {
			s.held.RemoveLetter(l)
			s.ledger.end(l, colApplied)
			s.ledger.end(ev, colResolvedAgain)
			s.emit(topology.Decision{Kind: topology.DecideResolve, Rule: 4, Event: &l.OrderEvent})
			return
		}
	}
	s.ledger.end(ev, colApplied)
}

// settle takes an event that is decided out of wherever it waited.
func (s *Sequencer) settle(ev *Event) {
	switch ev.state {
	case stateHeld:
		s.held.Delete(ev)
	case stateRetrying:
		s.held.Touch(ev)
	case stateFresh, stateLetter, stateDone:
	}
	if x := s.row.rare; x != nil && x.causal.set && x.causal.number == ev.Number {
		x.causal = timer{}
	}
}

// fail books an event that fails for good: a letter, and what its class's poison
// policy says (R13). One whose letter does not fit is tried again later (R19).
func (s *Sequencer) fail(ev *Event, try tryKind, reason policies.Reason, rule policies.Rule) {
	row := s.row
	park := s.class(ev).Poison != policies.PoisonSkip || s.bySeq && row.full(s.contract.MaxHoles)
	number, fresh := ev.Number, ev.state == stateFresh
	if !ev.resolves && !s.room(1) {
		if fresh {
			s.pause(19)
		} else {
			s.tryAgain(ev, try)
		}
		return
	}
	s.settle(ev)
	s.letter(ev, reason, rule, park)
	if s.bySeq {
		switch {
		case try == tryCompensate:
			s.closeHole(number) // it closes in all four
		case park:
		case try == tryAhead && number > row.next():
			row.more().void.add(number, 0) // nobody waits for it
		default:
			row.pass(number)
			row.more().holes.add(number, number)
			row.ids.trim(s.contract.IDMemory, row.last)
		}
	}
	if park {
		s.park(policies.ReasonEntityParked, rule)
	}
}
