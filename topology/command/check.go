package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology"
)

func newCheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with a topology file",
		Long: "Check reads a topology file and says everything that is wrong with it in one pass, each with\n" +
			"file:line:col. It needs no broker. Exit 0: nothing is wrong; 78: something is.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := loadFile(path)
			if err != nil {
				return err
			}
			if _, err := f.Topology(); err != nil {
				return exitError{exitMalformed, err, "correct the file"}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %s\n", path, f.Contract.Sentence())
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultFile, "topology file")
	return cmd
}

func newDescribe(topo *topology.Topology) *cobra.Command {
	src := &source{topo: topo}
	cmd := &cobra.Command{
		Use:   "describe",
		Short: "Say what the topology does, its contract, stores and topics",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topo, f, err := src.load()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if _, err := fmt.Fprint(out, topo.Describe().String()); err != nil {
				return err
			}
			if f != nil {
				_, err = fmt.Fprintf(out, "\n%s", f.Contract.Table())
			}
			return err
		},
	}
	src.flag(cmd)
	return cmd
}
