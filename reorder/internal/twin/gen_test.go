package twin

import (
	"reflect"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

const cases = 600

func play(t *testing.T, h scenario.Host, c scenario.Case, after func(step int, o scenario.Outcome)) scenario.Outcome {
	t.Helper()
	var o scenario.Outcome
	for i, s := range c.Steps {
		if err := h.Do(s); err != nil {
			t.Fatalf("%s, step %d: %v", c.ID, i+1, err)
		}
		if after != nil {
			o, _ = h.Outcome()
			after(i, o)
		}
	}
	o, _ = h.Outcome()
	return o
}

func TestASeedMakesOneCase(t *testing.T) {
	for seed := range uint64(50) {
		if a, b := Generate(seed), Generate(seed); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d makes two cases", seed)
		}
	}
}

// What must hold of any outcome, whatever the contract.
func TestGeneratedCasesKeepTheInvariants(t *testing.T) {
	rules := map[policies.Rule]int{}
	reasons := map[policies.Reason]int{}
	steps := 0
	for seed := range uint64(cases) {
		c := Generate(seed)
		w := newFaulty(c.Contract, noFault)
		commits := map[int]int64{}
		o := play(t, w, c, func(step int, o scenario.Outcome) {
			steps++
			for p, n := range o.Counts {
				if !n.Balanced() {
					t.Fatalf("seed %d, step %d, partition %d: %+v", seed, step+1, p, n)
				}
			}
			for p, n := range o.Commit {
				// R16 lets it go back to a record that is delivered again and waits this time.
				if n < commits[p] && w.copies(p, n) < 2 {
					t.Fatalf("seed %d, step %d: the commit of %d went back from %d to %d", seed, step+1, p, commits[p], n)
				}
				commits[p] = n
			}
		})
		checkOnce(t, seed, w, o)
		checkOrder(t, seed, w)
		for _, d := range o.Decisions {
			rules[d.Rule]++
			reasons[d.Reason]++
		}
	}
	t.Logf("%d cases, %d steps; decisions by rule %v, by reason %v", cases, steps, rules, reasons)
	for r := range policies.Rule(20) {
		if r != 15 && r != 16 && rules[r] < 20 { // effects and commits are no decisions
			t.Errorf("%v was hit %d times", r, rules[r])
		}
	}
}

func (t *Twin) copies(partition int, offset int64) int {
	n := 0
	for _, d := range t.deliveries {
		if d.Partition == partition && d.Offset == offset {
			n++
		}
	}
	return n
}

// An id changes state once, as long as it is remembered, and its effect is done.
func checkOnce(t *testing.T, seed uint64, w *Twin, o scenario.Outcome) {
	t.Helper()
	type event struct{ entity, id string }
	times := map[event]int{}
	for _, e := range o.Applied {
		if times[event{e.Entity, e.ID}]++; times[event{e.Entity, e.ID}] > 1 && w.c.IDMemory >= 1000 {
			t.Fatalf("seed %d: %s is applied twice", seed, e.ID)
		}
	}
	if len(w.outbox) > 0 {
		t.Fatalf("seed %d: effects are pending: %v", seed, w.outbox)
	}
	keys := map[string]bool{}
	for _, n := range w.applied {
		keys[w.key(w.deliveries[n].Event)] = true
	}
	for k := range o.Effects {
		if !keys[k] {
			t.Fatalf("seed %d: effect %s of nothing applied", seed, k)
		}
	}
	if len(keys) != len(o.Effects) {
		t.Fatalf("seed %d: %d effects of %d keys", seed, len(o.Effects), len(keys))
	}
}

// Of one epoch an entity applies rising numbers, but for those applied ahead.
func checkOrder(t *testing.T, seed uint64, w *Twin) {
	t.Helper()
	if w.c.OrderBy != policies.BySequence {
		return
	}
	last := map[string]*delivery{}
	for _, n := range w.applied {
		d := w.deliveries[n]
		if w.c.ClassOf(d.Class).Early == policies.EarlyApply {
			continue
		}
		if p := last[d.Entity]; p != nil && (d.Epoch < p.Epoch || d.Epoch == p.Epoch && d.Sequence <= p.Sequence) {
			t.Fatalf("seed %d: %s is applied after %s", seed, d.ID, p.ID)
		}
		last[d.Entity] = d
	}
}

// Each fault must fail a vector, or differ from the twin in some generated case.
func TestEveryPlantedFaultIsNoticed(t *testing.T) {
	f := load(t)
	for _, planted := range faults() {
		t.Run(string(planted), func(t *testing.T) {
			t.Parallel()
			for _, r := range scenario.Run(f, func(c policies.Contract) (scenario.Host, error) { return newFaulty(c, planted), nil }) {
				if !r.Pass {
					t.Logf("case %s", r.ID)
					return
				}
			}
			for seed := range uint64(cases) {
				c := Generate(seed)
				if !Same(play(t, newFaulty(c.Contract, noFault), c, nil), play(t, newFaulty(c.Contract, planted), c, nil)) {
					t.Logf("seed %d", seed)
					return
				}
			}
			t.Error("nothing notices it")
		})
	}
}
