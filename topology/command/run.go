package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/runner"
)

func newRun(topo *topology.Topology) *cobra.Command {
	src := &source{topo: topo}
	var (
		cfg runner.Config
		at  place
		web endpoint
		mib int
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the app on a Kafka cluster until it is stopped",
		Long: "Run reads the input, keeps its order, and commits state, output, dead letters and offsets together.\n" +
			"SIGTERM or SIGINT commits what is done and leaves; a second one ends the process at once, which loses\n" +
			"nothing either. Under --instance a restarted process takes its place at once.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topo, f, err := src.load()
			if err != nil {
				return err
			}
			if cfg.Brokers, cfg.Security, err = at.find(f); err != nil {
				return err
			}
			if f != nil && cfg.Store == "" {
				cfg.Store = runner.Store(f.StoreKind)
			}
			if cfg.Store == runner.Badger && cfg.DataDir == "" {
				return exitError{exitUsage, errors.New("store badger needs a directory"), "add --data-dir DIR; or --store memory"}
			}
			if mib != 0 && (mib < minMiB || mib > maxMiB) {
				return exitError{exitUsage, fmt.Errorf("--store-memory is %d MiB", mib), fmt.Sprintf("say %d to %d, or 0 for the default", minMiB, maxMiB)}
			}
			cfg.StoreMemory = mib << 20
			web.chosen = cmd.Flags().Changed("http")
			return classify(runApp(cmd.Context(), topo, f, cfg, web, newLogger(cmd)))
		},
	}
	src.flag(cmd)
	flags := cmd.Flags()
	at.flags(cmd, src)
	flags.StringVar(&web.addr, "http", defaultHTTP, "address of /metrics, /livez, /readyz and /startupz; empty: none")
	flags.StringVar(&cfg.Instance, "instance", "", "name of this instance, for ever; default: one that the data directory keeps")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "directory for what outlives the process: the instance's name, and the state under badger; default: nothing is kept")
	flags.StringVar((*string)(&cfg.Store), "store", "", "where the state is while the app runs, memory or badger; default: "+src.said("badger with --data-dir, memory without"))
	flags.IntVar(&mib, "store-memory", 64, "MiB of state that each task has in memory under badger")
	flags.Int64Var(&cfg.MaxLag, "ready-lag", 0, "offsets that a source partition may be behind while /readyz says yes; 0: any number")
	flags.BoolVar(&cfg.AcceptOffsets, "accept-offsets", false, "go on where committed offsets were moved from outside")
	return cmd
}

// minMiB and maxMiB are what --store-memory can say: what the runner needs, and what no
// machine has.
const (
	minMiB = 4
	maxMiB = 1 << 24
)

// runApp runs a topology until ctx ends.
func runApp(ctx context.Context, topo *topology.Topology, f *config.File, cfg runner.Config, web endpoint, logger *slog.Logger) (err error) {
	if f != nil {
		cfg.CommitInterval, cfg.TransactionTimeout = f.Kafka.CommitInterval, f.Kafka.TransactionTimeout
		if cfg.CommitInterval == config.AutoInterval {
			cfg.CommitInterval = runner.AutoInterval
		}
		cfg.Standbys = f.Standbys
		cfg.Guarantee, cfg.Compression = runner.Guarantee(f.Kafka.Guarantee), string(f.Kafka.Compression)
	}
	cfg.Logger = logger
	var said runner.State
	cfg.Listener = func(s runner.State) {
		s = runner.State{Phase: s.Phase, Tasks: s.Tasks, Restoring: s.Restoring, Records: s.Records}
		if s == said {
			return // what changed is logged by the runner
		}
		said = s
		logger.Info("state", "phase", string(s.Phase), "tasks", s.Tasks, "restoring", s.Restoring, "records", s.Records)
	}
	r, err := runner.New(topo, cfg)
	if err != nil { // what a file says was checked
		return exitError{exitUsage, err, "correct the flag that sets what the message names; run --help lists them"}
	}
	closeWeb, err := web.serve(ctx, r.Handler(), logger)
	if err != nil {
		return err
	}
	// It answers until the app has stopped, so that whoever sends work sees it leave.
	defer func() { err = errors.Join(err, closeWeb()) }()
	if f != nil {
		if err := createTopics(ctx, f, &cfg); err != nil {
			return err
		}
	}
	err = r.Run(ctx)
	if f != nil && errors.Is(err, kafka.ErrTxnTimeout) {
		err = fmt.Errorf("%s: kafka.transaction_timeout: %w", cmp.Or(f.Kafka.TimeoutAt, f.Path), err)
	}
	if f != nil && errors.Is(err, runner.ErrUnknownWas) {
		err = fmt.Errorf("%s: %w", f.InOrder.WasAt, err)
	}
	return err
}

// declared returns the topics for which the file says how many partitions they are
// to have.
func declared(f *config.File) (all []kafka.Topic) {
	if n := f.Input.Partitions; n > 0 {
		all = append(all, kafka.Topic{Name: f.Input.Topic, Partitions: int32(n)})
	}
	if n := f.Output.Partitions; n > 0 {
		all = append(all, kafka.Topic{Name: f.Output.Topic, Partitions: int32(n), Configs: map[string]string{"cleanup.policy": "compact"}})
	}
	return all
}

// createTopics creates the topics for which the file says how many partitions they
// are to have, where they do not exist. The runner creates the others.
func createTopics(ctx context.Context, f *config.File, cfg *runner.Config) (err error) {
	wanted := declared(f)
	if len(wanted) == 0 {
		return nil
	}
	cluster, err := wire.New(wire.Options{Brokers: cfg.Brokers, Security: cfg.Security})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	admin, err := cluster.Admin()
	if err != nil {
		return err
	}
	for _, t := range wanted {
		found, err := admin.Describe(ctx, t.Name)
		if err != nil {
			return fmt.Errorf("looking at topic %s: %w", t.Name, err)
		}
		if _, ok := found[t.Name]; ok {
			continue
		}
		if err := admin.Create(ctx, t); err != nil && !errors.Is(err, kafka.ErrTopicExists) {
			return fmt.Errorf("creating topic %s with %d partitions: %w", t.Name, t.Partitions, err)
		}
	}
	return nil
}
