package reorder

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

func TestAppliesWhatIsNextAndHoldsTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.seq("A", 3, 1, 2)
	r.wantApplied("A", "A-1 A-2 A-3")
}

func TestSaysEveryDecisionInWords(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.MaxHeld, c.OnTimeout = 1, policies.OnTimeoutSkip
	r := newRig(t, c)
	r.seq("A", 2, 3, 1, 1)
	r.deliver(policies.Metadata{Entity: "A"})
	r.tick(1000)
	want := []string{
		`number 2 of entity "A" (id "A-2") waits for number 1 (R10)`,
		`entity "A" waits for number 1 until 1000 (R11)`,
		`number 3 of entity "A" (id "A-3") is not consumed: entity "A" holds 1 events and no more (R12)`,
		`number 1 of entity "A" (id "A-1") is next and is applied (R9)`,
		`number 2 of entity "A" (id "A-2") is next and is applied (R9)`,
		`number 1 of entity "A" (id "A-1") is dropped: its id was decided before or is being decided (R3)`,
		`an event of entity "A" without number (id "A-0") is dead-lettered as invalid_metadata: it has no sequence number (R0)`,
	}
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Error(diff)
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	reasons := append(reasonCodes()[1:], policies.ReasonUndecodable, policies.ReasonWrongKey, policies.ReasonWrongPartition)
	for _, reason := range reasons {
		d := topology.Decision{Kind: topology.DecideDeadLetter, Reason: reason, Event: &topology.OrderEvent{Metadata: policies.Metadata{Entity: "A"}}}
		if text := Explain(bySequence(), d); strings.HasSuffix(text, ": "+string(reason)+" (R0)") {
			t.Errorf("%s is explained by itself: %s", reason, text)
		}
	}
}

func TestAVersionThatGoesBackIsCountedOrRefused(t *testing.T) {
	t.Parallel()
	c := bySequence()
	deliver := func(r *rig) {
		for n, version := range []int64{5, 4, 6} {
			r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: int64(n + 1), Version: version})
		}
	}
	r := newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1 A-2 A-3")
	if n := r.m.Counts()[0].VersionBackward; n != 1 {
		t.Errorf("%d versions went back, not 1", n)
	}
	c.OnVersionBackward = policies.VersionReject
	r = newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1")
	r.wantLast("entity_parked")
	c.Class.Poison = policies.PoisonSkip
	r = newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1 A-3")
}

func TestADuplicateIsRefusedIfItsClassSaysSo(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Class.Duplicate = policies.DuplicateReject
	r := newRig(t, c)
	r.seq("A", 1, 1)
	r.wantLast("dead-lettered as duplicate")
	if n := r.m.Counts()[0].DeadLettered; n != 1 || r.m.entityOf(r.Entity("A")).held.Letters() != 0 {
		t.Errorf("%d letters counted, %d kept", n, r.m.entityOf(r.Entity("A")).held.Letters())
	}
}

func TestAConflictParksIfItsClassSaysSo(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Class.Conflict = policies.ConflictPark
	r := newRig(t, c)
	r.seq("A", 1)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 1, ID: "other"})
	r.seq("A", 2)
	r.wantApplied("A", "A-1")
	if !r.row("A").Parked() {
		t.Error("the entity is not parked")
	}
}

func TestHolesAreBounded(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Gap, c.MaxHoles = policies.GapApply, 2
	r := newRig(t, c)
	r.seq("A", 2, 4, 6)
	r.wantApplied("A", "A-2 A-4")
	r.wantLast("is parked")
	spans := 0
	r.row("A").Holes(func(int64, int64) { spans++ })
	if spans != 2 || !r.row("A").Parked() {
		t.Errorf("%d spans, parked %t", spans, r.row("A").Parked())
	}
}

func TestAnIDThatIsDerivedFromItsPlaceIsKnownAgain(t *testing.T) {
	t.Parallel()
	for _, reset := range []policies.Reset{policies.ResetForbid, policies.ResetEpoch} {
		c := bySequence()
		c.Reset = reset
		r := newRig(t, c)
		events := []policies.Metadata{{Sequence: 2}, {Sequence: 2}, {Sequence: 1}, {Sequence: 1}, {Sequence: 2}}
		if reset == policies.ResetEpoch {
			events = append(events, policies.Metadata{Sequence: 1, Epoch: 1}, policies.Metadata{Sequence: 2}) // a straggler
		}
		for _, m := range events {
			m.Entity, m.HasSequence = "A", true
			r.m.Record(r.Entity("A"), &topology.OrderEvent{Metadata: m}, 0)
			r.drive()
		}
		n := r.m.Counts()[0]
		if applied, duplicate := int64(2), int64(3); reset == policies.ResetForbid && (n.Applied != applied || n.Duplicate != duplicate) ||
			reset == policies.ResetEpoch && (n.Applied != applied+1 || n.Duplicate != duplicate+1) {
			t.Errorf("reset %s: %+v", reset, n)
		}
	}
}

func TestAnUnknownCommandIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	if err := r.m.Command(topology.OrderCommand{Kind: "redrive", Entity: "nobody"}, 0); !errors.Is(err, ErrUnknownEntity) {
		t.Errorf("%v", err)
	}
	if err := r.m.Command(topology.OrderCommand{Kind: "dance"}, 0); err == nil {
		t.Error("no error")
	}
}

func TestARecordWithoutMetadataIsALetterOfNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.m.Refuse(&topology.OrderEvent{Source: 1}, policies.ReasonUndecodable)
	r.drive()
	r.wantLast("could not be decoded")
	if n := r.m.Counts()[1]; n.Delivered != 1 || n.DeadLettered != 1 {
		t.Errorf("%+v", n)
	}
}

func TestNothingIsSharedWithTheRecordThatIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	buf := []byte("A-2")
	id := string(buf)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 2, ID: id, Class: "c", Causation: "x"})
	e := r.m.entityOf(r.Entity("A")).held.Get(2)
	if e.ID != "A-2" || string(e.Payload) != "bytes of A-2" || e.Class != "c" {
		t.Errorf("%+v", e)
	}
}

func TestARestartCountsWhatItLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.fate = func(id string, _ int) topology.ApplyOutcome {
		if id == "B-1" {
			return topology.OutcomeRetryable
		}
		return topology.OutcomeDone
	}
	r.seq("A", 2, 3)
	r.seq("B", 1)
	if at, ok := r.m.Pending(0); !ok || at != 0 {
		t.Errorf("offset %d is held back (%t)", at, ok)
	}
	r.commit()
	r.start()
	if n := r.m.Counts()[0]; n.Lost != 3 || n.Held != 0 || n.Retrying != 0 || !n.Balanced() {
		t.Errorf("%+v", n)
	}
	if _, ok := r.m.Pending(0); ok {
		t.Error("an offset is held back for what is lost")
	}
}

func TestADurableBufferComesBackWithItsDeadlineAndBytes(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Buffer, c.OnTimeout = policies.BufferDurable, policies.OnTimeoutSkip
	r := newRig(t, c)
	r.seq("A", 2)
	if _, ok := r.m.Pending(0); ok {
		t.Error("an offset is held back for what is stored")
	}
	r.commit()
	r.now = 900
	r.start()
	if n := r.m.Counts()[0]; n.Held != 1 || n.Lost != 0 {
		t.Errorf("%+v", n)
	}
	r.tick(999)
	r.wantApplied("A", "")
	r.tick(1000)
	r.wantApplied("A", "A-2")
	r.commit()
	for key := range r.rows {
		if key[0] == kindHeld {
			t.Errorf("held row %x is left", key)
		}
	}
}

func TestARowThatWasBornAndRemovedWithinACommitIsNotLogged(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Buffer = policies.BufferDurable
	r := newRig(t, c)
	r.seq("A", 2, 1)
	r.m.Changes(func(key, value []byte) { t.Errorf("row %x = %x", key, value) })
}

func TestLettersKeepTheBytesOfWhatCanBeNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	poison := true
	r.fate = func(id string, _ int) topology.ApplyOutcome {
		if id == "A-2" && poison {
			return topology.OutcomePoison
		}
		return topology.OutcomeDone
	}
	r.seq("A", 1, 2, 3)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 1, ID: "other"})
	r.deliver(policies.Metadata{Entity: "B"})
	r.commit()
	r.start()
	kept := map[string]string{}
	for _, entity := range []string{"A", "B"} {
		held := &r.m.entityOf(r.Entity(entity)).held
		for l := held.NextLetter(nil); l != nil; l = held.NextLetter(l) {
			kept[l.ID] = string(l.Payload)
		}
	}
	want := map[string]string{"A-2": "bytes of A-2", "A-3": "bytes of A-3", "other": "", "B-0": ""}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Error(diff)
	}
	poison = false
	r.redrive("A")
	r.wantApplied("A", "A-1 A-2 A-3")
	r.wantLast("no longer parked")
	r.commit()
	letters := 0
	for key := range r.rows {
		if key[0] == kindLetter {
			letters++
		}
	}
	if letters != 2 {
		t.Errorf("%d letters are left, not 2", letters)
	}
}

func TestCausesOutliveARestart(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Causal = true
	r := newRig(t, c)
	r.seq("A", 1)
	r.commit()
	r.start()
	r.deliver(policies.Metadata{Entity: "B", HasSequence: true, Sequence: 1, Causation: "A-1"})
	r.wantApplied("B", "B-1")
}

func TestTheOldestCauseIsForgottenFirst(t *testing.T) {
	t.Parallel()
	q := causeQueue{limit: 2, byHash: map[uint64]uint64{}}
	for h := uint64(1); h <= 3; h++ {
		q.add(h)
		q.add(h)
	}
	if q.has(1) || !q.has(2) || !q.has(3) || len(q.gone) != 0 {
		t.Errorf("%+v", q)
	}
	q.saved = q.ordinal
	q.add(4)
	if !slices.Equal(q.gone, []uint64{2}) {
		t.Errorf("%+v", q)
	}
}

func TestWatermarksOutliveARestart(t *testing.T) {
	t.Parallel()
	for _, buffer := range []policies.Buffer{policies.BufferDurable, policies.BufferVolatile} {
		c := bySequence()
		c.OrderBy, c.Buffer = policies.ByEventTime, buffer
		r := newRig(t, c)
		fail := true
		r.fate = func(id string, _ int) topology.ApplyOutcome {
			if id == "A-1" && fail {
				return topology.OutcomeRetryable
			}
			return topology.OutcomeDone
		}
		at := func(n, time int64) {
			r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: n, EventTime: time})
		}
		at(1, 100) // released at once, and in local retry
		r.commit()
		fail = false
		r.start()
		if buffer == policies.BufferVolatile {
			at(1, 100) // it is delivered again, and is not late
		}
		at(2, 99)
		r.wantApplied("A", "A-1")
		r.wantLast("dead-lettered as late")
	}
}

// order is a random stream: entities with a number of events each, shuffled.
func shuffled(t *rapid.T) (events []policies.Metadata, sizes map[string]int64) {
	sizes = map[string]int64{}
	for i := range rapid.IntRange(1, 4).Draw(t, "entities") {
		entity := string(rune('A' + i))
		sizes[entity] = rapid.Int64Range(1, 12).Draw(t, "events")
		for n := range sizes[entity] {
			events = append(events, policies.Metadata{Entity: entity, HasSequence: true, Sequence: n + 1, ID: fmt.Sprintf("%s-%d", entity, n+1)})
		}
	}
	return rapid.Permutation(events).Draw(t, "order"), sizes
}

func TestReorderOfAShuffleIsTheSort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events, sizes := shuffled(t)
		c := bySequence()
		c.Buffer = rapid.SampledFrom([]policies.Buffer{policies.BufferDurable, policies.BufferVolatile}).Draw(t, "buffer")
		r := newRig(t, c)
		r.budget = rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "budget")
		for i, m := range events {
			r.deliver(m)
			if i%3 == 0 {
				r.deliver(m) // a duplicate
			}
		}
		r.budget = 0
		r.drive()
		for entity, n := range sizes {
			var want []string
			for i := range n {
				want = append(want, fmt.Sprintf("%s-%d", entity, i+1))
			}
			if !slices.Equal(r.applied[entity], want) {
				t.Fatalf("%s: %v", entity, r.applied[entity])
			}
		}
	})
}

// script is a random mix of everything that a machine is given.
type script struct {
	contract policies.Contract
	steps    []func(r *rig)
}

func randomScript(seed uint64) script {
	rnd := rand.New(rand.NewPCG(seed, 7))
	c := bySequence()
	c.Gap = pick(rnd, policies.GapBuffer, policies.GapBuffer, policies.GapReject, policies.GapRetry, policies.GapApply)
	c.OnTimeout = pick(rnd, policies.OnTimeoutPark, policies.OnTimeoutSkip, policies.OnTimeoutHold)
	c.OnOverflow = pick(rnd, policies.OnOverflowSkip, policies.OnOverflowPark)
	c.MaxHeld, c.MaxWait = pick(rnd, 2, 5, 100), time.Duration(pick(rnd, 50, 300))*time.Millisecond
	c.Class.Poison = pick(rnd, policies.PoisonPark, policies.PoisonSkip)
	c.Class.Late = pick(rnd, policies.LateReject, policies.LateDrop, policies.LateCompensate)
	c.Buffer = policies.BufferDurable
	s := script{contract: c}
	for i := range 60 {
		entity := string(rune('A' + rnd.IntN(3)))
		n, at := int64(i/4+rnd.IntN(4)), int64(i*10)
		switch k := rnd.IntN(20); {
		case k == 0:
			s.steps = append(s.steps, func(r *rig) {
				r.now = at
				if r.m.Command(topology.OrderCommand{Kind: "redrive", Entity: entity}, at) == nil {
					r.drive()
				}
			})
		case k < 4:
			s.steps = append(s.steps, func(r *rig) { r.tick(at) })
		default:
			s.steps = append(s.steps, func(r *rig) { r.now = at; r.m.Tick(at); r.drive(); r.seq(entity, n) })
		}
	}
	return s
}

func pick[T any](r *rand.Rand, options ...T) T { return options[r.IntN(len(options))] }

// fail makes some events fail, always the same.
func fail(id string, attempt int) topology.ApplyOutcome {
	switch h := hashID(id) % 10; {
	case h == 0:
		return topology.OutcomePoison
	case h == 1 && attempt < 3:
		return topology.OutcomeRetryable
	}
	return topology.OutcomeDone
}

// end lets everything come to rest and returns all that is stored.
func (s script) end(r *rig) (rows map[string][]byte, applied map[string][]string) {
	r.budget = 0
	r.tick(100_000)
	r.commit()
	return r.rows, r.applied
}

func TestTheSameInputsGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		var first map[string][]byte
		for range 2 {
			s := randomScript(seed)
			r := newRig(t, s.contract)
			r.fate = fail
			for _, step := range s.steps {
				step(r)
				r.commit()
			}
			rows, _ := s.end(r)
			if first == nil {
				first = rows
			} else if diff := cmp.Diff(first, rows); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		}
	}
}

func TestABudgetChangesWhenNotWhat(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		s := randomScript(seed)
		whole, sliced := newRig(t, s.contract), newRig(t, s.contract)
		whole.fate, sliced.fate, sliced.budget = fail, fail, 1
		for _, step := range s.steps {
			step(whole)
			step(sliced)
		}
		a, x := s.end(whole)
		b, y := s.end(sliced)
		if diff := cmp.Diff(x, y); diff != "" {
			t.Fatalf("seed %d: applied: %s", seed, diff)
		}
		if diff := cmp.Diff(whole.m.Counts(), sliced.m.Counts()); diff != "" {
			t.Fatalf("seed %d: counts: %s", seed, diff)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
			t.Fatalf("seed %d: other rows", seed)
		}
	}
}

// A restart after every step must not change what becomes of anything, as long as
// nothing is in local retry or waits for a look: that is volatile.
func TestARestartAfterAnyStepChangesNothing(t *testing.T) {
	t.Parallel()
	steady := func(id string, attempt int) topology.ApplyOutcome {
		if o := fail(id, attempt); o != topology.OutcomeRetryable {
			return o
		}
		return topology.OutcomeDone
	}
	for seed := range uint64(100) {
		s := randomScript(seed)
		if s.contract.Gap == policies.GapRetry {
			continue
		}
		calm, stormy := newRig(t, s.contract), newRig(t, s.contract)
		calm.fate, stormy.fate = steady, steady
		for _, step := range s.steps {
			step(calm)
			step(stormy)
			stormy.commit()
			stormy.start()
		}
		a, x := s.end(calm)
		b, y := s.end(stormy)
		if diff := cmp.Diff(x, y); diff != "" {
			t.Fatalf("seed %d: applied: %s", seed, diff)
		}
		if diff := cmp.Diff(calm.m.Counts(), stormy.m.Counts()); diff != "" {
			t.Fatalf("seed %d: counts: %s", seed, diff)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
			t.Fatalf("seed %d: other rows", seed)
		}
	}
}

// inOrder drives the in-order path alone.
type inOrder struct {
	m     *Machine
	slots []topology.Entity
	ev    topology.OrderEvent
	ids   []string
}

func newInOrder(entities int, withIDs bool) *inOrder {
	d := &inOrder{m: NewMachine(bySequence().WithDefaults(), quiet{}, 1), slots: make([]topology.Entity, entities)}
	for i := range d.slots {
		d.slots[i].ID = fmt.Sprintf("entity-%07d", i)
	}
	if withIDs {
		d.ids = make([]string, 64)
		for i := range d.ids {
			d.ids[i] = fmt.Sprintf("0b9d8e5e-6f0a-4c43-9b7b-%012d", i)
		}
	}
	return d
}

func (d *inOrder) apply(i int, n int64) {
	d.ev.Entity, d.ev.HasSequence, d.ev.Sequence = d.slots[i].ID, true, n
	if d.ids != nil {
		d.ev.ID = d.ids[n%64]
	}
	d.m.Record(&d.slots[i], &d.ev, n)
	dec, ok := d.m.Next()
	if !ok || dec.Kind != topology.DecideApply {
		panic(fmt.Sprintf("number %d: %+v", n, dec))
	}
	d.m.Outcome(topology.OutcomeDone)
	if _, ok := d.m.Next(); ok {
		panic("there is more")
	}
}

// quiet is a host that has nothing to do.
type quiet struct{}

func (quiet) Entity(string) *topology.Entity      { return nil }
func (quiet) Dirty(*topology.Entity)              {}
func (quiet) Payload(*topology.OrderEvent) []byte { return nil }

func TestTheInOrderPathAllocatesNothing(t *testing.T) {
	for _, withIDs := range []bool{false, true} {
		d := newInOrder(1, withIDs)
		n := int64(0)
		for range 40 { // the memory of ids fills
			n++
			d.apply(0, n)
		}
		if allocs := testing.AllocsPerRun(1000, func() { n++; d.apply(0, n) }); allocs != 0 {
			t.Errorf("with ids %t: %g allocations per event", withIDs, allocs)
		}
	}
}

func BenchmarkInOrder(b *testing.B) {
	for _, bench := range []struct {
		name     string
		entities int
		withIDs  bool
	}{{"one entity", 1, false}, {"one entity with ids", 1, true}, {"100k entities", 100_000, false}, {"100k entities with ids", 100_000, true}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			d := newInOrder(bench.entities, bench.withIDs)
			last := make([]int64, bench.entities)
			for i := range last { // rows are in memory
				for range 20 {
					last[i]++
					d.apply(i, last[i])
				}
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			order := make([]int, 1<<16)
			for i := range order {
				order[i] = rnd.IntN(bench.entities)
			}
			b.ResetTimer()
			for n := range b.N {
				i := order[n&(1<<16-1)]
				last[i]++
				d.apply(i, last[i])
			}
		})
	}
}

// BenchmarkMapUpdate is what the in-order path is measured against: a bare update of
// a map under random keys.
func BenchmarkMapUpdate(b *testing.B) {
	keys := make([]string, 100_000)
	m := make(map[string]int64, len(keys))
	for i := range keys {
		keys[i] = fmt.Sprintf("entity-%07d", i)
		m[keys[i]] = 0
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	order := make([]int, 1<<16)
	for i := range order {
		order[i] = rnd.IntN(len(keys))
	}
	b.ResetTimer()
	for n := range b.N {
		m[keys[order[n&(1<<16-1)]]]++
	}
}

// BenchmarkDisplaced has one event in a hundred displaced by up to 50 positions.
func BenchmarkDisplaced(b *testing.B) {
	b.ReportAllocs()
	d := newInOrder(1, false)
	rnd := rand.New(rand.NewPCG(1, 2))
	next, late := int64(0), map[int64]int64{} // position: number
	offer := func(n int64) {
		d.ev.Entity, d.ev.HasSequence, d.ev.Sequence = d.slots[0].ID, true, n
		d.m.Record(&d.slots[0], &d.ev, 0)
		for {
			dec, ok := d.m.Next()
			if !ok {
				return
			}
			if dec.Kind == topology.DecideApply {
				d.m.Outcome(topology.OutcomeDone)
			}
		}
	}
	b.ResetTimer()
	for n := range b.N {
		if number, ok := late[int64(n)]; ok {
			delete(late, int64(n))
			offer(number)
			continue
		}
		next++
		if at := int64(n) + 1 + rnd.Int64N(50); rnd.IntN(100) == 0 && late[at] == 0 {
			late[at] = next
			continue
		}
		offer(next)
	}
}
