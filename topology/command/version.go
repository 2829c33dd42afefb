package command

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology/runner"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "streamrun %s %s %s/%s\n", runner.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
