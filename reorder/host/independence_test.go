package host_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/host"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// TestOrderIndependenceIsTrue plays the events of a correct producer in their order
// and shuffled. Of a contract that says OrderIndependent no two final states may
// differ; of any other a pair that does must be found.
func TestOrderIndependenceIsTrue(t *testing.T) {
	t.Parallel()
	type C = policies.Contract
	for name, change := range map[string]func(c *C){
		"hold":            func(*C) {},
		"rebuild":         func(c *C) { c.OnTimeout = policies.OnTimeoutRebuild },
		"gap rebuild":     func(c *C) { c.Gap, c.OnTimeout = policies.GapRebuild, policies.OnTimeoutRebuild },
		"poison skip":     func(c *C) { c.Class.Poison = policies.PoisonSkip },
		"volatile":        func(c *C) { c.Buffer = policies.BufferVolatile },
		"small pause":     func(c *C) { c.MaxHeld = 3 },
		"version":         func(c *C) { c.OrderBy, c.Class.Poison = policies.ByVersion, policies.PoisonSkip },
		"version untried": func(c *C) { versions(c); c.OnOverflow, c.MaxHeld, c.Retry.Max = policies.OnOverflowPark, 1, -1 },
		"timeout park":    func(c *C) { c.OnTimeout = policies.OnTimeoutPark },
		"timeout skip":    func(c *C) { c.OnTimeout = policies.OnTimeoutSkip },
		"overflow park":   func(c *C) { c.OnOverflow, c.MaxHeld = policies.OnOverflowPark, 2 },
		"overflow skip":   func(c *C) { c.OnOverflow, c.MaxHeld = policies.OnOverflowSkip, 2 },
		"first seen":      func(c *C) { c.Start = policies.StartFirstSeen() },
		"epochs":          func(c *C) { c.Reset = policies.ResetEpoch },
		"early": func(c *C) {
			c.Classes["view"] = policies.Class{Early: policies.EarlyApply, Poison: policies.PoisonPark}
		},
		"causal":           func(c *C) { c.Causal, c.MaxDepth = true, 1 },
		"gap reject":       func(c *C) { c.Gap = policies.GapReject },
		"gap retry":        func(c *C) { c.Gap = policies.GapRetry },
		"gap apply":        func(c *C) { c.Gap = policies.GapApply },
		"version park":     func(c *C) { c.OrderBy = policies.ByVersion },
		"version overflow": func(c *C) { versions(c); c.OnOverflow, c.MaxHeld = policies.OnOverflowPark, 1 },
		"time":             func(c *C) { c.OrderBy, c.Class.Poison = policies.ByEventTime, policies.PoisonSkip },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := patient()
			change(&c)
			independent, why := c.OrderIndependent()
			compared, differ := 0, 0
			for seed := range uint64(60) {
				r := rand.New(rand.NewPCG(seed, 9))
				events := produce(c, r)
				want, whole := final(t, c, events, 1)
				r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				got, consumed := final(t, c, append(events, events[:2]...), r.Int64N(30))
				if !whole || !consumed {
					continue
				}
				if compared++; maps.Equal(want, got) {
					continue
				}
				if differ++; independent {
					t.Fatalf("seed %d: %v in order, %v as\n%+v\nbut it says: %s", seed, want, got, events, why)
				}
			}
			if compared < 10 {
				t.Errorf("only %d pairs were consumed whole", compared)
			}
			if !independent && differ == 0 {
				t.Errorf("no counterexample is found, but it says: %s", why)
			}
		})
	}
}

// patient is a contract that waits as long as it takes.
func patient() policies.Contract {
	return policies.Contract{
		EventsFor: "an entity", Because: "the test says so", Shape: policies.Delta, OnVersionBackward: policies.VersionCount,
		OrderBy: policies.BySequence, Start: policies.StartAt(1), Reset: policies.ResetForbid,
		Gap: policies.GapBuffer, OnTimeout: policies.OnTimeoutHold, OnOverflow: policies.OnOverflowPause,
		MaxWait: 20 * time.Millisecond, MaxHeld: 100, IDMemory: 1000, MaxHoles: policies.DefaultMaxHoles, MaxDLQ: 1000, MaxJump: 1000,
		Retry: policies.Retry{Max: 2, Delay: 10 * time.Millisecond}, Buffer: policies.BufferDurable, MaxFuture: time.Hour, MaxDepth: 20,
		Class: policies.Class{
			Early: policies.EarlyWait, Late: policies.LateReject, Duplicate: policies.DuplicateDrop, Conflict: policies.ConflictReject,
			Effects: policies.EffectsInOrder, Poison: policies.PoisonPark,
		},
		Classes: map[string]policies.Class{},
	}
}

// versions makes a contract latest-wins, where a poison event parks nothing.
func versions(c *policies.Contract) {
	c.OrderBy, c.Class.Poison = policies.ByVersion, policies.PoisonSkip
}

// produce makes the events of a correct producer, in its order: an event fails the
// same way whenever it comes.
func produce(c policies.Contract, r *rand.Rand) []scenario.Event {
	var events []scenario.Event
	next := map[string]int64{}
	epoch := map[string]int64{}
	last := ""
	for i := range 6 + r.IntN(10) {
		entity := string(rune('A' + r.IntN(2)))
		if c.Reset == policies.ResetEpoch && r.IntN(8) == 0 {
			epoch[entity], next[entity] = epoch[entity]+1, 0
		}
		next[entity]++
		ev := scenario.Event{
			Entity: entity, HasSequence: true, Sequence: next[entity], Epoch: epoch[entity], Version: int64(i), EventTime: int64(i),
			ID: fmt.Sprintf("%s-%d-%d", entity, epoch[entity], next[entity]), Data: string(rune('a' + i)), Poison: r.IntN(10) == 0,
		}
		if len(c.Classes) > 0 && r.IntN(2) == 0 {
			ev.Class = "view"
		}
		if r.IntN(4) == 0 {
			ev.Fail = 1 + r.IntN(2) // no more than is retried: a rebuild would take what failed too often
		}
		if c.Causal {
			ev.After, last = last, ev.ID
		}
		events = append(events, ev)
	}
	return events
}

// final plays events so many milliseconds apart, does every rebuild that is asked for,
// and lets every timer fire. whole says that every record was consumed.
func final(t *testing.T, c policies.Contract, events []scenario.Event, apart int64) (state map[string]string, whole bool) {
	t.Helper()
	h, err := host.New(c)
	if err != nil {
		t.Fatal(err)
	}
	now, asked := int64(0), 0
	logs := map[string][]scenario.Event{}
	do := func(s scenario.Step) scenario.Outcome {
		s.At = now
		if err := h.Do(s); err != nil {
			t.Fatal(err)
		}
		o, err := h.Outcome()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	rebuild := func(o scenario.Outcome) {
		for ; asked < len(o.Rebuilds); asked++ {
			entity := o.Rebuilds[asked].Entity
			o = do(scenario.Step{Kind: scenario.RebuildEntity, Rebuild: scenario.Rebuild{Entity: entity, Log: logs[entity]}})
		}
	}
	for _, ev := range events {
		logs[ev.Entity] = append(logs[ev.Entity], ev)
		rebuild(do(scenario.Step{Kind: scenario.Deliver, Event: ev}))
		now += apart
	}
	now += 100_000
	rebuild(do(scenario.Step{Kind: scenario.Flush}))
	o := do(scenario.Step{Kind: scenario.Tick})
	return o.State, len(o.Paused) == 0 && len(o.Retrying) == 0
}
