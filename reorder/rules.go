package reorder

import (
	"math"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// record decides about the event in hand, in the order of asking: R0; a reset that
// R2 allows; R3, R4; the rest of R2; then place goes on with R5. (R1 is asked by
// whoever knows the owner generation.)
func (s *Sequencer) record(in *topology.OrderEvent) {
	ev := s.identify(in)
	s.newborn = false
	row := s.row
	if in.Entity == "" || (s.bySeq && !usable(&in.Metadata)) {
		if in.Entity == "" {
			s.lettersOnly(ev, policies.ReasonInvalidMetadata, 0)
		} else {
			s.letter(ev, policies.ReasonInvalidMetadata, 0, false)
		}
		return
	}
	if !row.known {
		s.newborn = true
		row.known, row.epoch = true, in.Epoch
		s.begin(in.Sequence)
	}
	if in.Epoch > row.epoch && s.contract.Reset == policies.ResetEpoch && !s.reset(ev) {
		s.pause(ev, 19)
		return
	}
	if s.decided(ev) { // R3
		s.duplicate(ev)
		return
	}
	if l := s.held.FindLetter(ev.hash, ev.Epoch, ev.position()); l != nil { // R4
		if s.bySeq && ev.Epoch == row.epoch && !row.parked && s.free(ev.Number) &&
			ev.Number > row.last && ev.Number == row.nextWithout(ev.Number) && !s.causeMissing(ev) {
			ev.resolves = l
			s.apply(ev, tryOrder, false)
			return
		}
		s.drop(ev, policies.ReasonDuplicateOfDLQ, 4)
		return
	}
	switch {
	case ev.Epoch < row.epoch:
		s.letter(ev, policies.ReasonStaleEpoch, 2, false)
	case ev.Epoch > row.epoch:
		s.letter(ev, policies.ReasonUnexpectedEpoch, 2, false)
	default:
		s.place(ev, s.busy())
	}
}

// begin sets start and last of an epoch.
func (s *Sequencer) begin(first int64) {
	s.row.start = s.contract.Start.At()
	if s.contract.Start.FirstSeen() {
		s.row.start = first
	}
	s.row.last = s.row.start - 1
}

// reset starts the greater epoch of the event in hand (R2). It answers false when
// the letters of the old epoch do not fit.
func (s *Sequencer) reset(ev *Event) bool {
	row := s.row
	n := s.held.Len()
	if row.rare != nil {
		n += len(row.rare.tries)
	}
	if n > 0 && !s.room(n) {
		return false
	}
	for e := s.held.Min(); e != nil; e = s.held.Min() {
		s.held.Delete(e)
		s.letter(e, policies.ReasonSupersededEpoch, 2, false)
	}
	if x := row.rare; x != nil {
		for _, e := range x.tries {
			s.letter(e, policies.ReasonSupersededEpoch, 2, false)
		}
		row.rare = &rare{winner: x.winner, arrival: x.arrival}
	}
	row.ids.newEpoch()
	row.epoch, row.version = ev.Epoch, 0
	s.begin(ev.Sequence)
	row.ids.trim(s.contract.IDMemory, math.MaxInt64)
	return true
}

// decided reports whether R3 knows the id.
func (s *Sequencer) decided(ev *Event) bool {
	row, x := s.row, s.row.rare
	if ev.hash != 0 {
		if row.ids.has(ev.hash) || s.held.Find(ev.hash) != nil {
			return true
		}
		if x == nil {
			return false
		}
		if row.tryingID(ev.hash) != nil {
			return true
		}
		by, void := x.void.get(ev.Number)
		return s.bySeq && void && ev.Epoch == row.epoch && by == ev.hash // that id never claims it
	}
	if !s.bySeq || ev.Epoch != row.epoch {
		return false
	}
	// A derived id is the number itself.
	if e := s.held.Get(ev.Number); e != nil {
		return e.hash == 0
	}
	if x == nil {
		return false
	}
	if e := row.trying(ev.Number); e != nil {
		return e.hash == 0
	}
	if x.ahead.has(ev.Number) {
		_, other := row.ids.at(ev.Number)
		return !other
	}
	return false
}

// duplicate drops the event in hand; its number becomes void if nobody decided it (R3).
func (s *Sequencer) duplicate(ev *Event) {
	row := s.row
	if s.bySeq && ev.Epoch == row.epoch && ev.Number > row.last && s.free(ev.Number) &&
		!s.held.LetterAt(ev.Epoch, ev.Number) {
		x := row.more()
		if _, void := x.void.get(ev.Number); !void && !x.ahead.has(ev.Number) {
			if row.full(s.contract.MaxHoles) {
				s.parkAs(policies.ReasonEntityParked, 3)
			} else {
				x.void.add(ev.Number, ev.hash)
			}
		}
	}
	s.drop(ev, policies.ReasonDuplicate, 3)
}

// free reports whether no event that is held or tried again has the number.
func (s *Sequencer) free(number int64) bool {
	return s.held.Get(number) == nil && s.row.trying(number) == nil
}

// busy reports whether the entity waits for a local retry or the rest of a drain.
func (s *Sequencer) busy() bool {
	x := s.row.rare
	return x != nil && (x.draining || x.redriving || s.row.retrying())
}

// place decides about an event of the entity's epoch from R5 on. A busy entity
// decides R5 to R8 and early=apply at once and lets the rest wait (R13).
func (s *Sequencer) place(ev *Event, busy bool) {
	row := s.row
	if s.bySeq && ev.Number < row.start {
		s.refuse(ev, policies.ReasonBeforeStart, 5, false)
		return
	}
	if row.parked {
		s.refuse(ev, policies.ReasonEntityParked, 6, true)
		return
	}
	switch {
	case s.byVersion:
		s.placeVersion(ev, busy)
		return
	case s.byTime:
		s.placeTime(ev)
		return
	}
	n, x := ev.Number, row.rare
	if !s.free(n) || (x != nil && x.ahead.has(n)) {
		s.conflict(ev)
		return
	}
	if n <= row.last {
		if x != nil && x.holes.has(n) {
			s.late(ev)
		} else if _, other := row.ids.at(n); other {
			s.conflict(ev)
		} else {
			s.drop(ev, policies.ReasonDuplicate, 7)
		}
		return
	}
	next := row.nextWithout(n)
	if n == next {
		if busy {
			s.hold(ev, true, 13, next)
		} else {
			s.inOrder(ev)
		}
		return
	}
	early := s.contract.ClassOf(ev.Class).Early == policies.EarlyApply && !row.full(s.contract.MaxHoles)
	if busy && !early {
		s.hold(ev, true, 13, next)
		return
	}
	if highest := s.highestBelow(n); minus(n, highest) > s.contract.MaxJump {
		s.refuse(ev, policies.ReasonSequenceJump, 10, false)
		return
	}
	if early {
		s.apply(ev, tryAhead, false)
		return
	}
	s.gap(ev, next)
}

// highestBelow is the greatest number below n that is applied, held or tried again (R10).
func (s *Sequencer) highestBelow(n int64) int64 {
	highest := s.row.last
	if h, ok := s.held.Below(n); ok {
		highest = max(highest, h)
	}
	if x := s.row.rare; x != nil {
		for i := len(x.ahead) - 1; i >= 0; i-- {
			if x.ahead[i].from < n {
				highest = max(highest, min(x.ahead[i].to, n-1))
				break
			}
		}
		for _, e := range x.tries {
			if e.Number < n {
				highest = max(highest, e.Number)
			}
		}
	}
	return highest
}

// gap decides about an event beyond the next number (R10).
func (s *Sequencer) gap(ev *Event, next int64) {
	switch s.contract.Gap {
	case policies.GapReject:
		s.refuse(ev, policies.ReasonGap, 10, false)
	case policies.GapRetry:
		s.look(ev)
	case policies.GapApply:
		if s.causallyHeld(next) {
			s.hold(ev, false, 10, next)
			return
		}
		if s.row.full(s.contract.MaxHoles) {
			s.parkAs(policies.ReasonEntityParked, 10)
			s.refuse(ev, policies.ReasonEntityParked, 10, true)
			return
		}
		s.inOrder(ev)
	default:
		s.hold(ev, false, 10, next)
	}
}

// refuse dead-letters the event. An event that waited for a look or a retry and
// whose letter does not fit is asked about again later.
func (s *Sequencer) refuse(ev *Event, reason policies.Reason, rule policies.Rule, parks bool) {
	if !s.letter(ev, reason, rule, parks) && ev.state != stateFresh {
		s.tryAgain(ev, tryLook)
	}
}

// conflict decides about an event whose number another id has (R7).
func (s *Sequencer) conflict(ev *Event) {
	park := s.contract.ClassOf(ev.Class).Conflict == policies.ConflictPark
	if !s.room(1) {
		s.refuse(ev, policies.ReasonSequenceConflict, 7, park)
		return
	}
	s.letter(ev, policies.ReasonSequenceConflict, 7, park)
	if park {
		s.parkAs(policies.ReasonEntityParked, 7)
	}
}

// late decides about an event whose number is a hole (R8).
func (s *Sequencer) late(ev *Event) {
	row := s.row
	if row.full(s.contract.MaxHoles) { // closing it could split a span
		s.parkAs(policies.ReasonEntityParked, 8)
		s.refuse(ev, policies.ReasonEntityParked, 8, true)
		return
	}
	switch s.contract.ClassOf(ev.Class).Late {
	case policies.LateDrop:
		s.closeHole(ev)
		s.drop(ev, policies.ReasonLate, 8)
	case policies.LateRebuild:
		s.closeHole(ev)
		s.absorb(ev, 8)
	case policies.LateCompensate:
		s.apply(ev, tryCompensate, false)
	default:
		if !s.room(1) {
			s.refuse(ev, policies.ReasonLate, 8, false)
			return
		}
		row.rare.holes.remove(ev.Number)
		s.letter(ev, policies.ReasonLate, 8, false)
	}
}

// closeHole closes the event's hole, if it has one, and remembers its id.
func (s *Sequencer) closeHole(ev *Event) {
	if x := s.row.rare; s.bySeq && x != nil {
		x.holes.remove(ev.Number)
	}
	s.remember(ev)
}

// absorb leaves the event to a rebuild that it asks for.
func (s *Sequencer) absorb(ev *Event, rule policies.Rule) {
	s.emit(topology.Decision{Kind: topology.DecideRequestRebuild, Rule: rule, From: ev.Sequence})
	s.ledger.end(ev, colAbsorbed)
	s.emit(topology.Decision{Kind: topology.DecideAbsorb, Rule: rule, Event: s.shown(ev)})
}

// remember records the id among those that R3 knows.
func (s *Sequencer) remember(ev *Event) {
	n := ev.Number
	if !s.bySeq {
		n = noNumber
	}
	s.row.ids.record(n, ev.hash, s.contract.IDMemory, s.row.last)
}

// placeVersion applies the event if it exceeds the winner (R14).
func (s *Sequencer) placeVersion(ev *Event, busy bool) {
	if busy {
		s.hold(ev, true, 13, 0)
		return
	}
	if !s.wins(ev) {
		s.remember(ev)
		s.drop(ev, policies.ReasonSuperseded, 14)
		return
	}
	s.apply(ev, tryOrder, false)
}

// wins reports whether the event's tuple exceeds the winner's (R14).
func (s *Sequencer) wins(ev *Event) bool {
	if s.row.rare == nil || s.row.rare.winner == nil {
		return true
	}
	w := s.row.rare.winner
	switch {
	case ev.Version != w.version:
		return ev.Version > w.version
	case ev.EventTime != w.eventTime:
		return ev.EventTime > w.eventTime
	}
	return ev.ID > w.id
}

// placeTime takes the event up until the watermark passes it (R17).
func (s *Sequencer) placeTime(ev *Event) {
	if minus(ev.EventTime, s.now) > s.maxFuture {
		s.refuse(ev, policies.ReasonFutureTimestamp, 17, false)
		return
	}
	if mark, ok := s.outside.Watermark(ev.Source); ok && ev.EventTime <= mark {
		switch s.contract.ClassOf(ev.Class).Late {
		case policies.LateDrop:
			s.remember(ev)
			s.drop(ev, policies.ReasonLate, 17)
		case policies.LateRebuild:
			s.remember(ev)
			s.absorb(ev, 17)
		case policies.LateCompensate:
			s.apply(ev, tryCompensate, false)
		default:
			s.refuse(ev, policies.ReasonLate, 17, false)
		}
		return
	}
	source, mark := ev.Source, minus(ev.EventTime, s.slack)
	s.hold(ev, false, 17, 0)
	if !s.paused {
		s.outside.Accept(source, mark)
	}
}

// minus is a-b, or the nearest number that there is.
func minus(a, b int64) int64 {
	d := a - b
	switch {
	case a >= 0 && b < 0 && d < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && d >= 0:
		return math.MinInt64
	}
	return d
}
