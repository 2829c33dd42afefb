package twin

import (
	"slices"

	"github.com/streamrun/streamrun/policies"
)

// redriveAll performs the operator's orders. One that the process died in goes on
// after the restart.
func (t *Twin) redriveAll() {
	for len(t.redrives) > 0 {
		name := t.redrives[0]
		t.redrive(name)
		t.redrives = slices.Clone(t.redrives[1:])
		if t.entities[name] != nil {
			t.watch(t.entities[name])
		}
	}
}

// redrive applies the letters of an entity in order, up to the first that is not
// next or fails, and unparks the entity when nothing holds it parked.
func (t *Twin) redrive(name string) {
	if e := t.entities[name]; e == nil || len(e.retries) > 0 {
		return
	}
	for {
		e := t.entities[name]
		n := t.firstLetter(e)
		if n < 0 || len(e.retries) > 0 || t.bySequence() && !t.isNext(e, n) {
			break
		}
		if t.handle(n) != succeeded && t.fault != redriveIgnoresFailure {
			break
		}
		how := redriven
		if !t.bySequence() {
			how = unsequenced
		}
		t.unit(func() {
			e := t.entities[name]
			delete(e.void, t.deliveries[n].Sequence)
			t.apply(e, n, how)
		})
		t.follow(name)
	}
	e := t.entities[name]
	if !e.parked {
		return
	}
	for _, l := range e.letters {
		if (l.parks || l.reason == policies.ReasonEntityParked) && t.canBeNext(e, l) {
			return
		}
	}
	e.parked = false
	t.note(name, "", policies.NoRule, "", "", "no letter keeps the entity parked")
	t.follow(name)
}

// firstLetter returns the first letter, in the order of the contract, that can
// still be applied in its turn, or -1. Of one number the event that had it comes
// before those that were in conflict with it.
func (t *Twin) firstLetter(e *entity) int {
	var first *delivery
	contested := false // first was in conflict
	for _, l := range e.letters {
		if !t.canBeNext(e, l) {
			continue
		}
		d, conflict := t.deliveries[l.n], l.reason == policies.ReasonSequenceConflict
		earlier := first == nil || t.before(d, first)
		if first != nil && conflict != contested && d.Sequence == first.Sequence {
			earlier = contested
		}
		if earlier {
			first, contested = d, conflict
		}
	}
	if first == nil {
		return -1
	}
	return first.n
}

func (t *Twin) before(a, b *delivery) bool {
	switch t.c.OrderBy {
	case policies.ByVersion:
		return newer(&b.Event, &a.Event)
	case policies.ByEventTime:
		return byTime(a, b) < 0
	default:
	}
	return byNumber(a, b) < 0
}

// canBeNext says whether a letter's turn can still come.
func (t *Twin) canBeNext(e *entity, l letter) bool {
	d := t.deliveries[l.n]
	if d.Epoch != e.epoch || l.reason == policies.ReasonInvalidMetadata {
		return false
	}
	switch t.c.OrderBy {
	case policies.ByVersion:
		return newer(&d.Event, e.winner)
	case policies.ByEventTime:
		return l.reason == policies.ReasonPoison || l.reason == policies.ReasonEntityParked || l.reason == policies.ReasonGapTimeout
	default:
	}
	_, ahead := e.ahead[d.Sequence]
	return d.Sequence > e.last && !ahead && !e.passed[d.Sequence]
}
