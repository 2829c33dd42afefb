package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// simplest are the simplest settings.
func simplest(t *testing.T) (s Settings) {
	for _, f := range s.all() {
		if err := f.set(f.distinct()[0]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Of a failure that needs a few steps, a few faults and a setting, just those are left,
// whatever they are.
func TestShrinkLeavesWhatTheFailureNeeds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := Draw(rapid.Uint64().Draw(rt, "seed"))
		steps := rapid.SliceOfNDistinct(rapid.IntRange(1, len(s.Steps)), 1, 5, rapid.ID[int]).Draw(rt, "steps")
		faults := rapid.IntRange(0, len(steps)).Draw(rt, "of them with a fault")
		slices.Sort(steps)
		want := Script{Seed: s.Seed, Settings: simplest(t)}
		for i, n := range steps {
			step := Step{Number: n}
			if i < faults {
				step.Fault = AnyFault
			}
			want.Steps = append(want.Steps, step)
		}
		want.Settings.Keys = s.Settings.Keys
		want.Settings.MaxWait = s.Settings.MaxWait

		runs := 0
		got := Shrink(s, 5000, func(s Script) (Script, bool) {
			runs++
			for _, n := range want.Steps {
				if !slices.ContainsFunc(s.Steps, func(has Step) bool { return has.Number == n.Number && (has.Fault == n.Fault || n.Fault == "") }) {
					return s, false
				}
			}
			return s, s.Settings.Keys == want.Settings.Keys && s.Settings.MaxWait == want.Settings.MaxWait
		})
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("what is left (-want +got):\n%s", diff)
		}
		if runs > 400 {
			rt.Errorf("%d runs for %d steps of %d", runs, len(steps), len(s.Steps))
		}
	})
}

// What is left is a script as it went: without the steps that it did not reach, and
// with the names of the faults.
func TestShrinkTakesTheScriptAsItWent(t *testing.T) {
	t.Parallel()
	got := Shrink(Draw(1), 1000, func(s Script) (Script, bool) {
		s.Steps = slices.Clone(s.Steps)
		i := slices.IndexFunc(s.Steps, func(step Step) bool { return step.Number >= 100 && step.Fault != "" })
		if i < 0 {
			return s, false
		}
		s.Steps = s.Steps[:i+1]
		s.Steps[i].Fault = "kill"
		s.Trace++
		return s, true
	})
	if len(got.Steps) != 1 || got.Steps[0].Fault != "kill" || got.Trace == 0 {
		t.Errorf("left is %+v, want one step with the kill, and how it went", got)
	}
}

// Without a failure nothing changes, and runs are bounded.
func TestShrinkRunsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tries int
		fails bool
	}{{0, true}, {7, true}, {7, false}, {100_000, false}} {
		s, runs := Draw(3), 0
		got := Shrink(s, c.tries, func(s Script) (Script, bool) { runs++; return s, c.fails })
		if runs > c.tries {
			t.Errorf("%+v: %d runs", c, runs)
		}
		if diff := cmp.Diff(s, got); (diff != "") != (c.fails && c.tries > 0) {
			t.Errorf("%+v: what changed: %s", c, diff)
		}
	}
}

// Among settings the simplest that fails is taken, not the next.
func TestShrinkTakesTheSimplestSetting(t *testing.T) {
	t.Parallel()
	s := example()
	got := Shrink(s, 1000, func(s Script) (Script, bool) { return s, s.Settings.Keys != 1 && s.Settings.MarkerDelay < time.Second })
	if got.Settings.Keys != 2 || got.Settings.MarkerDelay != 0 {
		t.Errorf("left are %d keys and a delay of %v, want 2 and 0s", got.Settings.Keys, got.Settings.MarkerDelay)
	}
}
