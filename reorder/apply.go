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
			return
		}
		s.fail(ev, try, policies.ReasonVersionBackward, policies.NoRule)
		return
	}
	attempt := 1
	if !redrive && ev.try != tryNone && ev.try != tryLook {
		attempt = ev.attempts + 1
	}
	s.flight = flight{active: true, ev: ev, try: try, redrive: redrive, attempt: attempt}
	d := topology.Decision{Kind: topology.DecideApply, Rule: 9, Event: s.shown(ev), Attempt: attempt}
	switch {
	case try == tryCompensate:
		d.Kind, d.Rule = topology.DecideCompensate, 8
		if s.byTime {
			d.Rule = 17
		}
	case try == tryAhead:
		d.Mode = topology.ApplyAhead
	case try == tryUnordered:
		d.Mode, d.Rule = topology.ApplyUnordered, 18
	case attempt > 1:
		d.Rule = 13
	case ev.resolves != nil:
		d.Rule = 4
	case s.byVersion:
		d.Rule = 14
	case s.byTime:
		d.Rule = 17
	case s.contract.Gap == policies.GapApply && ev.Number > s.row.next():
		d.Rule = 10
	}
	s.emit(d)
}

// outcome ends the flight.
func (s *Sequencer) outcome(o topology.ApplyOutcome) {
	f := s.flight
	s.flight = flight{}
	ev := f.ev
	switch {
	case o == topology.OutcomeDone:
		s.done(ev, f)
	case f.redrive:
		s.row.rare.redriving = false // up to the first that fails
	case o == topology.OutcomeRetryable && f.attempt <= s.retries:
		if ev.state == stateRetrying {
			s.stopTrying(ev)
		}
		e := s.keep(ev)
		e.attempts = f.attempt
		s.retry(e, ev, f.try)
	default:
		s.fail(ev, f.try, policies.ReasonPoison, 13)
	}
}

// retry lets a handler that failed run again after the delay.
func (s *Sequencer) retry(e, ev *Event, try tryKind) {
	n := len(s.out)
	s.tryAgain(e, try)
	s.out[n].Event = s.shown(ev)
}

// done books an apply that succeeded.
func (s *Sequencer) done(ev *Event, f flight) {
	row := s.row
	switch {
	case f.try == tryCompensate:
		s.settle(ev)
		s.closeHole(ev)
		s.ledger.end(ev, colCompensated)
		return
	case !s.bySeq:
		if s.byVersion {
			row.more().winner = &winner{ev.Version, ev.EventTime, ev.ID}
			row.version = max(row.version, ev.Version)
		}
		s.remember(ev)
	case f.try == tryAhead && ev.Number > row.last:
		if ev.Number == row.last+1 { // its turn came while it was tried again
			row.pass(ev.Number)
		} else {
			x := row.more()
			x.void.remove(ev.Number)
			x.ahead.add(ev.Number, ev.Number)
		}
		s.remember(ev)
	default:
		row.pass(ev.Number)
		if ev.Version != 0 && ev.Version < row.version {
			s.ledger.counts[ev.Source].VersionBackward++
		}
		row.version = max(row.version, ev.Version)
		s.remember(ev)
		row.ids.trim(s.contract.IDMemory, row.last)
	}
	s.settle(ev)
	if l := ev.resolves; l != nil { // R4: the second delivery resolves the letter of the first
		ev.resolves = nil
		s.held.RemoveLetter(l)
		s.ledger.end(l, colApplied)
		s.ledger.end(ev, colResolvedAgain)
		s.emit(topology.Decision{Kind: topology.DecideResolve, Rule: 4, Event: &l.OrderEvent})
		return
	}
	if ev.state == stateLetter {
		s.held.RemoveLetter(ev)
		s.ledger.end(ev, colApplied)
		s.emit(topology.Decision{Kind: topology.DecideResolve, Rule: policies.NoRule, Event: &ev.OrderEvent})
		return
	}
	s.ledger.end(ev, colApplied)
}

// settle takes an event that is decided out of wherever it waited.
func (s *Sequencer) settle(ev *Event) {
	switch ev.state {
	case stateHeld:
		s.held.Delete(ev)
	case stateRetrying:
		s.stopTrying(ev)
		s.held.Touch(ev)
	case stateFresh, stateLetter, stateDone:
	}
	if x := s.row.rare; x != nil && x.causal.set && x.causal.number == ev.Number {
		x.causal = timer{}
	}
}

// fail books an event that fails for good: a letter, and what its class's poison
// policy says (R13).
func (s *Sequencer) fail(ev *Event, try tryKind, reason policies.Reason, rule policies.Rule) {
	row := s.row
	park := s.contract.ClassOf(ev.Class).Poison != policies.PoisonSkip || (s.bySeq && row.full(s.contract.MaxHoles))
	if !s.room(1) { // R19
		if ev.state == stateFresh {
			s.pause(ev, 19)
			return
		}
		s.stopTrying(ev)
		s.tryAgain(ev, try)
		return
	}
	s.settle(ev)
	number, hash := ev.Number, ev.hash
	s.letter(ev, reason, rule, park)
	if s.bySeq {
		switch {
		case try == tryCompensate:
			if row.rare != nil {
				row.rare.holes.remove(number) // the hole closes in all four
			}
		case park:
		case try == tryAhead && number > row.next():
			row.more().void.add(number, hash)
		default:
			row.pass(number)
			row.more().holes.add(number, number)
			row.ids.trim(s.contract.IDMemory, row.last)
		}
	}
	if park {
		s.parkAs(policies.ReasonEntityParked, rule)
	}
}
