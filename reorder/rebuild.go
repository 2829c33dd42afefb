package reorder

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// ErrRetrying says that an entity cannot be rebuilt before its local retry ends.
var ErrRetrying = errors.New("reorder: the entity is in local retry")

// LostEventError refuses a log that lacks an event which the live state has applied.
type LostEventError struct {
	Entity string
	Number int64 // of the event, if HasNumber
	// HasNumber is false where only the id tells that the event was applied.
	HasNumber bool
}

// Error implements error.
func (e *LostEventError) Error() string {
	if !e.HasNumber {
		return fmt.Sprintf("reorder: rebuilding entity %q: the log lacks an event that was applied under another number or epoch", e.Entity)
	}
	return fmt.Sprintf("reorder: rebuilding entity %q: the log lacks number %d, which was applied", e.Entity, e.Number)
}

// A Rebuild is what comes of an entity when its log is folded again: the events to
// apply to an empty state, in this order, and the row that stands for the result.
type Rebuild struct {
	Apply []Refolded

	row    Row
	hashes map[uint64]bool     // ids that the log applies
	places map[int64]bool      // numbers of the epoch that events without an id take
	events []policies.Metadata // those applied, as causes of others
}

// A Refolded event is one that a rebuild applies.
type Refolded struct {
	Index  int   // in the log
	Epoch  int64 // and
	Number int64 // under which the live state has it, or would have it
	// Known says that the live state applied it or a later one before: s is at or
	// below last, or ahead. Its effect is not requested again.
	Known bool
}

// A Log is what an entity is rebuilt from.
type Log struct {
	Entity string
	Events []policies.Metadata
	// Refuses reports whether the handler refuses an event for good, by its index.
	Refuses func(i int) bool
}

// PlanRebuild plans the rebuild of an entity of the machine's task from its log.
func (m *Machine) PlanRebuild(slot *topology.Entity, log Log) (*Rebuild, error) {
	en := m.entityOf(slot)
	m.putAside(en, slot)
	return PlanRebuild(m.seq.contract, &en.row, &en.held, log)
}

// PlanRebuild folds the log of one entity, given what is live: it decides which
// events are applied and in which order, and what the row becomes. Nothing is
// changed. Letters are left alone: one whose event the log applies stays, and can never
// be next. An id that was renumbered keeps its live number, and a log that lacks an
// applied event is refused (LostEventError).
func PlanRebuild(c policies.Contract, live *Row, held Held, log Log) (*Rebuild, error) {
	if live.retrying() {
		return nil, ErrRetrying
	}
	f := &refold{contract: c, live: live, held: held, entity: log.Entity, log: log.Events, refuses: log.Refuses, seen: map[uint64]bool{}, wasted: map[int64]bool{}}
	f.seq = NewSequencer(c, 0, nil)
	f.out = &Rebuild{row: live.clone(), hashes: map[uint64]bool{}, places: map[int64]bool{}}
	if !live.known {
		f.begin()
	}
	f.sort()
	if x := f.out.row.rare; x != nil {
		x.winner = nil // found anew
	}
	for _, e := range f.entries {
		f.fold(e)
	}
	if err := f.complete(); err != nil {
		return nil, err
	}
	f.out.row.ids.trim(c.IDMemory, f.out.row.last)
	return f.out, nil
}

// refold is one planning.
type refold struct {
	contract policies.Contract
	seq      *Sequencer // for its hashes
	live     *Row
	held     Held
	entity   string
	log      []policies.Metadata
	refuses  func(i int) bool
	entries  []refoldEntry
	numbers  []int64         // applied, ascending, of the live epoch
	seen     map[uint64]bool // ids in the log
	wasted   map[int64]bool  // numbers of the log under which the live state has none of its ids
	out      *Rebuild
}

type refoldEntry struct {
	index  int
	epoch  int64 // and
	number int64 // under which the live state has it, or would have it
	hash   uint64
	again  bool // the id stands in the log before
}

// begin takes epoch and start of an entity that is new to the live state, as the first
// event of the log has them.
func (f *refold) begin() {
	row := &f.out.row
	if i := slices.IndexFunc(f.log, func(m policies.Metadata) bool { return !f.seq.bySeq || usable(&m) }); i >= 0 {
		row.known, row.epoch = true, f.log[i].Epoch
		f.seq.row = row
		f.seq.begin(f.log[i].Sequence)
	}
	f.live = &Row{}
	*f.live = row.clone()
}

// sort lists the events that may be applied, in the order of their contract.
func (f *refold) sort() {
	for i := range f.log {
		m := &f.log[i]
		hash := f.seq.hashOf(m)
		if f.seq.bySeq && !usable(m) || m.Epoch > f.live.epoch {
			continue
		}
		epoch, number := m.Epoch, m.Sequence
		if e, ok := f.live.ids.find(hash); ok && hash != 0 && epoch == f.live.epoch {
			switch {
			case e.number() != noNumber:
				number = e.number()
				f.wasted[m.Sequence] = number != m.Sequence
			case f.seq.bySeq: // decided in an epoch whose numbers the row has no more
				epoch--
			}
		}
		f.entries = append(f.entries, refoldEntry{i, epoch, number, hash, hash != 0 && f.seen[hash]})
		f.seen[hash] = true
	}
	slices.SortStableFunc(f.entries, func(a, b refoldEntry) int {
		m, n := &f.log[a.index], &f.log[b.index]
		switch {
		case f.seq.bySeq:
			return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.number, b.number), cmp.Compare(f.rank(a), f.rank(b)))
		case f.seq.byTime:
			return cmp.Or(cmp.Compare(m.EventTime, n.EventTime), cmp.Compare(m.Sequence, n.Sequence), cmp.Compare(m.ID, n.ID))
		}
		return 0
	})
}

// rank puts the id that the live state has for a number before others.
func (f *refold) rank(e refoldEntry) int {
	if live, ok := f.live.ids.find(e.hash); ok && live.number() == e.number {
		return 0
	}
	return 1
}

// fold applies an event or leaves it.
func (f *refold) fold(e refoldEntry) {
	m, row, n := &f.log[e.index], &f.out.row, e.number
	if e.again {
		if f.out.hashes[e.hash] {
			f.void(m, e)
		}
		return
	}
	if f.refuses(e.index) {
		f.giveUp(m, e)
		return
	}
	entry, remembered := f.live.ids.find(e.hash)
	known := e.hash != 0 && remembered && entry.applied()
	switch {
	case f.seq.bySeq && e.epoch < f.live.epoch:
		if !known && f.live.ids.len() < f.contract.IDMemory {
			return // nothing was forgotten: it was never applied
		}
		known = true
	case f.seq.bySeq:
		if n < row.start || f.out.places[n] {
			return
		}
		known = n <= f.live.last || f.live.Ahead(n)
		if !known && !f.place(m, e) {
			return
		}
		if known && row.rare != nil {
			row.rare.holes.remove(n)
		}
		if known && n > row.last && row.next() > n { // here it is in order: last passes the void ones before it
			row.pass(n)
		}
		known = n <= f.live.last || f.live.wasAppliedAhead(n) // at or before the cutoff
		f.out.places[n] = true
		f.numbers = append(f.numbers, n)
	case f.seq.byTime && f.held.Find(e.hash) != nil:
		return // its turn has not come
	case f.seq.byVersion && remembered && !known:
		return // it was superseded
	case f.seq.byVersion:
		f.seq.row = row
		ev := Event{}
		ev.Metadata = *m
		if !f.seq.wins(&ev) {
			return
		}
		row.more().winner = &winner{m.Version, m.EventTime, []byte(m.ID)}
	}
	if e.hash != 0 {
		f.out.hashes[e.hash] = true
		row.remember(e.hash, f.place4ids(e))
	}
	row.version = max(row.version, m.Version)
	f.out.events = append(f.out.events, *m)
	f.out.Apply = append(f.out.Apply, Refolded{Index: e.index, Epoch: e.epoch, Number: n, Known: known})
}

// place4ids is the number under which an id is remembered.
func (f *refold) place4ids(e refoldEntry) int64 {
	if !f.seq.bySeq || e.epoch != f.live.epoch {
		return noNumber
	}
	return e.number
}

// giveUp passes over an event that the handler refuses, if its class says so (R13).
func (f *refold) giveUp(m *policies.Metadata, e refoldEntry) {
	row, n := &f.out.row, e.number
	if !f.seq.bySeq || e.epoch != row.epoch || f.contract.ClassOf(m.Class).Poison != policies.PoisonSkip || n != row.next() {
		return
	}
	row.pass(n)
	row.more().holes.add(n, n)
}

// void makes the number of a repeated id void if nobody else has it (R3).
func (f *refold) void(m *policies.Metadata, e refoldEntry) {
	row, n := &f.out.row, m.Sequence
	if !f.seq.bySeq || m.Epoch != row.epoch || n <= row.last || row.Ahead(n) || f.held.Get(n) != nil ||
		row.trying(n) != nil || f.held.LetterAt(m.Epoch, n) || row.full(f.contract.MaxHoles) {
		return
	}
	if _, void := row.more().void.get(n); !void {
		row.rare.void.add(n, e.hash)
	}
}

// place applies a number that is beyond the live state if its turn has come.
func (f *refold) place(m *policies.Metadata, e refoldEntry) bool {
	row, n := &f.out.row, e.number
	if row.rare != nil {
		if by, void := row.rare.void.get(n); void && by == e.hash {
			return false
		}
	}
	f.seq.row, f.seq.held = row, f.held
	if minus(n, f.seq.highest()) > f.contract.MaxJump {
		return false
	}
	switch {
	case n == row.nextWithout(n):
		row.pass(n)
	case row.full(f.contract.MaxHoles):
		return false
	case f.contract.ClassOf(m.Class).Early == policies.EarlyApply:
		x := row.more()
		x.void.remove(n)
		x.ahead.add(n, n)
	case f.contract.Gap == policies.GapApply:
		row.pass(n)
	default:
		return false
	}
	return true
}

// complete refuses a log that lacks an event which the live state has applied.
func (f *refold) complete() error {
	var lost error
	f.live.ids.each(func(e idEntry) {
		if lost == nil && e.applied() && !f.seen[e.hash] {
			lost = &LostEventError{Entity: f.entity, Number: e.number(), HasNumber: e.number() != noNumber}
			if e.number() == noNumber {
				lost = &LostEventError{Entity: f.entity}
			}
		}
	})
	if lost != nil || !f.seq.bySeq {
		return lost
	}
	excused := func(n int64) bool {
		return f.live.rare != nil && f.live.rare.holes.has(n) || f.held.LetterAt(f.live.epoch, n) || f.wasted[n] || f.live.leftOut(n)
	}
	n := f.live.start
	check := func(to int64) {
		for ; n <= to && lost == nil; n++ {
			if x := f.live.rare; x != nil { // holes are spans: no need to count them out
				if i := x.holes.find(n); i < len(x.holes) && x.holes[i].from <= n {
					n = min(x.holes[i].to, to)
					continue
				}
			}
			if !excused(n) {
				lost = &LostEventError{Entity: f.entity, Number: n, HasNumber: true}
			}
		}
	}
	for _, applied := range f.numbers {
		if applied > f.live.last {
			break
		}
		check(applied - 1)
		n = applied + 1
	}
	check(f.live.last)
	if lost == nil && f.live.rare != nil {
		for _, a := range f.live.rare.ahead {
			for n := a.from; n <= a.to && lost == nil; n++ {
				if !f.out.places[n] && !excused(n) {
					lost = &LostEventError{Entity: f.entity, Number: n, HasNumber: true}
				}
			}
		}
	}
	return lost
}

// wasAppliedAhead reports whether the number was applied before its turn. Where it failed
// it is a hole, and what came late for that is ahead too.
func (r *Row) wasAppliedAhead(n int64) bool {
	return r.Ahead(n) && !r.rare.holes.has(n) && !r.leftOut(n)
}

// leftOut reports whether an id is known that was decided under the number without
// being applied.
func (r *Row) leftOut(n int64) (out bool) {
	r.ids.each(func(e idEntry) { out = out || e.number() == n && !e.applied() })
	return out
}

// remember records an applied id without forgetting others; a known one becomes applied.
func (r *Row) remember(hash uint64, number int64) {
	if r.ids != nil {
		for i, e := range r.ids.ring {
			if e.hash == hash {
				r.ids.ring[i] = newIDEntry(e.number(), hash, true)
				r.ids.reindex(r.ids.ring[i])
				return
			}
		}
	}
	r.decided(newIDEntry(number, hash, true), r.ids.len()+1)
}

// clone returns a copy that shares nothing which changes, but the events tried again.
func (r *Row) clone() Row {
	c := *r
	if r.ids != nil {
		c.ids = &ids{}
		r.ids.each(func(e idEntry) { c.ids.record(e, len(r.ids.ring), noNumber-1) })
	}
	if r.rare != nil {
		x := *r.rare
		x.holes, x.ahead, x.void = slices.Clone(x.holes), slices.Clone(x.ahead), slices.Clone(x.void)
		x.tries, x.waiting = slices.Clone(x.tries), slices.Clone(x.waiting)
		c.rare = &x
	}
	return c
}

// Swap puts a rebuild in the place of the live row. The plan was made of this row as
// it is now, and every decision was handed out. Held events that the log has applied
// are duplicates now, those that look at a gap are at their next look; what has
// become possible is pending.
func (m *Machine) Swap(slot *topology.Entity, r *Rebuild, now int64) {
	en, s := m.entityOf(slot), m.seq
	m.putAside(en, slot)
	m.cur, m.slot, en.row = en, slot, r.row
	s.row, s.held, s.now, s.out = &en.row, &en.held, now, s.out[:0]
	for _, e := range slices.Collect(en.held.all()) {
		if r.has(e) {
			s.settle(e)
			s.drop(e, policies.ReasonDuplicate, 3)
		}
	}
	m.out, m.at = s.out, 0
	if m.causes != nil {
		for i := range r.events {
			(*outside)(m).Applied(&topology.OrderEvent{Metadata: r.events[i]})
		}
	}
	m.host.Dirty(slot)
	m.reconcile(en)
	m.putAside(en, slot) // it may be gone by now
	m.enqueue(en, now)
}

// has reports whether the log applies the event.
func (r *Rebuild) has(e *Event) bool {
	if e.hash != 0 {
		return r.hashes[e.hash]
	}
	return e.Epoch == r.row.epoch && r.places[e.Number]
}
