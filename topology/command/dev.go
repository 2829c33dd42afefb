package command

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology/command/internal/dev"
)

func newDev() *cobra.Command {
	var (
		path            string
		o               dev.Options
		duplicate, lose percent
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the app against an embedded broker, feed it badly, kill it, and verify what came out",
		Long: "Dev runs the app of a topology file as a process of its own against a broker inside this one, and feeds\n" +
			"it the events of a file: shuffled within windows, some sent again later, some withheld. It kills the\n" +
			"app (SIGKILL) inside open transactions, at points that the seed draws, and once behind a commit.\n" +
			"With --until-idle it stops when everything is decided, reads all topics back and verifies them: the\n" +
			"last line of its output says how it went. Exit 0: all is right; 3: something is not.",
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVarP(&path, "config", "c", defaultFile, "topology file")
	flags.StringVar(&o.Feed, "feed", "", "file of events, one JSON a line, plain or gzip")
	flags.IntVar(&o.Delivery.Shuffle, "shuffle", 0, "shuffle the events within windows of so many")
	flags.Var(&duplicate, "duplicate", "share of the events that is sent again later, such as 10%")
	flags.Var(&lose, "lose", "share of the events that is withheld, such as 1%")
	flags.IntVar(&o.Kills, "kill", 0, "how often the app is killed inside an open transaction")
	flags.Uint64Var(&o.Delivery.Seed, "seed", 0, "of everything that is drawn")
	flags.IntVar(&o.Partitions, "partitions", 0, "of the input topic; default: what the file says, else 8")
	flags.StringVar(&o.DataDir, "data-dir", "", "directory for broker and app; a second run goes on where the first one ended; default: nothing is kept")
	flags.BoolVar(&o.UntilIdle, "until-idle", false, "stop when everything is decided, and verify")
	flags.StringVar(&o.TableOut, "table-out", "", "file for the table, a row a line, sorted by key")
	flags.StringVar(&o.LettersOut, "letters-out", "", "file for the dead letters, one a line")
	format := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		as, err := format()
		if err != nil {
			return err
		}
		o.Delivery.DuplicatePercent, o.Delivery.LosePercent = float64(duplicate), float64(lose)
		if err := checkDev(cmd, &o); err != nil {
			return err
		}
		if o.File, err = loadFile(path); err != nil {
			return err
		}
		if o.Program, err = os.Executable(); err != nil {
			return exitError{exitFailure, fmt.Errorf("finding this program: %w", err), "start it from a file"}
		}
		o.Logger = newLogger(cmd)
		report, err := dev.Run(cmd.Context(), o)
		if err != nil {
			return classify(err)
		}
		return printReport(cmd, report, as)
	}
	return cmd
}

// checkDev refuses flags that make no sense, before anything starts.
func checkDev(cmd *cobra.Command, o *dev.Options) error {
	switch {
	case o.Feed == "":
		root := cmd.Root().Name()
		return exitError{
			exitUsage, errors.New("dev needs events: --feed FILE"),
			fmt.Sprintf("where there are none, make some: %s generate orders >events.ndjson (or generate permits)", root),
		}
	case o.Delivery.Shuffle < 0:
		return exitError{exitUsage, fmt.Errorf("--shuffle %d", o.Delivery.Shuffle), "give a number of events, or leave it out"}
	case o.Kills < 0:
		return exitError{exitUsage, fmt.Errorf("--kill %d", o.Kills), "give a number of kills, or leave it out"}
	case o.Partitions < 0 || o.Partitions > dev.MaxPartitions:
		return exitError{exitUsage, fmt.Errorf("--partitions %d", o.Partitions), fmt.Sprintf("give a number of partitions up to %d, or leave it out", dev.MaxPartitions)}
	case !o.UntilIdle && (o.TableOut != "" || o.LettersOut != ""):
		return exitError{exitUsage, errors.New("--table-out and --letters-out are written at the end, which only --until-idle has"), "add --until-idle"}
	case o.TableOut != "" && o.TableOut == o.LettersOut:
		return exitError{exitUsage, fmt.Errorf("--table-out and --letters-out are both %s", o.TableOut), "give each a file of its own"}
	}
	return nil
}

// printReport writes the report, and says no where a check does.
func printReport(cmd *cobra.Command, report *dev.Report, format string) error {
	if report == nil {
		return nil // it was stopped; there is nothing to report
	}
	write := report.WriteText
	if format == "json" {
		write = report.WriteJSON
	}
	if err := write(cmd.OutOrStdout()); err != nil {
		return exitError{exitFailure, fmt.Errorf("writing the report: %w", err), "see that stdout can be written"}
	}
	if !report.OK() {
		return exitError{exitNo, nil, "the checks that say NO name what differs; the same --seed delivers the same again"}
	}
	return nil
}

// percent is a flag such as 10% or 0.5%.
type percent float64

// String implements pflag.Value.
func (p *percent) String() string { return strconv.FormatFloat(float64(*p), 'g', -1, 64) + "%" }

// Type implements pflag.Value.
func (p *percent) Type() string { return "percent" }

// Set implements pflag.Value.
func (p *percent) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return errors.New("give a share from 0% to 100%")
	}
	*p = percent(n)
	return nil
}
