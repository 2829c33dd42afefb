package host_test

import (
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

// seeds is how many random cases are played: a few seconds' worth.
const seeds = 800

// TestAgreesWithTheTwin plays random cases on the production sequencer and on the
// slow twin and compares everything after every step. A difference is excused only
// where both read the rules as they may be read; excuses must be rare.
func TestAgreesWithTheTwin(t *testing.T) {
	t.Parallel()
	excuses := map[string]int{}
	for seed := range uint64(seeds) {
		diff, excuse := differs(twin.Generate(seed))
		switch {
		case excuse != "":
			excuses[excuse]++
		case diff != "":
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	for excuse, n := range excuses {
		t.Logf("%d of %d cases differ since %s", n, seeds, excuse)
		if n > seeds/100 {
			t.Errorf("%d cases differ since %s: too many to be believed", n, excuse)
		}
	}
}

// TestRebuildsAgreeWithTheTwin plays random cases into which rebuilds are put: from
// everything that the case delivers of an entity, or from a part of it.
func TestRebuildsAgreeWithTheTwin(t *testing.T) {
	t.Parallel()
	excused := 0
	for seed := range uint64(seeds / 3) {
		c := twin.Generate(seed)
		if c.Contract.OrderBy != policies.BySequence {
			continue // the rules give a rebuild no cutoff there
		}
		c.Contract.IDMemory = 1000 // the rules do not say in which order a rebuild records ids
		c.Contract.MaxJump = 1000  // the twin's fold has no jump
		r := rand.New(rand.NewPCG(seed, 1))
		for range 2 {
			i := r.IntN(len(c.Steps))
			c.Steps = slices.Insert(slices.Clone(c.Steps), i, rebuild(c, i, r))
		}
		diff, excuse := differs(c)
		if excuse != "" {
			excused++
		} else if diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if excused > seeds/100 {
		t.Errorf("%d cases differ for a reason: too many to be believed", excused)
	}
}

// rebuild makes a rebuild of an entity that stands before step i of a case.
func rebuild(c scenario.Case, i int, r *rand.Rand) scenario.Step {
	entity := string(rune('A' + r.IntN(3)))
	part := 100 - 5*r.IntN(3) // percent
	var log []scenario.Event
	for _, s := range c.Steps[:min(len(c.Steps), i+r.IntN(10))] {
		// A clean log has neither conflicts nor new numbers, jumps or events that the handler refuses.
		clean := !strings.HasSuffix(s.Event.ID, "x") && !strings.HasSuffix(s.Event.ID, "y") && !s.Event.Poison && s.Event.Sequence < 1000 &&
			!slices.ContainsFunc(log, func(e scenario.Event) bool { return e.ID == s.Event.ID && e.Sequence != s.Event.Sequence })
		if s.Kind == scenario.Deliver && s.Event.Entity == entity && clean && r.IntN(100) < part {
			log = append(log, s.Event)
		}
	}
	return scenario.Step{At: c.Steps[i].At, Kind: scenario.RebuildEntity, Rebuild: scenario.Rebuild{Entity: entity, Log: log}}
}

// differs returns the first difference between host and twin, and what excuses it.
func differs(c scenario.Case) (diff, excuse string) {
	want, err := twin.New(c.Contract)
	if err != nil {
		return err.Error(), ""
	}
	got, err := host.New(c.Contract)
	if err != nil {
		return err.Error(), ""
	}
	paused := false
	for i, s := range c.Steps {
		if err := want.Do(s); err != nil {
			return fmt.Sprintf("step %d: twin: %v", i+1, err), ""
		}
		if err := got.Do(s); err != nil {
			return fmt.Sprintf("step %d: host: %v", i+1, err), ""
		}
		a, err := want.Outcome()
		if err != nil {
			return fmt.Sprintf("step %d: twin: %v", i+1, err), ""
		}
		b, err := got.Outcome()
		if err != nil {
			return fmt.Sprintf("step %d: host: %v\n%s", i+1, err, story(c, i)), ""
		}
		comparable(a.Counts)
		comparable(b.Counts)
		if x, y := twin.Canonical(a), twin.Canonical(b); x != y {
			return fmt.Sprintf("step %d:\n%s%s\ndecisions of the twin:%s\ndecisions of the host:%s", i+1,
				cmp.Diff(strings.Split(x, "\n"), strings.Split(y, "\n")), story(c, i), decisions(a), decisions(b)), excuseFor(c, a, b, paused)
		}
		paused = paused || len(b.Paused) > 0
	}
	return "", ""
}

// excuseFor says why host and twin may differ in a case.
func excuseFor(c scenario.Case, twin, host scenario.Outcome, paused bool) string {
	p := c.Contract
	switch {
	case p.Gap == policies.GapRebuild && crashes(c) && len(twin.Rebuilds) != len(host.Rebuilds):
		return "the twin dies between the apply that opens a hole and the request for it"
	case p.Gap == policies.GapRebuild && len(host.Paused) > 0 && len(twin.Rebuilds) != len(host.Rebuilds):
		return "the twin counts a paused event as held"
	case foundOut(twin, host):
		return "the host finds a second id out at once where a durable buffer keeps the first, which is in retry"
	case p.Gap == policies.GapApply && jumps(p):
		return "the twin gives up at once what lies behind a number in retry"
	case p.Gap == policies.GapRetry && jumps(p):
		return "the twin gives up the number of an event that looks at the gap"
	case jumps(p) && len(host.Holes) > len(twin.Holes) && rebuilds(c):
		return "the twin's rebuild forgets a hole above last"
	case rebuilds(c) && len(twin.DLQ) == len(host.DLQ) && len(twin.Suppressed) != len(host.Suppressed) && p.Retry.Max > 0:
		return "the twin rebuilds between the end of a retry and the drain"
	case rebuilds(c) && len(twin.Suppressed) == len(host.Suppressed) && !slices.Equal(twin.Suppressed, host.Suppressed) && p.Reset == policies.ResetEpoch:
		return "the row keeps no numbers of old epochs"
	case paused:
		return "the twin resumes partitions between timers that are due at the same time"
	}
	return ""
}

// foundOut reports whether the host dead-lettered a conflict that the twin holds.
func foundOut(twin, host scenario.Outcome) bool {
	return slices.ContainsFunc(host.DLQ, func(e scenario.Entry) bool {
		return e.Note == string(policies.ReasonSequenceConflict) &&
			slices.Contains(twin.Held, scenario.Entry{Entity: e.Entity, ID: e.ID})
	})
}

// jumps reports whether some class is applied ahead.
func jumps(c policies.Contract) bool {
	for _, class := range c.Classes {
		if class.Early == policies.EarlyApply {
			return true
		}
	}
	return c.Class.Early == policies.EarlyApply
}

func rebuilds(c scenario.Case) bool {
	return slices.ContainsFunc(c.Steps, func(s scenario.Step) bool { return s.Kind == scenario.RebuildEntity })
}

func crashes(c scenario.Case) bool {
	return slices.ContainsFunc(c.Steps, func(s scenario.Step) bool { return s.Event.Crash != scenario.NoCrash })
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
