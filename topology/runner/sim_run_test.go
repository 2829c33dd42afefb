package runner

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/simulation"
)

var (
	simSeeds    = flag.Int("sim.seeds", 60, "how many seeds TestSimulation runs")
	simSeed     = flag.Int64("sim.seed", -1, "run this seed alone")
	simScenario = flag.String("sim.scenario", "", "run this scenario file alone")
	simTrace    = flag.Bool("sim.trace", false, "of what runs alone: print what happens")
	simOut      = flag.String("sim.out", "", "a folder for the scenario files of failures; empty: they are printed")
)

// shrinkRuns is how many runs are spent on making one failure smaller.
const shrinkRuns = 1500

// One seed draws everything that happens to a few instances and their broker; every
// promise is checked after every step. A seed that fails is printed, and shrunk to a
// scenario file.
func TestSimulation(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // little of it lives long
	switch {
	case *simScenario != "":
		runScenario(t, *simScenario)
	case *simSeed >= 0:
		v := simulate(t, simulation.Draw(uint64(*simSeed)), *simTrace)
		t.Logf("seed %d: trace %016x, %d faults", *simSeed, v.script.Trace, v.script.Faults())
		if v.script.Breaks != "" {
			report(t, v)
		}
	default:
		runSeeds(t, *simSeeds)
	}
}

// runScenario runs a file, and says where it has gone another way than its writer's run.
func runScenario(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := simulation.Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range plan.Steps {
		if step.Fault != "" && step.Fault != simulation.AnyFault && !slices.Contains(simKinds(), step.Fault) {
			t.Fatalf("%s: step %d: there is no fault %q; there are %s", path, step.Number, step.Fault, strings.Join(simKinds(), "; "))
		}
	}
	v := simulate(t, plan, *simTrace)
	as := "as the file says"
	if v.script.Trace != plan.Trace {
		as = fmt.Sprintf("the file says %016x: it or the code has changed", plan.Trace)
	}
	t.Logf("%s: trace %016x, %s; %d steps, %d faults", path, v.script.Trace, as, len(v.script.Steps), v.script.Faults())
	for i, step := range v.script.Steps {
		if step.Fault != plan.Steps[i].Fault && plan.Steps[i].Fault != simulation.AnyFault {
			t.Logf("step %d: %s did not happen, since another fault is drawn by now, or none", step.Number, plan.Steps[i].Fault)
		}
	}
	switch {
	case v.script.Breaks != "":
		t.Errorf("%s: %s", path, v.script.Seen)
	case plan.Breaks != "":
		t.Logf("every promise was kept; the file was written of a run that broke %s", plan.Breaks)
	}
}

// report prints a failure and what it needs.
func report(t *testing.T, v simVerdict) {
	seed := v.script.Seed
	t.Errorf("go run ./integration/sim -seed %d: trace %016x: %s", seed, v.script.Trace, v.script.Seen)
	small := simulation.Shrink(v.script, shrinkRuns, func(s simulation.Script) (simulation.Script, bool) {
		got := simulate(t, s, false)
		return got.script, got.script.Breaks == v.script.Breaks
	})
	size := fmt.Sprintf("seed %d shrunk from %d steps with %d faults to %d with %d", seed, len(v.script.Steps), v.script.Faults(), len(small.Steps), small.Faults())
	if *simOut == "" {
		t.Logf("%s:\n%s", size, small.Text())
		return
	}
	path := filepath.Join(*simOut, fmt.Sprintf("simulation-%d.yaml", seed))
	if err := os.WriteFile(path, small.Text(), 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("%s: go run ./integration/sim -scenario %s", size, path)
}

// runSeeds runs seeds from 0, some of them twice, and counts what happened in them.
func runSeeds(t *testing.T, seeds int) {
	began := time.Now()
	var mu sync.Mutex // guards what follows
	fired, traces := map[string]int{}, map[uint64]bool{}
	t.Run("seeds", func(t *testing.T) {
		shards := runtime.GOMAXPROCS(0)
		for shard := range shards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := shard; seed < seeds && !t.Failed(); seed += shards {
					pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("seed", strconv.Itoa(seed)))) // a panic prints it, with GODEBUG=tracebacklabels=1
					plan := simulation.Draw(uint64(seed))
					v := simulate(t, plan, false)
					if seed%20 == 0 {
						if again := simulate(t, plan, false); again.script.Trace != v.script.Trace {
							t.Errorf("I13: go run ./integration/sim -seed %d: trace %016x, then %016x", seed, v.script.Trace, again.script.Trace)
						}
					}
					mu.Lock()
					traces[v.script.Trace] = true
					for kind, n := range v.fired {
						fired[kind] += n
					}
					mu.Unlock()
					if v.script.Breaks != "" {
						report(t, v)
					}
				}
			})
		}
	})
	for _, kind := range simKinds() {
		t.Logf("%7d %s", fired[kind], kind)
	}
	t.Logf("%d seeds, %d distinct traces, %v", seeds, len(traces), time.Since(began).Round(time.Millisecond))
	if t.Failed() {
		return // seeds were left out
	}
	for _, problem := range tooFew(seeds, fired, len(traces)) {
		t.Error(problem)
	}
}

// A run is its script: written to a file as it went, and read and run again, it goes
// the same way to the byte.
func TestASimulationIsItsScript(t *testing.T) {
	for seed := range uint64(8) {
		v := simulate(t, simulation.Draw(seed), false)
		if v.script.Breaks != "" {
			t.Fatal(v.script.Seen)
		}
		plan, err := simulation.Parse("went", v.script.Text())
		if err != nil {
			t.Fatal(err)
		}
		again := simulate(t, plan, false)
		if diff := cmp.Diff(v.script, again.script); diff != "" {
			t.Errorf("seed %d (-first run +run of its file):\n%s", seed, diff)
		}
		if v.script.Faults() == 0 || slices.ContainsFunc(v.script.Steps, func(s simulation.Step) bool { return s.Fault == simulation.AnyFault || s.Note == "" }) {
			t.Errorf("seed %d: steps without fault or note: %v", seed, v.script.Steps)
		}
	}
}

// What a step draws is its own: of the steps that write, all that are left still do,
// whichever others are left out.
func TestAStepDrawsTheSameWithoutOthers(t *testing.T) {
	writes := func(s simulation.Script) (numbers []int) {
		for _, step := range s.Steps {
			if strings.Contains(step.Note, ": write ") {
				numbers = append(numbers, step.Number)
			}
		}
		return numbers
	}
	odd := func(n int) bool { return n%2 == 1 }
	all := simulate(t, simulation.Draw(3), false).script
	half := all
	half.Steps = slices.DeleteFunc(slices.Clone(all.Steps), func(s simulation.Step) bool { return odd(s.Number) })
	want := slices.DeleteFunc(writes(all), odd)
	if got := writes(simulate(t, half, false).script); !slices.Equal(got, want) || len(want) < 5 {
		t.Errorf("of the even steps %v write, with the odd ones %v did", got, want)
	}
}

// Without its faults a simulation has none, and of a failure that needs a kill nothing
// but a kill is left.
func TestASimulationShrinks(t *testing.T) {
	v := simulate(t, simulation.Draw(7), false)
	calm := v.script
	calm.Steps = slices.Clone(calm.Steps)
	for i := range calm.Steps {
		calm.Steps[i].Fault = ""
	}
	if got := simulate(t, calm, false); got.script.Faults() > 0 || got.fired["kill"] > 0 || v.fired["kill"] == 0 {
		t.Errorf("%d kills; without faults %d, and %d faults", v.fired["kill"], got.fired["kill"], got.script.Faults())
	}
	small := simulation.Shrink(v.script, shrinkRuns, func(s simulation.Script) (simulation.Script, bool) {
		got := simulate(t, s, false)
		return got.script, got.fired["kill"] > 0
	})
	if len(small.Steps) != 1 || small.Steps[0].Fault != "kill" || small.Settings.Keys != 1 {
		t.Errorf("a kill alone is enough, and this is left:\n%s", small.Text())
	}
}
