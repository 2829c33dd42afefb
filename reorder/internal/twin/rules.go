package twin

import (
	"fmt"
	"math"
	"slices"

	"github.com/streamrun/streamrun/policies"
)

// maxSequence is the greatest sequence number (R0).
const maxSequence = math.MaxInt64 - 1

func (t *Twin) bySequence() bool { return t.c.OrderBy == policies.BySequence }

func (t *Twin) classOf(n int) policies.Class { return t.c.ClassOf(t.deliveries[n].Class) }

// entity returns the entity of that name, new if need be.
func (t *Twin) entity(name string) *entity {
	e := t.entities[name]
	if e == nil {
		e = &entity{name: name}
		e.reset(0, t.c.Start.At())
		t.entities[name] = e
	}
	return e
}

// startFor is the start of an entity, or of its epoch, whose first number is s.
func (t *Twin) startFor(s int64) int64 {
	if t.c.Start.FirstSeen() {
		return s
	}
	return t.c.Start.At()
}

// rules decides about a record in hand. Order of asking: R0, a reset that R2
// allows, R3, R4, the rest of R2, then R5 to R18. (R1 is asked on delivery.)
func (t *Twin) rules(n int) {
	d := t.deliveries[n]
	e := t.entity(d.Entity)
	switch {
	case d.Entity == "":
		t.letter(e, n, 0, policies.ReasonInvalidMetadata, false, "it names no entity")
		return
	case t.bySequence() && !d.HasSequence:
		t.letter(e, n, 0, policies.ReasonInvalidMetadata, false, "it has no sequence number")
		return
	case t.bySequence() && (d.Sequence < 0 || d.Sequence > maxSequence):
		t.letter(e, n, 0, policies.ReasonInvalidMetadata, false, "its sequence number %d is out of range", d.Sequence)
		return
	}
	if !e.known {
		e.known = true
		e.reset(d.Epoch, t.startFor(d.Sequence))
	}
	if d.Epoch > e.epoch && t.c.Reset == policies.ResetEpoch {
		t.resetEpoch(e, n)
	}
	if t.isDecided(e, n) {
		t.duplicate(e, n)
		return
	}
	if e.letterOf(d.ID, t.deliveries) {
		if t.bySequence() && d.Epoch == e.epoch && !e.parked && len(e.retries) == 0 && e.void[d.Sequence] != d.ID && t.isNext(e, n) {
			delete(e.void, d.Sequence)
			t.inTurn(e, n)
			return
		}
		t.end(n, policies.Dropped, 4, policies.ReasonDuplicateOfDLQ, "its id has a letter, and it is not its turn")
		return
	}
	switch {
	case d.Epoch < e.epoch:
		t.letter(e, n, 2, policies.ReasonStaleEpoch, false, "its epoch %d is behind the entity's %d", d.Epoch, e.epoch)
	case d.Epoch > e.epoch:
		t.letter(e, n, 2, policies.ReasonUnexpectedEpoch, false, "its epoch %d is ahead of the entity's %d, and the contract forbids resets", d.Epoch, e.epoch)
	default:
		t.place(e, n, nil)
	}
}

// resetEpoch is the reset of R2.
func (t *Twin) resetEpoch(e *entity, n int) {
	var old []*delivery
	if t.fault != resetKeepsHeld {
		old = t.heldOf(e)
		e.held = nil
	}
	for _, r := range e.retries {
		old = append(old, t.deliveries[r.n])
	}
	for _, l := range e.looks {
		old = append(old, t.deliveries[l.n])
	}
	e.retries, e.looks = nil, nil
	for _, d := range sortedBy(old, byNumber) {
		t.letter(e, d.n, 2, policies.ReasonSupersededEpoch, false, "epoch %d began", t.deliveries[n].Epoch)
	}
	e.reset(t.deliveries[n].Epoch, t.startFor(t.deliveries[n].Sequence))
	t.evict(e)
}

// isDecided says whether R3 knows the id: decided, held or retrying.
func (t *Twin) isDecided(e *entity, n int) bool {
	id := t.deliveries[n].ID
	for _, m := range e.memory {
		if m.id == id {
			return true
		}
	}
	for _, h := range e.held {
		if h.n != n && t.deliveries[h.n].ID == id {
			return true
		}
	}
	for _, r := range e.retries {
		if t.deliveries[r.n].ID == id {
			return true
		}
	}
	for _, l := range e.looks {
		if l.n != n && t.deliveries[l.n].ID == id {
			return true
		}
	}
	return false
}

// duplicate drops a delivery by R3. The number that it wastes becomes void.
func (t *Twin) duplicate(e *entity, n int) {
	d := t.deliveries[n]
	t.end(n, policies.Dropped, 3, policies.ReasonDuplicate, "its id is decided, held or retrying")
	if !t.bySequence() || d.Epoch != e.epoch || d.Sequence <= e.last || e.decided(d.Sequence) || t.fault == voidIgnored {
		return
	}
	if _, held := t.holder(e, n); held || t.isTried(e, d.Sequence) {
		return
	}
	for _, l := range e.letters {
		if other := t.deliveries[l.n]; other.HasSequence && other.Sequence == d.Sequence && other.Epoch == e.epoch {
			return
		}
	}
	e.void[d.Sequence] = d.ID
}

// isTried says whether the number is in local retry or waits for a look.
func (t *Twin) isTried(e *entity, s int64) bool {
	for _, l := range e.looks {
		if t.deliveries[l.n].Sequence == s {
			return true
		}
	}
	return t.isRetried(e, s)
}

func (t *Twin) isRetried(e *entity, s int64) bool {
	for _, r := range e.retries {
		if t.deliveries[r.n].Sequence == s {
			return true
		}
	}
	return false
}

// holder returns the id of another delivery that holds the number of n, or was applied
// ahead with it (R7).
func (t *Twin) holder(e *entity, n int) (string, bool) {
	s := t.deliveries[n].Sequence
	for _, h := range e.held {
		if t.deliveries[h.n].Sequence == s {
			return t.deliveries[h.n].ID, true
		}
	}
	for other, f := range t.fates {
		// What a durable buffer keeps is held in it, also while it is tried again.
		if d := t.deliveries[other]; other != n && f.disposition == policies.Retrying && f.buffered && d.Entity == e.name && d.Epoch == e.epoch && d.Sequence == s {
			return d.ID, true
		}
	}
	id, ahead := e.ahead[s]
	return id, ahead
}

func (t *Twin) isHeld(e *entity, s int64) bool {
	return slices.ContainsFunc(e.held, func(h hold) bool { return t.deliveries[h.n].Sequence == s })
}

// recorded returns the id that decided a number at or below last (R7): in the id
// memory, or a late letter's.
func (t *Twin) recorded(e *entity, s int64) (string, bool) {
	for _, m := range e.memory {
		if m.numbered && m.number == s && m.epoch == e.epoch {
			return m.id, true
		}
	}
	for _, l := range e.letters {
		if d := t.deliveries[l.n]; l.reason == policies.ReasonLate && d.Sequence == s && d.Epoch == e.epoch {
			return d.ID, true
		}
	}
	return "", false
}

// isNext says whether the delivery has the next number; a void one counts as undecided (R9).
func (t *Twin) isNext(e *entity, n int) bool {
	s := t.deliveries[n].Sequence
	if s <= e.last {
		return false
	}
	if _, taken := t.holder(e, n); taken || e.passed[s] {
		return false
	}
	for m := e.last + 1; m < s; m++ {
		if !e.decided(m) {
			return false
		}
	}
	return true
}

// place asks R5 to R18 of an event that is not a duplicate. l is the look at
// which it asks, nil for none.
func (t *Twin) place(e *entity, n int, l *look) {
	d := t.deliveries[n]
	if t.bySequence() && d.Sequence < e.start {
		t.letter(e, n, 5, policies.ReasonBeforeStart, false, "the entity starts at %d", e.start)
		return
	}
	if e.parked && t.fault != parkedIgnored {
		t.letter(e, n, 6, policies.ReasonEntityParked, false, "the entity is parked")
		return
	}
	switch t.c.OrderBy {
	case policies.ByVersion:
		t.placeVersion(e, n)
	case policies.ByEventTime:
		t.placeTime(e, n)
	default:
		t.placeSequence(e, n, l)
	}
}

func (t *Twin) placeSequence(e *entity, n int, l *look) {
	d := t.deliveries[n]
	s := d.Sequence
	if (s <= e.last || e.passed[s]) && !e.holes.has(s) {
		if id, known := t.recorded(e, s); known && t.fault != conflictIsDuplicate {
			t.letter(e, n, 7, policies.ReasonSequenceConflict, false, "number %d was decided for %s", s, id)
			return
		}
		t.end(n, policies.Dropped, 7, policies.ReasonDuplicate, "number %d was decided, by an id that is forgotten", s)
		return
	}
	if id, taken := t.holder(e, n); taken {
		t.letter(e, n, 7, policies.ReasonSequenceConflict, false, "number %d is taken by %s", s, id)
		return
	}
	if e.holes.has(s) {
		if t.fault == lateIsDuplicate {
			t.end(n, policies.Dropped, 7, policies.ReasonDuplicate, "")
			return
		}
		t.late(e, n, 8)
		return
	}
	if e.void[s] == d.ID && d.ID != "" {
		t.end(n, policies.Dropped, 3, policies.ReasonDuplicate, "its id made number %d void", s)
		return
	}
	delete(e.void, s) // claimed

	early := t.classOf(n).Early == policies.EarlyApply
	far := minus(s, t.highest(e)) > t.c.MaxJump && t.fault != jumpIgnored
	isNext := s == e.next()
	switch {
	case len(e.retries) > 0 && l != nil:
		t.lookAgain(e, n, l)
	case len(e.retries) > 0 && (!early || t.isRetried(e, s)):
		t.hold(e, n, true, 13, "its entity is in local retry")
	case isNext && len(e.retries) > 0:
		t.try(e, n, inOrder)
	case isNext:
		t.inTurn(e, n)
	case !early && t.c.Gap == policies.GapApply && t.isHeld(e, e.next()):
		// Nothing is missing: what is next is here and waits for its cause.
		t.hold(e, n, true, 18, fmt.Sprintf("number %d waits for its cause", e.next()))
	case far:
		t.letter(e, n, 10, policies.ReasonSequenceJump, false, "number %d is more than %d above the highest, %d", s, t.c.MaxJump, t.highest(e))
	case early:
		t.try(e, n, aheadOfTurn)
	default:
		t.gap(e, n, l)
	}
}

// highest is the greatest number applied, held or being tried (R10).
func (t *Twin) highest(e *entity) int64 {
	h := e.last
	for n := range e.ahead {
		h = max(h, n)
	}
	for n := range e.passed {
		if !e.holes.has(n) { // closed by a late event: neither hole nor last, as one ahead is
			h = max(h, n)
		}
	}
	for _, x := range e.held {
		h = max(h, t.deliveries[x.n].Sequence)
	}
	for _, x := range e.retries {
		h = max(h, t.deliveries[x.n].Sequence)
	}
	for _, x := range e.looks {
		h = max(h, t.deliveries[x.n].Sequence)
	}
	return h
}

// gap is the gap policy of R10.
func (t *Twin) gap(e *entity, n int, l *look) {
	d := t.deliveries[n]
	switch t.c.Gap {
	case policies.GapReject:
		t.letter(e, n, 10, policies.ReasonGap, false, "number %d is not next, %d is", d.Sequence, e.next())
	case policies.GapRetry:
		if l == nil {
			l = &look{n: n}
		}
		t.lookAgain(e, n, l)
	case policies.GapApply:
		t.try(e, n, overGap)
	default: // buffer, rebuild
		t.hold(e, n, false, 10, fmt.Sprintf("number %d is next", e.next()))
	}
}

// lookAgain ends a look that found the number not to be next: it is looked at
// again, or was the last time.
func (t *Twin) lookAgain(e *entity, n int, l *look) {
	if l.taken >= max(0, t.c.Retry.Max) {
		t.letter(e, n, 10, policies.ReasonRetryExhausted, false, "number %d was not next at any of %d looks", t.deliveries[n].Sequence, l.taken)
		return
	}
	e.looks = append(e.looks, look{n: n, taken: l.taken, due: t.now + t.c.Retry.Delay.Milliseconds(), armed: t.arm()})
	t.end(n, policies.Retrying, 10, "", "number %d is not next, %d is; look %d comes", t.deliveries[n].Sequence, e.next(), l.taken+1)
}

// late is the late policy, of a hole (R8) or behind the watermark (R17).
func (t *Twin) late(e *entity, n int, rule policies.Rule) {
	d := t.deliveries[n]
	switch t.classOf(n).Late {
	case policies.LateDrop:
		t.end(n, policies.Dropped, rule, policies.ReasonLate, "it is late")
		t.remember(e, n)
	case policies.LateRebuild:
		t.requestRebuild(e, d.Sequence, rule)
		t.end(n, policies.Absorbed, rule, policies.ReasonLate, "it is late, and the rebuild will hold it")
		t.remember(e, n)
	case policies.LateCompensate:
		t.end(n, policies.Compensated, rule, policies.ReasonLate, "it is late")
		t.remember(e, n)
	default:
		t.letter(e, n, rule, policies.ReasonLate, false, "it is late")
	}
	e.holes = e.holes.without(d.Sequence, d.Sequence)
}

// letter puts a delivery into the dead-letter queue, which may be full (R19). An
// event without an entity has no queue that could be.
func (t *Twin) letter(e *entity, n int, rule policies.Rule, reason policies.Reason, parks bool, format string, args ...any) {
	if e.name != "" && len(e.letters) >= t.c.MaxDLQ {
		panic(stopped{19, "the dead-letter queue of its entity is full"})
	}
	e.letters = append(e.letters, letter{n: n, reason: reason, parks: parks})
	t.end(n, policies.DeadLettered, rule, reason, format, args...)
}

func (t *Twin) requestRebuild(e *entity, from int64, rule policies.Rule) {
	t.rebuilds = append(t.rebuilds, entry(e.name, e.name, "from %d", from))
	t.note(e.name, "", rule, "", "", "a rebuild from %d is requested", from)
}

// remember records a decided id; the first recorded is evicted, but not while it
// is ahead.
func (t *Twin) remember(e *entity, n int) {
	d := t.deliveries[n]
	e.memory = append(e.memory, memo{id: d.ID, epoch: d.Epoch, number: d.Sequence, numbered: d.HasSequence})
	t.evict(e)
}

func (t *Twin) evict(e *entity) {
	for i := 0; len(e.memory) > t.c.IDMemory && i < len(e.memory); {
		m := e.memory[i]
		if id, ahead := e.ahead[m.number]; ahead && id == m.id && m.epoch == e.epoch {
			i++
			continue
		}
		e.memory = append(e.memory[:i:i], e.memory[i+1:]...)
	}
}
