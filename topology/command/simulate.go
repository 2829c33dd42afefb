package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/reorder/host"
	"github.com/streamrun/streamrun/reorder/scenario"
	"github.com/streamrun/streamrun/topology/internal/simulation"
)

func newSimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate FILE...",
		Short: "Run the cases of scenario files on a virtual clock",
		Long: "Simulate runs every case of scenario files: a contract, what is delivered when, and what must have\n" +
			"become of it. It drives the code that runs in production, and needs no broker. A line per case says\n" +
			"pass, or the first difference and the rule that decided. Exit 0: all pass; 3: a case differs; 78: a\n" +
			"file is malformed.\n\n" +
			"A scenario file of the runner (schema runner-simulation/1), as a drill of streamrun itself writes it,\n" +
			"is not run here; what runs it is said.",
	}
	format := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		as, err := format()
		if err != nil {
			return err
		}
		if len(paths) == 0 {
			return exitError{exitUsage, errors.New("no scenario file is named"), "name one: " + cmd.CommandPath() + " FILE..."}
		}
		if err := refuseRunner(paths); err != nil {
			return err
		}
		return simulated(scenario.Simulate(cmd.OutOrStdout(), cmd.ErrOrStderr(), paths, as, host.New))
	}
	return cmd
}

// refuseRunner refuses files that are simulations of the runner: they need the virtual
// time of a test and the broker and the judge that go with it, which no program that is
// delivered contains.
func refuseRunner(paths []string) error {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil || !simulation.Is(data) {
			continue // whoever reads it as cases says what is wrong with it
		}
		from, err := filepath.Abs(path)
		if err != nil {
			from = path
		}
		return exitError{
			exitUsage, fmt.Errorf("%s is a simulation of the runner, which only its tests can run", path),
			"in a checkout of streamrun: go run ./integration/sim -scenario " + from,
		}
	}
	return nil
}

// simulated turns the exit code of a simulation, which has said everything, into an
// error with the next step.
func simulated(code int) error {
	switch code {
	case scenario.ExitPass:
		return nil
	case scenario.ExitMalformed:
		return exitError{exitMalformed, nil, "correct the file at the places named"}
	case scenario.ExitDiffers:
		return exitError{exitNo, nil, "the rule named decided; change the contract of the case, or what it expects"}
	}
	return exitError{code, nil, "see that stdout can be written"}
}
