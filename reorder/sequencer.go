package reorder

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// A Sequencer decides what happens to the events of one entity at a time: a pure
// state machine over a Row and a Held store that its caller owns. It has no clock
// and does no I/O; the same calls give the same decisions.
//
// Between a Step that ends in an apply and the Step with its outcome the sequencer
// holds the event in flight; no other Step may come in between. It is not safe for
// concurrent use.
type Sequencer struct {
	contract  policies.Contract
	bySeq     bool
	byVersion bool
	byTime    bool
	wait      int64 // MaxWait, ms
	delay     int64 // Retry.Delay, ms
	retries   int
	slack     int64
	maxFuture int64

	outside Outside
	ledger  *ledger
	arms    int64 // timers armed so far

	// lent by the caller for one Step
	row    *Row
	held   Held
	now    int64
	budget int
	in     *topology.OrderEvent // the event in hand

	out     []topology.Decision
	flight  flight
	scratch Event
	newborn bool // the event in hand is the first of its entity
	paused  bool // the event in hand was not consumed
}

// Outside is what a sequencer asks of its caller about things beyond the entity.
type Outside interface {
	// Payload returns the bytes of the event in hand for keeping.
	Payload(ev *topology.OrderEvent) []byte
	// LettersOpen reports whether the dead-letter topic takes letters (R19).
	LettersOpen() bool
	// CauseApplied reports whether the event of the id was applied (R18).
	CauseApplied(id string) bool
	// CauseOf returns the cause of an event that is not decided, or "".
	CauseOf(id string) string
	// Watermark returns the watermark of the source; Accept moves it to at least that (R17).
	Watermark(source int) (int64, bool)
	Accept(source int, watermark int64)
}

// flight is an apply whose outcome is awaited.
type flight struct {
	active   bool
	ev       *Event // the scratch event when it is the one in hand
	try      tryKind
	redrive  bool
	resolves *Event
	attempt  int
}

// InputKind says what a Step is about.
type InputKind uint8

// Kinds of input.
const (
	InputRecord  InputKind = iota // a delivered event
	InputTick                     // the earliest timer of the entity fires if it is due
	InputMore                     // what a Step left, or what became possible outside: a cause, a free letter
	InputRedrive                  // the operator re-drives the letters
	InputOutcome                  // how the last apply ended
	InputRelease                  // the watermark passed a held event (event time)
)

// Input is what a Step is given.
type Input struct {
	Kind     InputKind
	Event    *topology.OrderEvent  // of InputRecord
	Released *Event                // of InputRelease
	Outcome  topology.ApplyOutcome // of InputOutcome
}

// NewSequencer returns a sequencer for a contract with its defaults, counting
// deliveries from so many sources.
func NewSequencer(c policies.Contract, sources int, outside Outside) *Sequencer {
	return &Sequencer{
		contract:  c,
		bySeq:     c.OrderBy == policies.BySequence,
		byVersion: c.OrderBy == policies.ByVersion,
		byTime:    c.OrderBy == policies.ByEventTime,
		wait:      c.MaxWait.Milliseconds(),
		delay:     max(c.Retry.Delay.Milliseconds(), 1),
		retries:   max(c.Retry.Max, 0),
		slack:     c.Slack.Milliseconds(),
		maxFuture: c.MaxFuture.Milliseconds(),
		outside:   outside,
		ledger:    newLedger(sources, c.Buffer != policies.BufferVolatile),
	}
}

// Step decides about one input of the entity whose row and held events are lent.
// It ends at an apply or a compensation, whose outcome the next Step must bring,
// and after about budget decisions; more says that another Step (InputMore) has
// something to do. The decisions are valid until the next Step.
func (s *Sequencer) Step(row *Row, held Held, input Input, now int64, budget int) (decisions []topology.Decision, more bool) {
	s.row, s.held, s.now, s.budget = row, held, now, budget
	s.out = s.out[:0]
	s.paused = false
	switch input.Kind {
	case InputRecord:
		s.record(input.Event)
	case InputOutcome:
		s.outcome(input.Outcome)
	case InputTick:
		s.fire()
	case InputRedrive:
		s.redrive()
	case InputRelease:
		s.release(input.Released)
	case InputMore:
		if x := row.rare; x != nil {
			x.draining = false
		}
	}
	if !s.flight.active {
		more = s.proceed()
	}
	return s.out, more
}

// proceed does what has become possible: it empties a parked entity, drains,
// re-drives, and then sees to the timers. It reports whether the budget cut it.
func (s *Sequencer) proceed() (more bool) {
	x := s.row.rare
	if x == nil && s.held.Len() == 0 {
		return false
	}
	if x != nil && x.draining {
		return true // a Step that is not InputMore leaves a cut drain alone
	}
	more = s.drain()
	if s.flight.active {
		return false
	}
	if more {
		s.row.more().draining = true
		return true
	}
	if x = s.row.rare; x != nil && x.redriving {
		s.redriveOn()
		if s.flight.active {
			return false
		}
		if s.row.rare.redriving || s.drainable() {
			s.row.more().draining = true
			return true
		}
	}
	s.rearm()
	return false
}

// identify fills the scratch event with the event in hand.
func (s *Sequencer) identify(in *topology.OrderEvent) *Event {
	s.in = in
	ev := &s.scratch
	*ev = Event{OrderEvent: *in, hash: s.hashOf(&in.Metadata)}
	if s.bySeq {
		ev.Number = in.Sequence
	}
	return ev
}

// hashOf returns the hash of an event's id. Sequence contracts need none for a
// derived id: the number itself proves what was applied.
func (s *Sequencer) hashOf(m *policies.Metadata) uint64 {
	if m.ID != "" || s.bySeq || !m.HasSequence {
		return hashID(m.ID)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(m.Epoch))
	binary.BigEndian.PutUint64(b[8:], uint64(m.Sequence))
	return max(xxhash.Sum64(b[:]), 1)
}

// keep makes the event in hand outlive the Step.
func (s *Sequencer) keep(ev *Event) *Event {
	if ev != &s.scratch {
		return ev
	}
	e := new(Event)
	*e = *ev
	e.Payload = s.outside.Payload(s.in)
	return e
}

// shown is the event as a decision shows it: the one in hand as it was given.
func (s *Sequencer) shown(ev *Event) *topology.OrderEvent {
	if ev == &s.scratch {
		return s.in
	}
	return &ev.OrderEvent
}

func (s *Sequencer) emit(d topology.Decision) { s.out = append(s.out, d) }

func (s *Sequencer) arm() int64 {
	s.arms++
	return s.arms
}

// parkAs parks the entity; its held events become letters of the reason.
func (s *Sequencer) parkAs(reason policies.Reason, rule policies.Rule) {
	if !s.row.parked {
		s.row.parked = true
		s.emit(topology.Decision{Kind: topology.DecidePark, Rule: rule, Reason: reason})
	}
	if x := s.row.more(); x.evacuate == "" && s.held.Len() > 0 {
		x.evacuate = reason
	}
}

// room reports whether so many more letters fit (R19).
func (s *Sequencer) room(n int) bool {
	return s.outside.LettersOpen() && s.held.Letters()+n <= s.contract.MaxDLQ
}

// pause leaves the event in hand undelivered.
func (s *Sequencer) pause(ev *Event, rule policies.Rule) {
	s.paused = true
	if s.newborn {
		s.row.known = false
	}
	s.emit(topology.Decision{Kind: topology.DecidePause, Rule: rule, Event: s.in})
}

// letter dead-letters the event. When the letter does not fit, the event in hand is
// paused, any other stays what it is, and letter answers false.
func (s *Sequencer) letter(ev *Event, reason policies.Reason, rule policies.Rule, parks bool) bool {
	if !s.room(1) {
		if ev.state == stateFresh {
			s.pause(ev, 19)
		}
		return false
	}
	shown := s.shown(ev)
	if r := ev.resolves; r != nil { // it has a letter already: that one takes the newer reason
		ev.resolves = nil
		r.Reason, r.Rule, r.Parks = reason, rule, r.Parks || parks
		s.held.Touch(r)
		s.ledger.end(ev, colDuplicateOfDLQ)
		s.emit(topology.Decision{Kind: topology.DecideDeadLetter, Rule: rule, Reason: reason, Event: shown})
		return true
	}
	e := ev
	if ev == &s.scratch {
		e = new(Event)
		*e = *ev
		if s.redrivable(e) {
			e.Payload = s.outside.Payload(s.in)
		}
	}
	e.Reason, e.Rule, e.Parks = reason, rule, parks
	s.ledger.move(e, stateLetter)
	s.held.AddLetter(e)
	s.emit(topology.Decision{Kind: topology.DecideDeadLetter, Rule: rule, Reason: reason, Event: shown})
	return true
}

// redrivable reports whether a letter can ever be next.
func (s *Sequencer) redrivable(e *Event) bool {
	return !s.bySeq || (e.position() != noNumber && e.Epoch == s.row.epoch && e.Number > s.row.last)
}

// lettersOnly dead-letters the event without leaving a letter in the entity.
func (s *Sequencer) lettersOnly(ev *Event, reason policies.Reason, rule policies.Rule) {
	if !s.outside.LettersOpen() {
		s.pause(ev, 19)
		return
	}
	s.ledger.end(ev, colDeadLettered)
	s.emit(topology.Decision{Kind: topology.DecideDeadLetter, Rule: rule, Reason: reason, Event: s.shown(ev)})
}

// drop ends the event without applying it.
func (s *Sequencer) drop(ev *Event, reason policies.Reason, rule policies.Rule) {
	if reason == policies.ReasonDuplicate && ev.state == stateFresh &&
		s.contract.ClassOf(ev.Class).Duplicate == policies.DuplicateReject {
		s.lettersOnly(ev, reason, rule)
		return
	}
	c := colDuplicate
	switch reason {
	case policies.ReasonDuplicateOfDLQ:
		c = colDuplicateOfDLQ
	case policies.ReasonSuperseded:
		c = colSuperseded
	case policies.ReasonLate:
		c = colLateDropped
	}
	s.ledger.end(ev, c)
	s.emit(topology.Decision{Kind: topology.DecideDrop, Rule: rule, Reason: reason, Event: s.shown(ev)})
}
