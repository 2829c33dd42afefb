package host_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/host"
	"github.com/streamrun/streamrun/reorder/internal/twin"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// cases is how many random cases are played without rebuilds; with them, half as many.
var cases = flag.Int("cases", 1200, "how many random cases TestAgreesWithTheTwin plays")

// TestAgreesWithTheTwin plays random cases on the production sequencer and on the
// slow twin and compares everything after every step. They read the rules alike: no
// difference is excused. Over the whole run every rule has decided often.
func TestAgreesWithTheTwin(t *testing.T) {
	t.Parallel()
	whole, plain, rebuilt := newHits(), newHits(), newHits()
	t.Run("cases", func(t *testing.T) { // over when both of its tests are
		t.Run("plain", func(t *testing.T) {
			t.Parallel()
			agree(t, *cases, twin.Generate, plain)
		})
		t.Run("with rebuilds", func(t *testing.T) {
			t.Parallel()
			agree(t, *cases/2, rebuilds, rebuilt)
		})
	})
	if t.Failed() {
		return // it ended at a difference, and has not hit what it would
	}
	whole.add(plain)
	whole.add(rebuilt)
	t.Logf("%d cases and %d with rebuilds\n%s", *cases, *cases/2, whole)
	whole.check(t)
}

// agree plays so many cases and counts what they hit.
func agree(t *testing.T, cases int, generate func(seed uint64) scenario.Case, seen *hits) {
	t.Helper()
	for seed := range uint64(cases) {
		if diff := difference(generate(seed), seen); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// rebuilds makes a random case into which rebuilds are put: from everything that the
// case delivers of an entity, or from a part of it. It has no steps if the rules give
// a rebuild of its contract no cutoff.
func rebuilds(seed uint64) scenario.Case {
	c := twin.Generate(seed)
	if c.Contract.OrderBy != policies.BySequence {
		c.Steps = nil
		return c
	}
	c.Contract.IDMemory = 1000 // the rules do not say in which order a rebuild records ids
	c.Contract.MaxJump = 1000  // the twin's fold has no jump
	r := rand.New(rand.NewPCG(seed, 1))
	for range 2 {
		i := r.IntN(len(c.Steps))
		c.Steps = slices.Insert(slices.Clone(c.Steps), i, rebuild(c, i, r))
	}
	return c
}

// rebuild makes a rebuild of an entity that stands before step i of a case.
func rebuild(c scenario.Case, i int, r *rand.Rand) scenario.Step {
	entity := string(rune('A' + r.IntN(3)))
	part := 100 - 5*r.IntN(3) // percent
	var log []scenario.Event
	for _, s := range c.Steps[:min(len(c.Steps), i+r.IntN(10))] {
		// A clean log has neither conflicts nor new numbers, jumps or events that the handler
		// refuses. The row keeps an id that was renumbered before a reset, but no number of
		// its old epoch: which effect key it had then is not known any more.
		clean := !renumberedBeforeReset(c, s.Event) && !strings.HasSuffix(s.Event.ID, "x") && !strings.HasSuffix(s.Event.ID, "y") && !s.Event.Poison && s.Event.Sequence < 1000 &&
			!slices.ContainsFunc(log, func(e scenario.Event) bool { return e.ID == s.Event.ID && e.Sequence != s.Event.Sequence })
		if s.Kind == scenario.Deliver && s.Event.Entity == entity && clean && r.IntN(100) < part {
			log = append(log, s.Event)
		}
	}
	return scenario.Step{At: c.Steps[i].At, Kind: scenario.RebuildEntity, Rebuild: scenario.Rebuild{Entity: entity, Log: log}}
}

// renumberedBeforeReset reports whether an id has several numbers in a case in which
// its entity has several epochs.
func renumberedBeforeReset(c scenario.Case, ev scenario.Event) bool {
	resets, renumbered := false, false
	for _, s := range c.Steps {
		if s.Kind == scenario.Deliver && s.Event.Entity == ev.Entity {
			resets = resets || s.Event.Epoch != ev.Epoch
			renumbered = renumbered || s.Event.ID == ev.ID && (s.Event.Sequence != ev.Sequence || s.Event.Epoch != ev.Epoch)
		}
	}
	return resets && renumbered
}

// difference returns the first difference between host and twin. It counts what the
// case hit until then.
func difference(c scenario.Case, seen *hits) string {
	want, err := twin.New(c.Contract)
	if err != nil {
		return err.Error()
	}
	got, err := host.New(c.Contract)
	if err != nil {
		return err.Error()
	}
	var last scenario.Outcome
	clear(seen.paused)
	for i, s := range c.Steps {
		if err := want.Do(s); err != nil {
			return fmt.Sprintf("step %d: twin: %v", i+1, err)
		}
		if err := got.Do(s); err != nil {
			return fmt.Sprintf("step %d: host: %v", i+1, err)
		}
		a, err := want.Outcome()
		if err != nil {
			return fmt.Sprintf("step %d: twin: %v", i+1, err)
		}
		b, err := got.Outcome()
		if err != nil {
			return fmt.Sprintf("step %d: host: %v\n%s", i+1, err, story(c, i))
		}
		seen.take(s, last, b)
		last = b
		comparable(a.Counts)
		comparable(b.Counts)
		if !twin.Same(a, b) {
			x, y := twin.Canonical(a), twin.Canonical(b)
			return fmt.Sprintf("step %d:\n%s%s\ndecisions of the twin:%s\ndecisions of the host:%s", i+1,
				cmp.Diff(strings.Split(x, "\n"), strings.Split(y, "\n")), story(c, i), decisions(a), decisions(b))
		}
	}
	return ""
}

// comparable leaves out of counts what the rules do not say: a mark of the contract,
// and whether a delivery that a crash forgot was counted before.
func comparable(counts map[int]policies.Counts) {
	for p, n := range counts {
		n.Delivered, n.Lost, n.VersionBackward = n.Delivered-n.Lost, 0, 0
		if counts[p] = n; n == (policies.Counts{}) {
			delete(counts, p)
		}
	}
}

func decisions(o scenario.Outcome) string {
	var b strings.Builder
	for _, d := range o.Decisions[max(len(o.Decisions)-25, 0):] {
		fmt.Fprintf(&b, "\n  %s %s %s: %s", d.ID, d.Disposition, d.Reason, d.Explanation)
	}
	return b.String()
}

func story(c scenario.Case, last int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "contract %+v\n", c.Contract)
	for i, s := range c.Steps[:last+1] {
		fmt.Fprintf(&b, "%3d at %d kind %d %s%s%v %+v %+v\n", i+1, s.At, s.Kind, s.Entity, s.ID, s.Generation, s.Event, ids(s.Rebuild.Log))
	}
	return b.String()
}

func ids(log []scenario.Event) (ids []string) {
	for _, e := range log {
		ids = append(ids, fmt.Sprintf("%s@%d", e.ID, e.Sequence))
	}
	return ids
}
