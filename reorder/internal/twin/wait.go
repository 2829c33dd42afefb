package twin

import (
	"slices"

	"github.com/streamrun/streamrun/policies"
)

// heldOf returns the held deliveries of an entity in sequence order.
func (t *Twin) heldOf(e *entity) []*delivery {
	var held []*delivery
	for _, h := range e.held {
		held = append(held, t.deliveries[h.n])
	}
	return sortedBy(held, byNumber)
}

func sortedBy(ds []*delivery, order func(a, b *delivery) int) []*delivery {
	slices.SortStableFunc(ds, order)
	return ds
}

// hold keeps an event until its turn comes, if the entity may hold one more (R12).
func (t *Twin) hold(e *entity, n int, undecided bool, rule policies.Rule, why string) {
	if len(e.held) >= t.c.MaxHeld {
		t.overflow(e, n)
		return
	}
	e.held = append(e.held, hold{n: n, undecided: undecided})
	t.end(n, policies.Held, rule, "", "%s", why)
	t.fates[n].buffered = t.c.Buffer == policies.BufferDurable
	if t.fault == timerRestarts && e.timer.on {
		e.timer.due = t.now + t.c.MaxWait.Milliseconds()
	}
}

func (t *Twin) unhold(e *entity, n int) {
	e.held = slices.DeleteFunc(slices.Clone(e.held), func(h hold) bool { return h.n == n })
}

// overflow is R12.
func (t *Twin) overflow(e *entity, n int) {
	full := stopped{12, "its entity holds as many events as it may"}
	switch t.c.OnOverflow {
	case policies.OnOverflowSkip:
		if !t.bySequence() {
			panic(full) // there is no hole to give up
		}
		smallest := t.deliveries[n].Sequence
		for _, h := range e.held {
			smallest = min(smallest, t.deliveries[h.n].Sequence)
		}
		if !t.skip(e, smallest, 12) {
			panic(full) // all that it waits for is being retried, or a cause
		}
		t.save()
		name := e.name
		for t.settleOne(name) { // no timer or request: the event in hand counts as held
		}
		t.place(t.entities[name], n, nil)
	case policies.OnOverflowPark:
		t.park(e, policies.ReasonGapTimeout, 12)
		t.letter(e, n, 12, policies.ReasonEntityParked, false, "its entity is full and was parked")
	default:
		panic(full)
	}
}

// park parks an entity; what it holds follows in sequence order.
func (t *Twin) park(e *entity, reason policies.Reason, rule policies.Rule) {
	held := t.heldOf(e)
	e.held, e.parked = nil, true
	for _, d := range held {
		t.letter(e, d.n, rule, reason, reason == policies.ReasonGapTimeout, "the entity was parked")
	}
	t.note(e.name, "", rule, "", "", "the entity is parked")
}

// untried is the smallest of a number and those above last in local retry or waiting
// for a look: these are listed as retrying, and a retrying number is never given up.
func (t *Twin) untried(e *entity, before int64) int64 {
	if t.fault == timerInRetry {
		return before
	}
	for _, r := range e.retries {
		if s := t.deliveries[r.n].Sequence; s > e.last {
			before = min(before, s)
		}
	}
	for _, l := range e.looks {
		if s := t.deliveries[l.n].Sequence; s > e.last {
			before = min(before, s)
		}
	}
	return before
}

// jump moves last to a decided number and gives up what it passes over. It answers
// false when a retrying number stops it: the decided one is ahead then.
func (t *Twin) jump(e *entity, n int64) bool {
	stop := t.untried(e, n)
	t.giveUp(e, stop)
	if stop < n {
		e.pass(stop - 1)
		return false
	}
	e.pass(n)
	return true
}

// skip gives up what is missing before a number, and moves last there (R11). It
// reports whether there was anything.
func (t *Twin) skip(e *entity, before int64, rule policies.Rule) bool {
	before = t.untried(e, before)
	if e.next() >= before {
		return false
	}
	t.note(e.name, "", rule, "", "", "the numbers missing from %d to %d are given up", e.next(), before-1)
	t.giveUp(e, before)
	e.pass(before - 1)
	t.evict(e)
	return true
}

// giveUp makes holes of the undecided numbers between last and a number.
func (t *Twin) giveUp(e *entity, before int64) {
	if t.fault == holesForgotten {
		return
	}
	e.holes = e.holes.and(e.undecided(before))
}

// isBlocked says whether an event whose turn it is waits for its cause (R18).
func (t *Twin) isBlocked(n int) bool {
	after := t.deliveries[n].After
	return t.c.Causal && after != "" && !t.causes[after]
}

// inTurn applies an event whose turn it is, unless it waits for its cause (R18).
func (t *Twin) inTurn(e *entity, n int) {
	switch {
	case !t.isBlocked(n):
		t.try(e, n, inOrder)
	case t.isCycle(n):
		t.letter(e, n, 18, policies.ReasonCauseCycle, true, "its cause waits for it, or for too many others")
		t.park(e, policies.ReasonEntityParked, 18)
	default:
		t.hold(e, n, false, 18, "its cause "+t.deliveries[n].After+" is not applied")
	}
}

// isCycle follows the held causes of an event.
func (t *Twin) isCycle(n int) bool {
	after := t.deliveries[n].After
	for depth := 0; ; depth++ {
		if after == t.deliveries[n].ID || depth > t.c.MaxDepth {
			return true
		}
		cause := t.heldWith(after)
		if cause == nil {
			return false
		}
		after = cause.After
	}
}

// heldWith returns the first held delivery of an id, in any entity.
func (t *Twin) heldWith(id string) *delivery {
	var first *delivery
	for _, e := range t.entities {
		for _, h := range e.held {
			if d := t.deliveries[h.n]; d.ID == id && (first == nil || d.n < first.n) {
				first = d
			}
		}
	}
	return first
}

// follow lets go on what a decision about an entity made possible: its own events
// first, then those of other entities that waited for their cause.
func (t *Twin) follow(name string) {
	t.settle(name)
	if !t.bySequence() {
		t.release()
		return
	}
	for {
		waiting := t.uncaused()
		if waiting < 0 || !t.settleOne(t.deliveries[waiting].Entity) {
			return
		}
		t.settle(t.deliveries[waiting].Entity)
	}
}

// uncaused returns the first held event that need not wait for its cause any more, or -1.
func (t *Twin) uncaused() int {
	first := -1
	for _, e := range t.entities {
		for _, h := range e.held {
			if h.cause != nil && !t.isBlocked(h.n) && !e.parked && len(e.retries) == 0 && (first < 0 || h.n < first) {
				first = h.n
			}
		}
	}
	return first
}

// settle decides about the held events of an entity as long as one can be
// decided, and sets its timers.
func (t *Twin) settle(name string) {
	for t.settleOne(name) && t.fault != drainsOne {
	}
	if e := t.entities[name]; e != nil {
		t.watch(e)
	}
}

// settleOne decides about one held event of an entity, if one can be decided.
func (t *Twin) settleOne(name string) bool {
	e := t.entities[name]
	if e == nil || len(e.retries) > 0 {
		return false
	}
	n := -1
	if !e.parked {
		n = t.nextHeld(e)
	}
	if n < 0 && len(e.rebuild) > 0 {
		r := e.rebuild[0]
		e.rebuild = e.rebuild[1:]
		t.rebuildEntity(e, r)
		return true
	}
	if n < 0 {
		return false
	}
	_, ok := t.unit(func() {
		e := t.entities[name]
		t.unhold(e, n)
		if t.isDecided(e, n) {
			t.duplicate(e, n) // a rebuild absorbed it
			return
		}
		t.place(e, n, nil)
	})
	return ok
}

// nextHeld picks the held event to decide about: the one whose turn it is, else
// the first of those that only waited for a local retry; -1 for none.
func (t *Twin) nextHeld(e *entity) int {
	if t.c.OrderBy == policies.ByVersion {
		first := -1 // nothing is early, so the order of arrival is the order
		for _, h := range e.held {
			if first < 0 || h.n < first {
				first = h.n
			}
		}
		return first
	}
	if t.c.OrderBy == policies.ByEventTime {
		return -1 // release decides
	}
	undecided := -1
	for _, h := range e.held {
		if t.deliveries[h.n].Sequence < e.next() { // it was passed while it waited
			return h.n
		}
	}
	for i, h := range e.held {
		d := t.deliveries[h.n]
		if d.Sequence == e.next() {
			if !t.isBlocked(h.n) || h.cause == nil && t.isCycle(h.n) {
				return h.n
			}
			e.held[i].undecided = false
			if t.c.Gap == policies.GapApply {
				return -1 // nothing is applied over it
			}
			continue
		}
		if h.undecided && (undecided < 0 || byNumber(d, t.deliveries[undecided]) < 0) {
			undecided = h.n
		}
	}
	return undecided
}
