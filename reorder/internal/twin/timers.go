package twin

import (
	"slices"

	"github.com/streamrun/streamrun/policies"
)

// watch starts, restarts and stops the timers of an entity after something about
// it was decided (R11, R18), and asks for the rebuild of gap=rebuild. In a re-drive
// that comes last: its own letters may fill what is missing.
func (t *Twin) watch(e *entity) {
	if slices.Contains(t.redrives, e.name) {
		return
	}
	next := e.next()
	if !t.bySequence() || e.parked || len(e.held) == 0 || t.isTried(e, next) && t.fault != timerInRetry {
		e.timer = holeTimer{}
		return
	}
	waits := false
	for i, h := range e.held {
		if t.deliveries[h.n].Sequence != next {
			e.held[i].cause = nil
			continue
		}
		// The event whose turn it is waits for its cause; the rest waits for it.
		waits = true
		if h.cause == nil && len(e.retries) == 0 {
			e.held[i].cause = &waitTimer{due: t.now + t.c.MaxWait.Milliseconds(), armed: t.arm()}
		}
	}
	if waits {
		e.timer = holeTimer{}
		return
	}
	if !e.timer.on || e.timer.next != next {
		e.timer = holeTimer{on: true, next: next, due: t.now + t.c.MaxWait.Milliseconds() + t.skew(), armed: t.arm()}
	}
	if t.c.Gap == policies.GapRebuild && len(e.retries) == 0 && e.once(&e.asked) {
		t.requestRebuild(e, next, 10)
	}
}

func (t *Twin) skew() int64 {
	switch t.fault {
	case deadlineEarly:
		return -1
	case deadlineLate:
		return 1
	default:
	}
	return 0
}

// once says whether the hole at the head is not the marked one yet, and marks it.
func (e *entity) once(mark **int64) bool {
	next := e.next()
	if *mark != nil && **mark == next {
		return false
	}
	*mark = &next
	return true
}

// fireHole is the hole timer (R11).
func (t *Twin) fireHole(name string) {
	_, ok := t.unit(func() {
		e := t.entities[name]
		e.timer.fired = true
		switch t.c.OnTimeout {
		case policies.OnTimeoutSkip:
			t.skip(e, t.heldOf(e)[0].Sequence, 11)
		case policies.OnTimeoutRebuild:
			if e.once(&e.asked) {
				t.requestRebuild(e, e.last+1, 11)
			}
		case policies.OnTimeoutHold:
			if e.once(&e.rang) {
				t.note(name, "", 11, "", "", "number %d is still missing", e.next())
			}
		default:
			t.park(e, policies.ReasonGapTimeout, 11)
		}
	})
	if !ok {
		t.entities[name].timer.due = t.again()
	}
	t.follow(name)
}

// fireCause is the end of the wait for a cause (R18).
func (t *Twin) fireCause(name string, n int) {
	_, ok := t.unit(func() {
		e := t.entities[name]
		switch t.c.OnTimeout {
		case policies.OnTimeoutSkip:
			t.unhold(e, n)
			t.note(name, t.deliveries[n].ID, 18, "", "", "its cause %s did not come", t.deliveries[n].After)
			t.try(e, n, inOrder)
		case policies.OnTimeoutPark:
			t.unhold(e, n)
			t.letter(e, n, 18, policies.ReasonCauseTimeout, true, "its cause %s did not come", t.deliveries[n].After)
			t.park(e, policies.ReasonEntityParked, 18)
		default: // rebuild, hold: no rebuild of its entity brings the cause
			t.causeTimer(e, n).fired = true
			t.note(name, t.deliveries[n].ID, 18, "", "", "its cause %s is still missing", t.deliveries[n].After)
		}
	})
	if !ok {
		t.causeTimer(t.entities[name], n).due = t.again()
	}
	t.follow(name)
}

func (t *Twin) causeTimer(e *entity, n int) *waitTimer {
	i := slices.IndexFunc(e.held, func(h hold) bool { return h.n == n })
	return e.held[i].cause
}

// fireRetry retries an event in place (R13).
func (t *Twin) fireRetry(name string, n int) {
	_, ok := t.unit(func() {
		e := t.entities[name]
		i := slices.IndexFunc(e.retries, func(r retry) bool { return r.n == n })
		r := e.retries[i]
		e.retries = slices.Delete(slices.Clone(e.retries), i, i+1)
		switch t.handle(n) {
		case succeeded:
			t.apply(e, n, r.how)
		case poisonous:
			t.poisoned(e, n, r.how, "it fails for good")
		case retryable:
			t.failed(e, n, r.how, r.failed+1)
		}
	})
	if !ok {
		for i, r := range t.entities[name].retries {
			if r.n == n {
				t.entities[name].retries[i].due = t.again()
			}
		}
	}
	t.follow(name)
}

// fireLook looks at an event beyond a gap again (R10).
func (t *Twin) fireLook(name string, n int) {
	_, ok := t.unit(func() {
		e := t.entities[name]
		i := slices.IndexFunc(e.looks, func(l look) bool { return l.n == n })
		l := e.looks[i]
		l.taken++
		e.looks = slices.Delete(slices.Clone(e.looks), i, i+1)
		if t.isDecided(e, n) {
			t.duplicate(e, n) // a rebuild absorbed it
			return
		}
		t.place(e, n, &l)
	})
	if !ok {
		for i, l := range t.entities[name].looks {
			if l.n == n {
				t.entities[name].looks[i].due = t.again()
			}
		}
	}
	t.follow(name)
}
