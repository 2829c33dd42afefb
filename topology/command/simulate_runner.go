package command

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology/internal/simulation"
)

// simPackage is the program that runs simulations of the runner.
const simPackage = "github.com/streamrun/streamrun/integration/sim"

// simulateRunner runs a simulation of the runner with the go command: it needs the virtual
// time of a test, and the broker and the judge that go with it, which no program that is
// delivered contains.
func simulateRunner(cmd *cobra.Command, path string, data []byte) error {
	if _, err := simulation.Parse(path, data); err != nil {
		return exitError{exitMalformed, err, "correct the file at the place named"}
	}
	from, err := filepath.Abs(path)
	if err != nil {
		from = path
	}
	var why bytes.Buffer
	list := exec.CommandContext(cmd.Context(), "go", "list", simPackage)
	list.Stderr = &why
	if err := list.Run(); err != nil {
		return exitError{
			exitUsage, fmt.Errorf("%s is a simulation of the runner, which needs the go command in a module that has streamrun: %w: %s", path, err, bytes.TrimSpace(why.Bytes())),
			"in a checkout of streamrun: streamrun simulate " + from,
		}
	}
	run := exec.CommandContext(cmd.Context(), "go", "run", simPackage, "-scenario", from)
	run.Stdout, run.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := run.Run(); err != nil {
		if cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			return fmt.Errorf("running %s: %w", simPackage, err)
		}
		return exitError{exitNo, nil, "go run " + simPackage + " -scenario " + from + " -v tells every step"}
	}
	return nil
}
