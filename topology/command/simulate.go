package command

import (
	"errors"
	"fmt"
	"os"

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
			"is run with the go command in a module that has streamrun: its virtual time is that of a Go test.",
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
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil && simulation.Is(data) {
				if len(paths) > 1 || as != "text" {
					return exitError{exitUsage, fmt.Errorf("%s is a simulation of the runner, which is run alone and tells what happened as text", path), cmd.CommandPath() + " " + path}
				}
				return simulateRunner(cmd, path, data)
			}
		}
		return simulated(scenario.Simulate(cmd.OutOrStdout(), cmd.ErrOrStderr(), paths, as, host.New))
	}
	return cmd
}

// simulated turns the exit code of a simulation, which has said everything, into an
// error with the next step.
func simulated(code int) error {
	switch code {
	case scenario.ExitPass:
		return nil
	case scenario.ExitMalformed:
		return exitError{exitMalformed, nil, "correct the file at the places named, or name another"}
	case scenario.ExitDiffers:
		return exitError{exitNo, nil, "the rule named decided; change the contract of the case, or what it expects"}
	}
	return exitError{code, nil, "see that stdout can be written"}
}
