package twin

import (
	"cmp"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// startRebuild rebuilds an entity now, or when its local retry is over.
func (t *Twin) startRebuild(r scenario.Rebuild) {
	e := t.entity(r.Entity)
	if i := slices.IndexFunc(r.Log, t.usable); !e.known && i >= 0 {
		e.known = true
		e.reset(r.Log[i].Epoch, t.startFor(r.Log[i].Sequence))
	}
	e.rebuild = append(e.rebuild, r)
	t.follow(r.Entity)
}

// rebuildEntity folds the log into a shadow, compares, swaps it in, sends the
// effects of first deliveries, and lets the drain follow (R15).
func (t *Twin) rebuildEntity(e *entity, r scenario.Rebuild) {
	log := t.readLog(e, r.Log)
	shadow := e.clone()
	shadow.content, shadow.winner = nil, nil
	if t.bySequence() {
		t.foldSequence(e, shadow, log)
	} else {
		t.foldOther(e, shadow, log)
	}
	for _, c := range e.content {
		if !shadow.holds(c.id) {
			t.note(e.name, c.id, 15, "", "", "the rebuild is refused: its log loses the applied %s", c.id)
			return
		}
	}
	if before, after := e.state(), shadow.state(); before != after {
		t.diff[e.name] = [2]string{before, after}
	}
	for _, c := range shadow.content {
		ev := log[slices.IndexFunc(log, func(ev scenario.Event) bool { return ev.ID == c.id })]
		key := t.key(ev)
		cut := t.bySequence() && (c.epoch < e.epoch || c.epoch == e.epoch && c.number <= e.last)
		if cut || t.done[key] && t.fault != ledgerIgnored {
			t.suppressed = append(t.suppressed, scenario.Entry{Entity: e.name, ID: key})
			continue
		}
		t.attempts[key] += 1 + ev.Sink.LostAck + ev.Sink.Down
		t.done[key] = true
	}
	for _, c := range shadow.content {
		t.causes[c.id] = true
		if !slices.ContainsFunc(e.memory, func(m memo) bool { return m.id == c.id }) {
			shadow.memory = append(shadow.memory, memo{c.id, c.epoch, c.number, true})
		}
	}
	for i := range shadow.held {
		shadow.held[i].undecided = true // the swap may have decided their numbers
	}
	*e = *shadow
	t.evict(e)
	for _, d := range t.heldOf(e) {
		if t.isDecided(e, d.n) { // R3: the rebuild absorbed it
			t.unhold(e, d.n)
			t.duplicate(e, d.n)
		}
	}
	t.note(e.name, "", 15, "", "", "the rebuilt state is live")
	t.save()
}

func (e *entity) holds(id string) bool {
	return slices.ContainsFunc(e.content, func(c content) bool { return c.id == id })
}

// usable reports whether R0 lets the event of a log pass.
func (t *Twin) usable(ev scenario.Event) bool {
	return !t.bySequence() || ev.HasSequence && ev.Sequence >= 0 && ev.Sequence <= maxSequence
}

// readLog returns the events of a log in the order of the contract, each id once
// and under the number that it has in the live state.
func (t *Twin) readLog(e *entity, events []scenario.Event) []scenario.Event {
	var log []scenario.Event
	for _, ev := range events {
		if !t.usable(ev) {
			continue
		}
		for _, m := range e.memory { // absorbed ones too
			if m.id == ev.ID && m.numbered && t.bySequence() {
				ev.Epoch, ev.Sequence = m.epoch, m.number
			}
		}
		for _, c := range e.content {
			if c.id == ev.ID && t.bySequence() {
				ev.Epoch, ev.Sequence = c.epoch, c.number
			}
		}
		if !slices.ContainsFunc(log, func(o scenario.Event) bool { return o.ID == ev.ID }) {
			log = append(log, ev)
		}
	}
	slices.SortStableFunc(log, func(a, b scenario.Event) int {
		switch t.c.OrderBy {
		case policies.ByVersion:
			return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.ID, b.ID))
		case policies.ByEventTime:
			return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.ID, b.ID))
		default:
		}
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Sequence, b.Sequence))
	})
	return log
}

// succeeds reports whether the fold takes the event.
func (t *Twin) succeeds(ev scenario.Event) bool { return !ev.Poison || t.fixed[ev.ID] }

// foldOther folds a log of latest-wins or event-time events: what was applied
// live, and what would be applied now.
func (t *Twin) foldOther(live, shadow *entity, log []scenario.Event) {
	for _, ev := range log {
		if !t.succeeds(ev) {
			continue
		}
		if t.c.OrderBy == policies.ByVersion {
			if !live.holds(ev.ID) && !newer(&ev, live.winner) {
				continue
			}
			if newer(&ev, shadow.winner) {
				winner := ev
				shadow.winner = &winner
			}
		}
		shadow.content = append(shadow.content, content{ev.ID, ev.Epoch, ev.Sequence, ev.Data})
	}
}

// foldSequence folds a log in the order of epoch and number. Numbers at or below
// the live last that the log lacks stay given up, as they are live.
func (t *Twin) foldSequence(live, shadow *entity, log []scenario.Event) {
	shadow.last = live.start - 1
	shadow.holes, shadow.passed, shadow.ahead = nil, map[int64]bool{}, map[int64]string{}
	for n := range live.passed { // failed ahead of its turn; what is in the log may succeed now
		if !slices.ContainsFunc(log, func(ev scenario.Event) bool { return ev.Epoch == live.epoch && ev.Sequence == n && t.succeeds(ev) }) {
			shadow.passed[n] = true
			shadow.holes = shadow.holes.and(live.holes.within(n, n)) // a late event may have closed it
		}
	}
	shadow.void = maps.Clone(live.void)
	giveUpTo := func(n int64) { // as long as it was given up live
		for _, s := range shadow.undecided(min(n, live.last+1)) {
			shadow.holes = shadow.holes.and(live.holes.within(s.From, s.To))
			shadow.pass(s.To)
		}
	}
	var numbers []int64
	for _, ev := range log {
		if ev.Epoch < live.epoch {
			if live.holds(ev.ID) { // the rest of an old epoch is superseded
				shadow.content = append(shadow.content, content{ev.ID, ev.Epoch, ev.Sequence, ev.Data})
			}
			continue
		}
		s := ev.Sequence
		conflicts := slices.ContainsFunc(log, func(o scenario.Event) bool {
			return o.Epoch == ev.Epoch && o.Sequence == s && o.ID != ev.ID && live.holds(o.ID)
		})
		if ev.Epoch > live.epoch || s < live.start || slices.Contains(numbers, s) || conflicts && !live.holds(ev.ID) {
			continue
		}
		claimed, void := shadow.void[s]
		delete(shadow.void, s)
		giveUpTo(s)
		isNext := s == shadow.next()
		class := t.c.ClassOf(ev.Class)
		switch {
		case !t.succeeds(ev):
			if class.Poison == policies.PoisonPark || !isNext {
				giveUpTo(live.last + 1)
				return
			}
			shadow.holes = shadow.holes.with(s, s)
			shadow.pass(s)
			continue
		case isNext:
			shadow.pass(s)
		case class.Early == policies.EarlyApply || live.holds(ev.ID) || live.passed[s]:
			shadow.ahead[s] = ev.ID
		case t.c.Gap == policies.GapApply:
			shadow.holes = shadow.holes.and(shadow.undecided(s))
			shadow.pass(s)
		default:
			if void { // the log's event is not taken, so it claims nothing
				shadow.void[s] = claimed
			}
			continue
		}
		numbers = append(numbers, s)
		shadow.content = append(shadow.content, content{ev.ID, ev.Epoch, s, ev.Data})
	}
	giveUpTo(live.last + 1)
}
