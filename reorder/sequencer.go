package reorder

import (
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
	plain     bool   // by sequence, not causal, versions only counted
	hashPlace bool   // derived ids are remembered too: a reset gives their numbers away
	wait      int64  // MaxWait, ms
	auto      *waits // nil: every hole is waited for that long
	delay     int64  // Retry.Delay, ms
	retries   int
	slack     int64
	maxFuture int64

	outside Outside
	ledger  *ledger
	arms    int64 // timers armed so far

	// Lent by the caller for one Step.
	row   *Row
	held  Held
	now   int64
	limit int
	in    *topology.OrderEvent // the event in hand

	out      []topology.Decision
	next     [1]topology.Decision // of an entity in order; only its event changes
	flight   flight
	deferred *Event // decided again after the drain that its overflow brought about (R12)
	scratch  Event
	nextHash uint64 // of the event in hand, if it is the next one
	newborn  bool   // the event in hand is the first of its entity
	paused   bool   // the event in hand was not consumed
	claimed  claim  // the void number that the event in hand took
	changed  bool   // the row may have changed
}

// Outside is what a sequencer asks of its caller about things beyond the entity.
type Outside interface {
	// Payload returns the bytes of the event in hand for keeping.
	Payload(ev *topology.OrderEvent) []byte
	// CauseApplied reports whether the event of the id was applied, and CauseOf
	// returns the cause of a held event (R18).
	CauseApplied(id string) bool
	CauseOf(id string) (cause string, held bool)
	// Applied says that the event was applied; only causal contracts say so.
	Applied(ev *topology.OrderEvent)
	// Watermark returns the watermark of the source; Accept moves it to at least that (R17).
	Watermark(source int) (mark int64, ok bool)
	Accept(source int, mark int64)
}

// flight is an apply whose outcome is awaited.
type flight struct {
	active  bool
	ev      *Event // the scratch event when it is the one in hand
	try     tryKind
	redrive bool
	next    bool // the event in hand is the next one of an entity in order: the others say nothing
	attempt int
}

// InputKind says what a Step is about.
type InputKind uint8

// Kinds of input.
const (
	InputRecord  InputKind = iota // a delivered event
	InputTick                     // the earliest timer of the entity fires if it is due
	InputMore                     // what a Step left, or what became possible outside: a cause was applied
	InputRedrive                  // the operator re-drives the letters
	InputOutcome                  // how the last apply ended
	InputRelease                  // the watermark passed a held event (event time)
	InputBehind                   // a delivered event that joins those that wait, while more is to be done
)

// Input is what a Step is given.
type Input struct {
	Kind     InputKind
	Event    *topology.OrderEvent  // of InputRecord
	Released *Event                // of InputRelease
	Outcome  topology.ApplyOutcome // of InputOutcome
}

// NewSequencer returns a sequencer for a contract that is taken as it is, without
// further defaults, counting deliveries from so many sources.
func NewSequencer(c policies.Contract, sources int, outside Outside) *Sequencer {
	return &Sequencer{
		contract:  c,
		bySeq:     c.OrderBy == policies.BySequence,
		plain:     c.OrderBy == policies.BySequence && !c.Causal && c.OnVersionBackward != policies.VersionReject,
		byVersion: c.OrderBy == policies.ByVersion,
		byTime:    c.OrderBy == policies.ByEventTime,
		hashPlace: c.OrderBy != policies.BySequence || c.Reset == policies.ResetEpoch,
		wait:      c.MaxWait.Milliseconds(),
		auto:      newWaits(&c),
		delay:     max(c.Retry.Delay.Milliseconds(), 1),
		retries:   max(c.Retry.Max, 0),
		slack:     c.Slack.Milliseconds(),
		maxFuture: c.MaxFuture.Milliseconds(),
		next:      [1]topology.Decision{{Kind: topology.DecideApply, Rule: 9, Attempt: 1}},
		outside:   outside,
		ledger:    newLedger(sources, c.Buffer != policies.BufferVolatile),
	}
}

// Step decides about one input of the entity whose row and held events are lent.
// It ends at an apply or a compensation, whose outcome the next Step must bring; at
// that outcome; or when about budget decisions are made. more says that the entity
// is not done: the next Step with its row must be an InputMore, and it must be the
// very next one after an outcome. The decisions are valid until the next Step.
func (s *Sequencer) Step(row *Row, held Held, input Input, now int64, budget int) (decisions []topology.Decision, more bool) {
	s.row, s.held, s.now, s.limit = row, held, now, max(budget, 1)
	s.out, s.paused, s.changed = s.out[:0], false, true
	switch input.Kind {
	case InputRecord:
		if s.applyNext(row, input.Event, now) {
			return s.next[:], false
		}
		s.record(input.Event)
	case InputOutcome:
		s.outcome(input.Outcome)
		return s.out, s.unsettled() // what follows from it is decided after it
	case InputTick:
		s.fire()
	case InputRedrive:
		beginRedrive(row, held)
	case InputRelease:
		s.apply(input.Released, tryOrder, false)
	case InputBehind:
		s.record(input.Event)
		if e := s.held.Get(input.Event.Sequence); e != nil {
			e.due = now
		}
		return s.out, true
	case InputMore:
	}
	if !s.flight.active && s.unsettled() {
		more = s.proceed()
	}
	if s.paused && len(s.out) == 1 { // it leaves everything as it was
		s.changed = false
	}
	return s.out, more
}

// undecided reports whether the event in hand waits for a drain or for its outcome.
func (s *Sequencer) undecided() bool {
	return s.deferred != nil || s.flight.active && (s.flight.next || s.flight.ev == &s.scratch)
}

// unsettled reports whether proceed may have something to do.
func (s *Sequencer) unsettled() bool {
	return s.row.rare != nil || s.deferred != nil // nothing is held without a rare part
}

// Refuse dead-letters a delivered record that has no metadata: a letter of no entity.
func (s *Sequencer) Refuse(ev *topology.OrderEvent, reason policies.Reason) []topology.Decision {
	s.out, s.changed = s.out[:0], false
	s.letterOnly(s.identify(ev), reason, policies.NoRule)
	return s.out
}

// proceed does what has become possible: it drains, re-drives, and then sees to the
// timer of the head hole. It reports whether the budget cut it.
func (s *Sequencer) proceed() (more bool) {
	for s.drainable() || s.deferred != nil || s.redriving() {
		if len(s.out) >= s.limit && s.deferred == nil {
			return true
		}
		switch {
		case s.drainable():
			s.drainOne()
		case s.deferred != nil:
			ev := s.deferred
			s.deferred = nil
			s.place(ev)
		default:
			s.redriveOne()
		}
		if s.flight.active {
			return false
		}
	}
	s.rearm()
	if s.row.rare != nil && s.held.Len()+s.held.Letters() == 0 && s.row.quiet() {
		s.row.rare = nil
	}
	return false
}

// identify fills the scratch event with the event in hand.
func (s *Sequencer) identify(in *topology.OrderEvent) *Event {
	s.in, s.claimed = in, claim{}
	ev := &s.scratch
	*ev = Event{OrderEvent: *in, hash: s.hashOf(&in.Metadata)}
	if s.bySeq {
		ev.Number = in.Sequence
	}
	return ev
}

// hashOf returns the hash of an event's id. A sequence contract needs none for a
// derived id as long as there is one epoch: the number proves what was applied.
func (s *Sequencer) hashOf(m *policies.Metadata) uint64 {
	if m.ID == "" && s.hashPlace && m.HasSequence {
		return hashPlace(m)
	}
	return hashID(m.ID)
}

// keep makes the event in hand outlive the Step.
func (s *Sequencer) keep(ev *Event) *Event {
	if ev != &s.scratch {
		return ev
	}
	e := new(Event)
	*e = *ev
	e.own()
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

func (s *Sequencer) class(ev *Event) policies.Class { return s.contract.ClassOf(ev.Class) }

// park parks the entity; its held events become letters of the reason, and nothing
// waits for a time any more but what is tried again.
func (s *Sequencer) park(reason policies.Reason, rule policies.Rule) {
	if !s.row.parked {
		s.row.parked = true
		s.emit(topology.Decision{Kind: topology.DecidePark, Rule: rule, Reason: reason})
	}
	if s.held.Len() > 0 && s.row.more().evacuate == "" {
		s.row.rare.evacuate = reason
	}
	s.gaveUp()
	if x := s.row.rare; x != nil {
		x.hole, x.causal = timer{}, timer{}
	}
}

// pause leaves the event in hand undelivered.
func (s *Sequencer) pause(rule policies.Rule) {
	s.paused = true
	switch {
	case s.newborn:
		*s.row = Row{}
		if s.held.Letters() > 0 {
			s.row.more()
		}
	case s.claimed.hash != 0:
		s.row.more().void.add(s.claimed.from, s.claimed.hash)
	}
	s.emit(topology.Decision{Kind: topology.DecidePause, Rule: rule, Event: s.in})
}

// room reports whether so many more letters fit (R19).
func (s *Sequencer) room(n int) bool { return s.held.Letters()+n <= s.contract.MaxDLQ }

// letter dead-letters the event, or answers false if the letter does not fit.
func (s *Sequencer) letter(ev *Event, reason policies.Reason, rule policies.Rule, parks bool) bool {
	if !s.room(1) {
		return false
	}
	shown := s.shown(ev)
	ev.Reason, ev.Rule, ev.Parks = reason, rule, parks
	bare := !s.redrivable(ev)
	e := ev
	if ev == &s.scratch {
		if bare {
			e = new(Event)
			*e = *ev
			e.own()
		} else {
			e = s.keep(ev)
		}
	}
	e.bare = bare
	s.ledger.move(e, stateLetter)
	s.row.more()
	s.held.AddLetter(e)
	s.emit(topology.Decision{Kind: topology.DecideDeadLetter, Rule: rule, Reason: reason, Event: shown})
	return true
}

// parkable reports whether a parking fits (R19): letters of the held events, and
// more of its own for the event.
func (s *Sequencer) parkable(ev *Event, own int) bool {
	if s.held.Get(ev.Number) == ev {
		own--
	}
	return s.room(s.held.Len() + own)
}

// parkWith dead-letters the event and parks the entity, if all letters fit.
func (s *Sequencer) parkWith(ev *Event, reason policies.Reason, rule policies.Rule) {
	if !s.parkable(ev, 1) {
		s.postpone(ev)
		return
	}
	s.settle(ev)
	s.letter(ev, reason, rule, true)
	s.park(policies.ReasonEntityParked, rule)
}

// postpone leaves an event undecided because a letter does not fit (R19): the one in
// hand is paused, any other is asked about again later.
func (s *Sequencer) postpone(ev *Event) {
	if ev.state == stateFresh {
		s.pause(19)
	} else {
		s.tryAgain(ev, tryLook)
	}
}

// redrivable reports whether a letter can still be next.
func (s *Sequencer) redrivable(l *Event) bool {
	if e, ok := s.row.ids.find(l.hash); l.Epoch != s.row.epoch || ok && e.applied() {
		return false // of an old epoch, or applied by a rebuild
	}
	switch {
	case s.byVersion:
		return s.wins(l)
	case s.byTime:
		return l.Parks || l.Reason == policies.ReasonPoison
	}
	return usable(&l.Metadata) && l.Sequence > s.row.last && !s.row.Ahead(l.Sequence)
}

// refuse dead-letters the event, or postpones it.
func (s *Sequencer) refuse(ev *Event, reason policies.Reason, rule policies.Rule, parks bool) bool {
	if s.letter(ev, reason, rule, parks) {
		return true
	}
	s.postpone(ev)
	return false
}

// letterOnly dead-letters the event without leaving a letter in the entity.
func (s *Sequencer) letterOnly(ev *Event, reason policies.Reason, rule policies.Rule) {
	s.ledger.end(ev, colDeadLettered)
	s.emit(topology.Decision{Kind: topology.DecideDeadLetter, Rule: rule, Reason: reason, Event: s.shown(ev)})
}

// drop ends the event without applying it.
func (s *Sequencer) drop(ev *Event, reason policies.Reason, rule policies.Rule) {
	c := colDuplicate
	switch reason {
	case policies.ReasonDuplicate:
		if s.class(ev).Duplicate == policies.DuplicateReject {
			s.letterOnly(ev, reason, rule)
			return
		}
	case policies.ReasonDuplicateOfDLQ:
		c = colDuplicateOfDLQ
	case policies.ReasonSuperseded:
		c = colSuperseded
	case policies.ReasonLate:
		c = colLateDropped
	default:
	}
	s.ledger.end(ev, c)
	s.emit(topology.Decision{Kind: topology.DecideDrop, Rule: rule, Reason: reason, Event: s.shown(ev)})
}

// remember records the id among those that R3 knows.
func (s *Sequencer) remember(ev *Event, applied bool) {
	n := ev.Number
	if !s.bySeq {
		n = noNumber
	}
	s.row.decided(newIDEntry(n, ev.hash, applied), s.contract.IDMemory)
}

// minus is a-b, or the nearest number that there is.
func minus(a, b int64) int64 {
	d := a - b
	switch {
	case a >= 0 && b < 0 && d < 0:
		return 1<<63 - 1
	case a < 0 && b > 0 && d >= 0:
		return -1 << 63
	}
	return d
}
