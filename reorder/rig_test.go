package reorder

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// rig is the smallest task: it drives a machine, folds what it applies, and stores rows.
type rig struct {
	t        tb
	contract policies.Contract
	m        *Machine
	slots    map[string]*topology.Entity
	dirty    map[string]bool
	rows     map[string][]byte
	counts   []policies.Counts
	now      int64
	next     []int64 // offset per source

	applied map[string][]string // entity: ids in order
	log     []string            // every decision
	fate    func(id string, attempt int) topology.ApplyOutcome
	budget  int  // decisions after which a step is left; 0: none
	lazy    bool // a record is decided before what is left of others, if it can be
	hand    *topology.OrderEvent
	decided bool // of hand
	joined  int  // records that were decided while something was left of their entity
	dropped int  // of joined
	waited  int  // records that had to wait for what was left
}

const sources = 2

// tb is what a rig needs of a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newRig(t tb, c policies.Contract) *rig {
	r := &rig{
		t: t, contract: c.WithDefaults(), rows: map[string][]byte{}, next: make([]int64, sources), applied: map[string][]string{},
		fate: func(string, int) topology.ApplyOutcome { return topology.OutcomeDone },
	}
	r.start()
	return r
}

func bySequence() policies.Contract {
	return policies.Contract{
		EventsFor: "an order", Because: "each event builds on the one before", Buffer: policies.BufferVolatile,
		MaxWait: time.Second, Retry: policies.Retry{Max: 3, Delay: 100 * time.Millisecond},
	}
}

func (r *rig) Entity(id string) *topology.Entity {
	if r.slots[id] == nil {
		r.slots[id] = &topology.Entity{ID: id, Stored: r.rows["\x01"+id]}
	}
	return r.slots[id]
}

func (r *rig) Dirty(e *topology.Entity) { r.dirty[e.ID] = true }

func (r *rig) Payload(ev *topology.OrderEvent) []byte { return []byte("bytes of " + ev.ID) }

// start restores a machine from the rows.
func (r *rig) start() {
	r.t.Helper()
	r.m = NewMachine(r.contract, r, sources)
	r.slots, r.dirty = map[string]*topology.Entity{}, map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(r.rows)) {
		if key[0] != kindEntity {
			if err := r.m.Restore([]byte(key), r.rows[key]); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := r.m.Restored(r.counts); err != nil {
		r.t.Fatal(err)
	}
	r.m.Tick(r.now)
	r.drive()
}

// commit stores what changed.
func (r *rig) commit() {
	for id := range r.dirty {
		if row := r.m.AppendRow(nil, r.slots[id]); len(row) > 0 {
			r.rows["\x01"+id] = row
		}
	}
	clear(r.dirty)
	var last []byte
	r.m.Changes(func(key, value []byte) {
		if bytes.Compare(last, key) >= 0 && last != nil {
			r.t.Fatalf("key %x comes after %x", key, last)
		}
		last = key
		if value == nil {
			delete(r.rows, string(key))
		} else {
			r.rows[string(key)] = value
		}
	})
	r.counts = r.m.Counts()
}

// drive pulls decisions until there is none, or until the budget is used up and the
// record in hand is decided. A lazy rig decides the record in hand alone.
func (r *rig) drive() {
	r.t.Helper()
	for n := 1; ; n++ {
		d := r.m.Next(!r.lazy || r.hand == nil)
		if d == nil {
			break
		}
		r.decided = r.decided || r.hand != nil && d.Event == r.hand
		r.log = append(r.log, Explain(r.contract, *d))
		if d.Kind == topology.DecideApply {
			o := r.fate(d.Event.ID, d.Attempt)
			if o == topology.OutcomeDone {
				r.applied[d.Event.Entity] = append(r.applied[d.Event.Entity], d.Event.ID)
			}
			r.m.Outcome(o)
		} else if d.Kind == topology.DecideCompensate {
			r.m.Outcome(topology.OutcomeDone)
		}
		if r.budget > 0 && n >= r.budget && r.m.Settled() {
			break
		}
	}
	for i, c := range r.m.Counts() {
		if !c.Balanced() {
			r.t.Fatalf("source %d: counts do not add up: %+v", i, c)
		}
	}
}

// deliver offers a record.
func (r *rig) deliver(m policies.Metadata) {
	r.t.Helper()
	if m.ID == "" {
		m.ID = fmt.Sprintf("%s-%d", m.Entity, m.Sequence)
	}
	ev := &topology.OrderEvent{Metadata: m, Offset: r.next[0], Timestamp: r.now}
	r.next[0]++
	var slot *topology.Entity
	if m.Entity != "" {
		slot = r.Entity(m.Entity)
	}
	for r.hand, r.decided = ev, false; !r.decided; {
		owes, drops := slot != nil && r.m.owes(r.m.entityOf(slot)), r.m.Counts()[0].Duplicate
		r.m.Record(slot, ev, r.now)
		r.drive()
		switch {
		case !r.decided: // it is offered again when less is left
			r.waited++
			r.hand = nil
			r.drive()
			r.hand = ev
		case owes && r.lazy:
			r.joined++
			r.dropped += int(r.m.Counts()[0].Duplicate - drops)
		}
	}
	r.hand = nil
	if r.m.Paused() {
		r.next[0]--
	}
	// What the record pointed to is gone now.
	*ev = topology.OrderEvent{}
}

func (r *rig) seq(entity string, numbers ...int64) {
	r.t.Helper()
	for _, n := range numbers {
		r.deliver(policies.Metadata{Entity: entity, HasSequence: true, Sequence: n})
	}
}

func (r *rig) tick(now int64) {
	r.t.Helper()
	r.now = now
	r.m.Tick(now)
	r.drive()
}

func (r *rig) redrive(entity string) {
	r.t.Helper()
	if err := r.m.Command(topology.OrderCommand{Kind: "redrive", Entity: entity}, r.now); err != nil {
		r.t.Fatal(err)
	}
	r.drive()
}

func (r *rig) wantApplied(entity, want string) {
	r.t.Helper()
	if got := strings.Join(r.applied[entity], " "); got != want {
		r.t.Fatalf("applied of %s: %q, not %q\n%s", entity, got, want, strings.Join(r.log, "\n"))
	}
}

// wantLast compares the end of the decision log with a part of a text.
func (r *rig) wantLast(part string) {
	r.t.Helper()
	if len(r.log) == 0 || !strings.Contains(r.log[len(r.log)-1], part) {
		r.t.Fatalf("the last decision does not say %q:\n%s", part, strings.Join(r.log, "\n"))
	}
}

func (r *rig) row(entity string) *Row { return r.m.RowOf(r.Entity(entity)) }
