package command

import (
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
		cfg       runner.Config
		plaintext bool
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
			if f != nil && !plaintext {
				if err := f.CheckSecrets(); err != nil {
					return exitError{exitMalformed, err, "set the variables, and put the files where the topology file says"}
				}
				cfg.Security = f.Kafka.Security
			}
			return classify(runApp(cmd.Context(), topo, f, cfg, newLogger(cmd)))
		},
	}
	src.flag(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&cfg.Brokers, "brokers", nil, "addresses of the cluster, host:port; default: what the topology file says, else localhost:9092")
	flags.BoolVar(&plaintext, "plaintext", false, "leave out tls and sasl of the topology file, as for a broker on this machine")
	flags.StringVar(&cfg.Instance, "instance", "", "name of this instance, for ever; default: one that the data directory keeps")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "directory for what outlives the process; default: nothing is kept")
	flags.BoolVar(&cfg.AcceptOffsets, "accept-offsets", false, "go on where committed offsets were moved from outside")
	return cmd
}

// runApp runs a topology until ctx ends.
func runApp(ctx context.Context, topo *topology.Topology, f *config.File, cfg runner.Config, logger *slog.Logger) error {
	if f != nil {
		cfg.CommitInterval, cfg.TransactionTimeout = f.Kafka.CommitInterval, f.Kafka.TransactionTimeout
		cfg.Guarantee, cfg.Compression = runner.Guarantee(f.Kafka.Guarantee), string(f.Kafka.Compression)
		if len(cfg.Brokers) == 0 {
			cfg.Brokers = f.Kafka.Brokers
		}
	}
	if len(cfg.Brokers) == 0 {
		cfg.Brokers = []string{"localhost:9092"}
	}
	cfg.Logger = logger
	cfg.Listener = func(s runner.State) {
		logger.Info("state", "phase", string(s.Phase), "tasks", s.Tasks, "restoring", s.Restoring, "records", s.Records)
	}
	if f != nil {
		if err := createTopics(ctx, f, &cfg); err != nil {
			return err
		}
	}
	r, err := runner.New(topo, cfg)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// createTopics creates the topics for which the file says how many partitions they
// are to have, where they do not exist. The runner creates the others.
func createTopics(ctx context.Context, f *config.File, cfg *runner.Config) (err error) {
	var wanted []kafka.Topic
	if n := f.Input.Partitions; n > 0 {
		wanted = append(wanted, kafka.Topic{Name: f.Input.Topic, Partitions: int32(n)})
	}
	if n := f.Output.Partitions; n > 0 {
		wanted = append(wanted, kafka.Topic{Name: f.Output.Topic, Partitions: int32(n), Configs: map[string]string{"cleanup.policy": "compact"}})
	}
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
