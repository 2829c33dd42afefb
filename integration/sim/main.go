// Sim runs the simulation of the runner: real tasks and the real runner on a broker in
// memory, in virtual time, where one seed draws what is delivered when, lost, delayed,
// doubled or refused, who is killed, fenced, thrown out of the group or asleep, and
// what the clocks say. Every promise is checked after every step.
//
//	go run ./integration/sim -seeds 10000
//	go run ./integration/sim -seed 4711 -v
//	go run ./integration/sim -scenario simulation-4711.yaml -v
//
// It prints how often each kind of fault happened and how many traces differed. A seed
// that fails is printed, and shrunk to a scenario file in the current folder: the
// steps, faults and settings that the failure needs, and what happened in each step.
// The same seed, and the same file, give the same trace to the byte. "streamrun simulate
// FILE" runs a file too.
//
// # Non-obvious
//
//   - The simulation is TestSimulation of topology/runner, since it is the runner's own
//     goroutines that it drives; this command runs it with the go command.
//   - Time there is virtual and belongs to the test, so a simulation of minutes takes
//     milliseconds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	seeds := flags.Int("seeds", 1000, "how many seeds")
	seed := flags.Int64("seed", -1, "run this seed alone")
	scenario := flags.String("scenario", "", "run this scenario file alone")
	verbose := flags.Bool("v", false, "with -seed or -scenario: print what happens")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if *scenario != "" && !filepath.IsAbs(*scenario) {
		*scenario = filepath.Join(here, *scenario) // a test runs in the folder of its package
	}
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=2h", "-run=^TestSimulation$", "-v",
		"github.com/streamrun/streamrun/topology/runner", "-args",
		fmt.Sprintf("-sim.seeds=%d", *seeds), fmt.Sprintf("-sim.seed=%d", *seed),
		"-sim.scenario="+*scenario, "-sim.out="+here, fmt.Sprintf("-sim.trace=%v", *verbose))
	test.Env = append(os.Environ(), "GODEBUG="+os.Getenv("GODEBUG")+",tracebacklabels=1") // a panic says of which seed it is
	test.Stdout, test.Stderr = os.Stdout, os.Stderr
	if err := test.Run(); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}
