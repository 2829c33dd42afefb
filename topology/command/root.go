package command

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
)

// newRoot makes the command tree. With a topology compiled in it has the verbs that
// need no file.
func newRoot(topo *topology.Topology) *cobra.Command {
	root := &cobra.Command{
		Use:           "streamrun",
		Short:         "Stream processing on Kafka, in order for each entity",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	if topo != nil {
		root.Use = topo.App()
		root.Short = "The app " + topo.App()
	} else {
		root.AddCommand(newCheck(), newDev())
	}
	root.AddCommand(newDescribe(topo), newRun(topo), newTopics(topo), newSimulate(), newGenerate(), newVersion())
	return root
}

// source is where a verb takes the topology from.
type source struct {
	topo *topology.Topology // nil: from the file
	path string
}

const defaultFile = "streamrun.yaml"

// flag adds the flag for the file, where one is needed.
func (s *source) flag(cmd *cobra.Command) {
	if s.topo == nil {
		cmd.Flags().StringVarP(&s.path, "config", "c", defaultFile, "topology file")
	}
}

// said completes the help of a flag that a topology file may say too: what the default
// is where it does not, or where there is no file.
func (s *source) said(otherwise string) string {
	if s.topo == nil {
		return "what the topology file says, else " + otherwise
	}
	return otherwise
}

// load returns the topology, and its file where it has one.
func (s *source) load() (*topology.Topology, *config.File, error) {
	if s.topo != nil {
		return s.topo, nil, nil
	}
	f, err := loadFile(s.path)
	if err != nil {
		return nil, nil, err
	}
	topo, err := f.Topology()
	if err != nil {
		return nil, nil, exitError{exitMalformed, err, "correct the file"}
	}
	return topo, f, nil
}

// loadFile reads a topology file.
func loadFile(path string) (*config.File, error) {
	f, err := config.Load(path)
	if unusable(err) {
		return nil, exitError{exitMalformed, err, "name a topology file that can be read with -c"}
	}
	if err != nil {
		return nil, exitError{exitMalformed, err, fmt.Sprintf("correct %s, or name another file with -c", path)}
	}
	return f, nil
}

// newLogger logs to stderr.
func newLogger(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
}

// formatFlag adds -o, and returns what reads it.
func formatFlag(cmd *cobra.Command) func() (string, error) {
	format := cmd.Flags().StringP("output", "o", "text", "text or json")
	return func() (string, error) {
		if *format != "text" && *format != "json" {
			return "", exitError{exitUsage, fmt.Errorf("-o %s is unknown", *format), "say -o text or -o json"}
		}
		return *format, nil
	}
}
