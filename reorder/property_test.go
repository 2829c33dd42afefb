package reorder

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// shuffled is a random stream: entities with a number of events each, shuffled.
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
	c.AutoWait = seed%4 == 0
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

// busyScript is a random mix for entities whose events come while a drain goes on: most
// of them in order, behind holes that are filled later.
func busyScript(seed uint64) script {
	rnd := rand.New(rand.NewPCG(seed, 8))
	c := bySequence()
	c.Gap = pick(rnd, policies.GapBuffer, policies.GapBuffer, policies.GapBuffer, policies.GapRebuild, policies.GapApply)
	c.OnTimeout = pick(rnd, policies.OnTimeoutPark, policies.OnTimeoutSkip, policies.OnTimeoutRebuild)
	c.OnOverflow = pick(rnd, policies.OnOverflowSkip, policies.OnOverflowPark, policies.OnOverflowPause)
	c.Reset = pick(rnd, policies.ResetForbid, policies.ResetEpoch)
	c.MaxHeld, c.MaxDLQ, c.IDMemory = pick(rnd, 3, 8, 100), pick(rnd, 6, 12, 1000), pick(rnd, 1, 4, 200, 200)
	// One that is decided before the drain parks its entity is a duplicate for longer than
	// an id that the drain forgets.
	again := c.IDMemory == 200
	c.MaxWait = time.Duration(pick(rnd, 50, 300)) * time.Millisecond
	c.Class.Poison = pick(rnd, policies.PoisonPark, policies.PoisonSkip)
	c.Class.Late = pick(rnd, policies.LateReject, policies.LateDrop, policies.LateCompensate)
	c.Classes = map[string]policies.Class{"view": {Early: policies.EarlyApply}}
	c.Buffer = policies.BufferDurable
	s := script{contract: c}
	top, missing := map[string]int64{}, map[string][]int64{}
	for i := range 120 {
		entity, at := string(rune('A'+rnd.IntN(2))), int64(i*pick(rnd, 1, 10))
		top[entity]++
		m := policies.Metadata{Entity: entity, HasSequence: true, Sequence: top[entity]}
		if lost := missing[entity]; rnd.IntN(6) == 0 && len(lost) > 0 {
			m.Sequence, missing[entity] = lost[0], lost[1:]
			top[entity]--
		} else if k := rnd.IntN(12); k == 0 && again {
			m.Sequence = 1 + rnd.Int64N(top[entity])
			top[entity]--
		} else if k < 3 {
			missing[entity] = append(lost, top[entity])
			m.Sequence++
			top[entity]++
		}
		switch k := rnd.IntN(30); {
		case k == 0 && again:
			m.ID = fmt.Sprintf("%s-%d", entity, 1+rnd.Int64N(top[entity]+1)) // another event's, perhaps
		case k == 1:
			m.Class = "view"
		case k == 2:
			m.Epoch = rnd.Int64N(2)
		}
		s.steps = append(s.steps, func(r *rig) { r.now = max(r.now, at); r.m.Tick(r.now); r.drive(); r.deliver(m) })
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

// However a drain is cut, and whatever is decided before it is gone on with, the result
// is the same.
func TestABudgetChangesWhenNotWhat(t *testing.T) {
	t.Parallel()
	joined, dropped, waited := 0, 0, 0
	for seed := range uint64(1200) {
		s := randomScript(seed)
		if seed%2 == 0 {
			s = busyScript(seed)
		}
		s.contract.AutoWait = false // how long is estimated depends on what was learned before
		whole, sliced := newRig(t, s.contract), newRig(t, s.contract)
		whole.fate, sliced.fate, sliced.budget, sliced.lazy = fail, fail, 1, seed%3 > 0
		for _, step := range s.steps {
			step(whole)
			step(sliced)
		}
		a, x := s.end(whole)
		b, y := s.end(sliced)
		if diff := cmp.Diff(x, y); diff != "" {
			t.Fatalf("seed %d: applied: %s", seed, diff)
		}
		joined, dropped, waited = joined+sliced.joined, dropped+sliced.dropped, waited+sliced.waited
		if diff := cmp.Diff(whole.m.Counts(), sliced.m.Counts()); diff != "" {
			t.Fatalf("seed %d: counts: %s", seed, diff)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
			t.Fatalf("seed %d: other rows", seed)
		}
	}
	t.Logf("%d records joined what was left of their entity (%d were duplicates), %d waited for it", joined, dropped, waited)
	if joined-dropped < 100 || dropped < 20 || waited < 100 {
		t.Error("that is too few to say anything")
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
