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
		if s.bySeq && ev.Number > s.row.nextWithout(ev.Number) {
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

// applyNext asks for the handler to run on the event if it is the next one of an
// entity in order. It is a Step of InputRecord that needs no held events, and its
// outcome may be booked with doneNext.
func (s *Sequencer) applyNext(row *Row, in *topology.OrderEvent, now int64) bool {
	s.row = row
	if !s.isNext(in) {
		return false
	}
	s.in, s.now, s.newborn, s.paused, s.changed = in, now, false, false, false
	s.flight.active, s.flight.next = true, true
	s.next[0].Event = in
	return true
}

// doneNext books the apply in flight, which succeeded, if it is one of applyNext.
func (s *Sequencer) doneNext() bool {
	if !s.flight.next {
		return false
	}
	s.flight.active, s.flight.next = false, false
	row, in, n := s.row, s.in, &s.ledger.counts[s.in.Source]
	row.last = in.Sequence
	if in.Version > row.version {
		row.version = in.Version
	} else if in.Version != 0 && in.Version < row.version {
		n.VersionBackward++
	}
	if s.nextHash != 0 {
		row.decided(newIDEntry(in.Sequence, s.nextHash, true), s.contract.IDMemory)
	}
	n.Delivered++
	n.Applied++
	s.changed = true
	return true
}

// outcome ends the flight.
func (s *Sequencer) outcome(o topology.ApplyOutcome) {
	if o == topology.OutcomeDone && s.doneNext() {
		return
	}
	f := s.flight
	s.flight = flight{}
	if f.next {
		f = flight{ev: s.identify(s.in), try: tryOrder, attempt: 1}
	}
	ev := f.ev
	if ev.state == stateRetrying {
		s.stopTrying(ev)
	}
	switch {
	case o == topology.OutcomeDone:
		if s.done(ev, f); f.redrive && s.nextToRedrive() == nil {
			s.endRedrive() // in one write with the last apply
		}
	case f.redrive:
		s.endRedrive() // up to the first that fails
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
		row.more().ahead.add(ev.Number, ev.Number)
	default:
		s.pass(ev.Number)
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

// pass moves last to a number that is decided. A number that is tried again is never
// given up: last stops before it, and the decided one is ahead.
func (s *Sequencer) pass(n int64) {
	row := s.row
	tried := n
	if row.rare != nil {
		for _, e := range row.rare.tries {
			if e.Number > row.last {
				tried = min(tried, e.Number)
			}
		}
	}
	if tried == n {
		row.pass(n)
		return
	}
	if tried-1 > row.last {
		row.skipTo(tried - 1)
	}
	row.more().ahead.add(n, n)
}

// book counts an applied event, and resolves every letter of its id: one delivery
// of it is the applied one, the others are counted as having resolved it again.
func (s *Sequencer) book(ev *Event) {
	applied := colApplied
	if ev.state == stateLetter {
		s.resolve(ev, applied, policies.NoRule)
		applied = colResolvedAgain
	}
	for s.held.Letters() > 0 {
		l := s.held.FindLetter(ev.hash, ev.Epoch, ev.position())
		if l == nil {
			break
		}
		s.resolve(l, applied, 4)
		applied = colResolvedAgain
	}
	if ev.state != stateDone {
		s.ledger.end(ev, applied)
	}
}

func (s *Sequencer) resolve(l *Event, c column, rule policies.Rule) {
	s.held.RemoveLetter(l)
	s.ledger.end(l, c)
	s.emit(topology.Decision{Kind: topology.DecideResolve, Rule: rule, Event: &l.OrderEvent})
}

// settle takes an event that is decided out of wherever it waited.
func (s *Sequencer) settle(ev *Event) {
	switch ev.state {
	case stateHeld:
		if s.held.Delete(ev); s.held.Len() == 0 && s.row.rare != nil {
			s.filled(s.row.next())
			s.row.rare.hole = timer{}
		}
	case stateRetrying:
		s.held.Touch(ev)
	case stateFresh, stateLetter, stateDone:
	}
	s.endCausal(ev)
}

// fail books an event that fails for good: a letter, and what its class's poison
// policy says (R13). One whose letter does not fit is tried again later (R19).
func (s *Sequencer) fail(ev *Event, try tryKind, reason policies.Reason, rule policies.Rule) {
	row := s.row
	park := s.class(ev).Poison != policies.PoisonSkip || s.bySeq && row.full(s.contract.MaxHoles)
	number := ev.Number
	fits := s.room(1)
	if park {
		fits = s.parkable(ev, 1)
	}
	if !fits {
		if ev.state == stateFresh {
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
		default:
			if try == tryAhead && number > row.next() {
				row.more().ahead.add(number, number) // last passes over it when it gets there
			} else {
				s.pass(number)
			}
			row.more().holes.add(number, number)
			row.ids.trim(s.contract.IDMemory, row.last)
		}
	}
	if park {
		s.park(policies.ReasonEntityParked, rule)
	}
}
