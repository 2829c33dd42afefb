package reorder

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// drainable reports whether drainOne has something to decide.
func (s *Sequencer) drainable() bool {
	row, x := s.row, s.row.rare
	e := s.held.Min()
	if row.parked {
		return e != nil && x != nil && x.evacuate != ""
	}
	if e == nil || row.retrying() {
		return false
	}
	if s.bySeq {
		if next := row.next(); e.Number < next || e.Number == next && (!s.causallyHeld(next) || !s.causeMissing(e)) {
			return true
		}
	}
	return x != nil && len(x.waiting) > 0 && !s.busy()
}

// drainOne decides about the held event whose turn it is, or about the first of
// those that waited for the entity.
func (s *Sequencer) drainOne() {
	row, x := s.row, s.row.more()
	e := s.held.Min()
	switch {
	case row.parked:
		s.evacuate(e)
	case s.bySeq && e.Number == row.next() && (!s.causallyHeld(e.Number) || !s.causeMissing(e)):
		e.waiting = false
		s.now = max(s.now, e.due)
		s.inOrder(e)
	case s.bySeq && e.Number < row.next(): // it was passed while it waited
		s.again(e)
	default:
		first := s.held.Get(x.waiting[0])
		x.waiting = x.waiting[1:]
		if first != nil && first.waiting {
			s.again(first)
		}
	}
}

// again decides about a held event as if it came now.
func (s *Sequencer) again(e *Event) {
	s.held.Delete(e)
	s.endCausal(e)
	s.placeAgain(e)
}

// placeAgain decides from R5 on, unless a rebuild has applied the event meanwhile.
func (s *Sequencer) placeAgain(e *Event) {
	if e.hash != 0 && s.row.ids.has(e.hash) {
		s.drop(e, policies.ReasonDuplicate, 3)
		return
	}
	s.place(e)
}

// evacuate turns a held event of a parked entity into a letter.
func (s *Sequencer) evacuate(e *Event) {
	x, rule := s.row.rare, policies.Rule(13)
	if x.evacuate == policies.ReasonGapTimeout {
		rule = 11
	}
	s.held.Delete(e)
	s.letter(e, x.evacuate, rule, true)
	if s.held.Len() == 0 {
		x.evacuate, x.waiting = "", nil
	}
}

// joins reports whether an event that comes while the entity is not done may be decided
// now: it is held behind all others, or dropped, and so it would have been, or applied
// when its turn came, had the entity been done. Of others that cannot be said: the holes
// and the letters that the drain leaves decide about them.
func (s *Sequencer) joins(row *Row, held Held, in *topology.OrderEvent) bool {
	x, last := row.rare, held.Max()
	if !s.bySeq || !row.known || row.parked || x == nil || last == nil || len(x.tries) > 0 || x.redriving ||
		in.Entity == "" || !usable(&in.Metadata) || in.Epoch != row.epoch || s.contract.Gap != policies.GapBuffer && s.contract.Gap != policies.GapRebuild {
		return false
	}
	n, hash := in.Sequence, s.hashOf(&in.Metadata)
	e, known := row.ids.find(hash)
	switch {
	case held.Letters() > 0 && held.FindLetter(hash, in.Epoch, n) != nil, hash != 0 && held.Find(hash) != nil:
		return false
	case n <= row.last: // a duplicate for its id, or, once that is forgotten, for its number
		return n >= row.start && !x.holes.has(n) && !held.LetterWith(row.epoch, n, policies.ReasonLate) &&
			(known && e.number() == n || !known && !row.ids.at(n))
	}
	// Next to the last one it opens no hole of its own, whose timer would start later.
	_, void := x.void.get(n)
	return n == last.Number+1 && !known && !void && !row.Ahead(n) && s.contract.MaxJump > 0 &&
		s.contract.ClassOf(in.Class).Early != policies.EarlyApply &&
		held.Len() < s.contract.MaxHeld && held.Letters()+held.Len()+2 <= s.contract.MaxDLQ // parking takes them all
}

// rearm sees to the timer and the rebuild request of the head hole (R11): they
// stand while a held event waits for missing ones, and begin anew when next changes.
func (s *Sequencer) rearm() {
	row, x := s.row, s.row.rare
	e := s.held.Min()
	next := row.next()
	s.filled(next)
	if !s.bySeq || row.parked || e == nil || e.Number <= next || row.trying(next) != nil {
		if x != nil {
			x.hole = timer{}
		}
		return
	}
	x = row.more()
	if !x.hole.set || x.hole.number != next {
		x.hole = timer{set: true, on: true, number: next, due: s.now + s.holeWait(), arm: s.arm()}
		x.opened = s.now
		s.emit(topology.Decision{Kind: topology.DecideArm, Rule: 11, Due: x.hole.due, From: next})
	}
	if s.contract.Gap == policies.GapRebuild && !row.retrying() { // while it waits the policy is not asked
		s.askRebuild(next, next, 10)
	}
}

// askRebuild requests a rebuild for a hole, once per hole.
func (s *Sequencer) askRebuild(hole, from int64, rule policies.Rule) {
	if x := s.row.more(); !x.asked.is(hole) {
		x.asked = mark{true, hole}
		s.emit(topology.Decision{Kind: topology.DecideRequestRebuild, Rule: rule, From: from})
	}
}

// alarm says, once per hole, that it stays open past its wait.
func (s *Sequencer) alarm(hole int64, rule policies.Rule) {
	if x := s.row.more(); !x.rung.is(hole) {
		x.rung = mark{true, hole}
		s.emit(topology.Decision{Kind: topology.DecideAlarm, Rule: rule, From: hole})
	}
}

// fire fires the earliest timer of the entity if it is due.
func (s *Sequencer) fire() {
	t, x := s.row.timer(), s.row.rare
	if !t.on || t.due > s.now {
		return
	}
	switch {
	case x.hole.on && x.hole.arm == t.arm:
		x.hole.on = false
		s.fireHole()
	case x.causal.on && x.causal.arm == t.arm:
		s.fireCausal()
	default:
		for _, e := range x.tries {
			if e.arm == t.arm {
				s.fireTry(e)
				return
			}
		}
	}
}

// fireHole does what the contract says when the head hole stays open (R11).
func (s *Sequencer) fireHole() {
	next := s.row.next()
	switch s.contract.OnTimeout {
	case policies.OnTimeoutSkip:
		if s.row.full(s.contract.MaxHoles) {
			s.parkHeld()
		} else {
			s.skip(nil, 11)
		}
	case policies.OnTimeoutRebuild:
		s.askRebuild(next, s.row.last+1, 11)
	case policies.OnTimeoutHold:
		s.alarm(next, 11)
	default:
		s.parkHeld()
	}
}

// parkHeld parks the entity because of its head hole, or tries again later if the
// letters of its held events do not fit (R19).
func (s *Sequencer) parkHeld() {
	if !s.room(s.held.Len()) {
		h := &s.row.rare.hole
		h.on, h.due, h.arm = true, s.now+s.delay, s.arm()
		return
	}
	s.park(policies.ReasonGapTimeout, 11)
}

// fireTry runs a handler again, or looks at a gap again.
func (s *Sequencer) fireTry(e *Event) {
	switch e.try {
	case tryLook:
	case tryUnordered:
		s.apply(e, s.unasked(e), false) // its cause may have come meanwhile
		return
	default:
		s.apply(e, e.try, false)
		return
	}
	s.stopTrying(e)
	e.attempts++
	s.held.Touch(e)
	s.placeAgain(e)
}
