// Sim runs the simulation of the runner: real tasks and the real runner on a broker in
// memory, in virtual time, where one seed draws what is delivered when, lost, delayed,
// doubled or refused, who is killed, fenced, thrown out of the group or asleep, and
// what the clocks say. Every promise is checked after every step.
//
//	go run ./integration/sim -seeds 10000
//	go run ./integration/sim -seed 4711 -v
//	go run ./integration/sim -seed 4711 -drop 1-5,8
//
// It prints how often each kind of fault happened and how many traces differed. A seed
// that fails is shrunk: the command that is printed runs it with the faults left out
// that it does not need. The same seed gives the same trace.
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
	drop := flags.String("drop", "", "with -seed: leave these faults out, as a report prints them")
	verbose := flags.Bool("v", false, "with -seed: print what happens")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=2h", "-run=^TestSimulation$", "-v",
		"github.com/streamrun/streamrun/topology/runner", "-args",
		fmt.Sprintf("-sim.seeds=%d", *seeds), fmt.Sprintf("-sim.seed=%d", *seed),
		fmt.Sprintf("-sim.drop=%s", *drop), fmt.Sprintf("-sim.trace=%v", *verbose))
	test.Stdout, test.Stderr = os.Stdout, os.Stderr
	if err := test.Run(); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}
