package reorder

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// record decides about the event in hand, in the order of asking: R0; a reset that
// R2 allows; R3, R4; the rest of R2; then place goes on with R5. (R1 is asked by
// whoever knows the owner generation.)
func (s *Sequencer) record(in *topology.OrderEvent) {
	ev := s.identify(in)
	row := s.row
	s.newborn = false
	if in.Entity == "" {
		s.letterOnly(ev, policies.ReasonInvalidMetadata, 0)
		return
	}
	if s.bySeq && !usable(&in.Metadata) {
		s.refuse(ev, policies.ReasonInvalidMetadata, 0, false)
		return
	}
	if !row.known {
		s.newborn = true
		row.known, row.epoch = true, in.Epoch
		s.begin(in.Sequence)
	}
	if in.Epoch > row.epoch && s.contract.Reset == policies.ResetEpoch && !s.reset(ev) {
		s.pause(19)
		return
	}
	if s.decided(ev) {
		s.duplicate(ev)
		return
	}
	if s.held.Letters() > 0 && s.held.FindLetter(ev.hash, ev.Epoch, ev.position()) != nil {
		s.again4(ev)
		return
	}
	switch {
	case s.madeVoid(ev):
		s.duplicate(ev)
	case ev.Epoch < row.epoch:
		s.refuse(ev, policies.ReasonStaleEpoch, 2, false)
	case ev.Epoch > row.epoch:
		s.refuse(ev, policies.ReasonUnexpectedEpoch, 2, false)
	default:
		s.place(ev)
	}
}

// isNext reports whether the event is the next one of an entity of which nothing is
// held, missing, tried again or dead-lettered (it has no rare part), so that no rule
// but R9 applies to it.
func (s *Sequencer) isNext(in *topology.OrderEvent) bool {
	row := s.row
	if !s.plain || !row.known || row.rare != nil || row.parked || !in.HasSequence || in.Sequence != row.last+1 ||
		in.Epoch != row.epoch || in.Sequence > maxSequence || in.Entity == "" {
		return false
	}
	s.nextHash = s.hashOf(&in.Metadata)
	return s.nextHash == 0 || !row.ids.has(s.nextHash)
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
			s.held.Touch(e)
			s.letter(e, policies.ReasonSupersededEpoch, 2, false)
		}
		row.rare = &rare{winner: x.winner, arrival: x.arrival}
	}
	row.ids.newEpoch()
	row.epoch, row.version = ev.Epoch, 0
	s.begin(ev.Sequence)
	row.ids.trim(s.contract.IDMemory, row.last)
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
		for _, e := range x.tries {
			if e.hash == ev.hash {
				return true
			}
		}
		return false
	}
	// The id is the number itself.
	if !s.bySeq || ev.Epoch != row.epoch {
		return false
	}
	if e := s.held.Get(ev.Number); e != nil {
		return e.hash == 0
	}
	if e := row.trying(ev.Number); e != nil {
		return e.hash == 0
	}
	return row.Ahead(ev.Number) && !row.ids.at(ev.Number) && !x.holes.has(ev.Number)
}

// madeVoid reports whether the event's id made its number void: it never claims it.
func (s *Sequencer) madeVoid(ev *Event) bool {
	if s.row.rare == nil || !s.bySeq || ev.Epoch != s.row.epoch {
		return false
	}
	by, void := s.row.rare.void.get(ev.Number)
	return void && by == ev.hash
}

// duplicate drops the event in hand; its number becomes void if nobody decided it
// (R3). A row that is full keeps no more voids: the number is then a missing one.
func (s *Sequencer) duplicate(ev *Event) {
	row, n := s.row, ev.Number
	s.changed = false
	if s.bySeq && ev.Epoch == row.epoch && n > row.last && !s.taken(n) && row.trying(n) == nil &&
		!s.held.LetterAt(ev.Epoch, n) && !row.full(s.contract.MaxHoles) {
		if _, void := row.more().void.get(n); !void {
			row.rare.void.add(n, ev.hash)
			s.changed = true
		}
	}
	s.drop(ev, policies.ReasonDuplicate, 3)
}

// taken reports whether an event that is held or decided ahead has the number. One
// that is tried again has it too as long as a durable buffer keeps it.
func (s *Sequencer) taken(n int64) bool {
	if s.held.Get(n) != nil || s.row.Ahead(n) {
		return true
	}
	e := s.row.trying(n)
	return e != nil && e.kept && s.ledger.durable
}

// again4 decides about another delivery of an event that has a letter (R4).
func (s *Sequencer) again4(ev *Event) {
	row, n := s.row, ev.Number
	if s.bySeq && ev.Epoch == row.epoch && !row.parked && !row.retrying() && n > row.last && n == row.nextWithout(n) && !s.taken(n) && !s.madeVoid(ev) {
		if s.inOrder(ev); s.flight.active {
			s.out[len(s.out)-1].Rule = 4
		}
		return
	}
	s.changed = false
	s.drop(ev, policies.ReasonDuplicateOfDLQ, 4)
}

// place decides about an event of the entity's epoch from R5 on. A busy entity
// decides R5 to R8 and early=apply at once and lets the rest wait (R13).
func (s *Sequencer) place(ev *Event) {
	row := s.row
	if s.bySeq && ev.Number < row.start {
		s.refuse(ev, policies.ReasonBeforeStart, 5, false)
		return
	}
	if row.parked {
		if s.auto != nil && ev.Number == row.next() { // it is what the entity was parked for
			s.auto.late()
		}
		s.refuse(ev, policies.ReasonEntityParked, 6, true)
		return
	}
	switch {
	case s.byVersion:
		s.placeVersion(ev)
	case s.byTime:
		s.placeTime(ev)
	default:
		s.placeNumber(ev)
	}
}

func (s *Sequencer) placeNumber(ev *Event) {
	row, n := s.row, ev.Number
	switch {
	case row.rare != nil && row.rare.holes.has(n):
		s.late(ev)
		return
	case n > row.last && s.taken(n), n <= row.last && (row.ids.at(n) || s.late4(n)):
		s.conflict(ev)
		return
	case n <= row.last:
		s.drop(ev, policies.ReasonDuplicate, 7)
		return
	}
	s.claim(ev)
	next, busy := row.nextWithout(n), s.busy()
	early := s.class(ev).Early == policies.EarlyApply && !row.full(s.contract.MaxHoles) && row.trying(n) == nil
	looks := ev.try == tryLook && s.contract.Gap == policies.GapRetry
	switch {
	case busy && looks:
		s.look(ev)
		return
	case busy && !early:
		s.hold(ev, true, s.busyRule(), next)
		return
	case n == next && busy:
		s.apply(ev, s.unasked(ev), false)
		return
	case n == next:
		s.inOrder(ev)
		return
	}
	if minus(n, s.highest()) > s.contract.MaxJump {
		s.refuse(ev, policies.ReasonSequenceJump, 10, false)
		return
	}
	if early {
		s.apply(ev, tryAhead, false)
		return
	}
	s.gap(ev, next)
}

// late4 reports whether an event with this number was dead-lettered as late.
func (s *Sequencer) late4(n int64) bool {
	return s.held.Letters() > 0 && s.held.LetterWith(s.row.epoch, n, policies.ReasonLate)
}

// claim takes a void number: another id than the one that made it void has it now.
func (s *Sequencer) claim(ev *Event) {
	if s.row.rare == nil {
		return
	}
	if by, void := s.row.rare.void.get(ev.Number); void {
		s.row.rare.void.remove(ev.Number)
		s.claimed = claim{span{ev.Number, ev.Number}, by}
	}
}

// busy reports whether the rest waits: for a local retry (R13), or, where a gap is
// given up at once, because the event whose turn it is waits for its cause (R18).
func (s *Sequencer) busy() bool {
	return s.row.retrying() || s.contract.Gap == policies.GapApply && s.causallyHeld(s.row.next())
}

func (s *Sequencer) busyRule() policies.Rule {
	if s.row.retrying() {
		return 13
	}
	return 18
}

// highest is the greatest number that is applied, held or tried again (R10).
func (s *Sequencer) highest() int64 {
	highest := s.row.last
	if e := s.held.Max(); e != nil {
		highest = max(highest, e.Number)
	}
	if x := s.row.rare; x != nil {
		highest = max(highest, x.appliedAhead())
		for _, e := range x.tries {
			highest = max(highest, e.Number)
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
		if s.row.full(s.contract.MaxHoles) {
			s.parkWith(ev, policies.ReasonEntityParked, 10)
		} else {
			s.apply(ev, s.unasked(ev), false)
		}
	default:
		s.hold(ev, false, 10, next)
	}
}

// conflict decides about an event whose number another id has (R7).
func (s *Sequencer) conflict(ev *Event) {
	if s.class(ev).Conflict == policies.ConflictPark {
		s.parkWith(ev, policies.ReasonSequenceConflict, 7)
	} else {
		s.refuse(ev, policies.ReasonSequenceConflict, 7, false)
	}
}

// late decides about an event whose number is a hole (R8).
func (s *Sequencer) late(ev *Event) {
	if s.auto != nil {
		s.auto.late()
	}
	if s.row.full(s.contract.MaxHoles) { // closing it could split a span
		s.parkWith(ev, policies.ReasonEntityParked, 8)
		return
	}
	n := ev.Number
	switch s.class(ev).Late {
	case policies.LateDrop:
		s.closeHole(n)
		s.remember(ev, false)
		s.drop(ev, policies.ReasonLate, 8)
	case policies.LateRebuild:
		s.closeHole(n)
		s.absorb(ev, 8)
	case policies.LateCompensate:
		s.apply(ev, tryCompensate, false)
	default:
		if s.refuse(ev, policies.ReasonLate, 8, false) {
			s.closeHole(n)
		}
	}
}

func (s *Sequencer) closeHole(n int64) {
	if x := s.row.rare; s.bySeq && x != nil {
		x.holes.remove(n)
	}
}

// absorb leaves the event to a rebuild that it asks for.
func (s *Sequencer) absorb(ev *Event, rule policies.Rule) {
	s.remember(ev, false)
	s.emit(topology.Decision{Kind: topology.DecideRequestRebuild, Rule: rule, From: ev.Sequence})
	s.ledger.end(ev, colAbsorbed)
	s.emit(topology.Decision{Kind: topology.DecideAbsorb, Rule: rule, Event: s.shown(ev)})
}

// placeVersion applies the event if it exceeds the winner (R14).
func (s *Sequencer) placeVersion(ev *Event) {
	if s.busy() {
		s.hold(ev, true, 13, 0)
		return
	}
	if !s.wins(ev) {
		s.remember(ev, false)
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
	return ev.ID > string(w.id)
}

// placeTime takes the event up until the watermark passes it (R17).
func (s *Sequencer) placeTime(ev *Event) {
	// The task clock stands behind the wall clock after downtime.
	if minus(ev.EventTime, max(s.now, ev.ReadAt)) > s.maxFuture {
		s.refuse(ev, policies.ReasonFutureTimestamp, 17, false)
		return
	}
	if mark, ok := s.outside.Watermark(ev.Source); ok && ev.EventTime <= mark {
		switch s.class(ev).Late {
		case policies.LateDrop:
			s.remember(ev, false)
			s.drop(ev, policies.ReasonLate, 17)
		case policies.LateRebuild:
			s.absorb(ev, 17)
		case policies.LateCompensate:
			s.apply(ev, tryCompensate, false)
		default:
			s.refuse(ev, policies.ReasonLate, 17, false)
		}
		return
	}
	source, mark := ev.Source, minus(ev.EventTime, s.slack)
	if s.held.Len() < s.contract.MaxHeld || s.releases(source, mark) {
		s.put(ev, false, 17, 0)
		s.outside.Accept(source, mark)
	} else {
		s.overflow(ev)
	}
}

// releases reports whether a held event may go once the watermark of the source is at mark.
func (s *Sequencer) releases(source int, mark int64) bool {
	e := s.held.MinOf(source)
	return e != nil && e.EventTime <= mark && !s.row.retrying()
}
