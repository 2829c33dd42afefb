package host_test

import (
	"fmt"
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
const seeds = 4000

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
		fmt.Fprintf(&b, "%3d at %d kind %d %s%s%v %+v\n", i+1, s.At, s.Kind, s.Entity, s.ID, s.Generation, s.Event)
	}
	return b.String()
}
