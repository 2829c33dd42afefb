package command

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology/command/internal/generate"
)

func newGenerate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write realistic events, one a line, where there are none",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		generator("orders", "Orders of a shop: created, viewed, paid, shipped or cancelled", generate.Orders),
		generator("permits", "Cases of an authority: received, checked, advised on, decided", generate.Permits),
	)
	return cmd
}

// generator is the verb for one kind of events.
func generator[E any](name, short string, events func(generate.Options) (iter.Seq[E], error)) *cobra.Command {
	var o generate.Options
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long:  short + ".\nThe events go to stdout in order of event time; the same flags give the same bytes.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := events(o)
			if err != nil {
				return exitError{exitUsage, err, "change --events or --entities"}
			}
			return classify(generate.Write(cmd.OutOrStdout(), all))
		},
	}
	cmd.Flags().IntVar(&o.Events, "events", 10_000, "how many events")
	cmd.Flags().IntVar(&o.Entities, "entities", 0, "of how many entities; 0: one for every six events")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "of everything that is drawn")
	return cmd
}
