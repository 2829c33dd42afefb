//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/integration/history"
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
	"github.com/streamrun/streamrun/topology/serde"
)

const (
	storeName = "digests"
	orderName = "in-order"
	maxHeld   = 1000
)

func inputOf(app string) string   { return app + "-events" }
func appliedOf(app string) string { return app + "-applied" }
func tableOf(app string) string   { return app + "-table" }

// build declares the app under torture.
func build(app string) (*topology.Topology, error) {
	sd := serde.Of(serde.String(), serde.Bytes())
	b := topology.New(app)
	events := topology.Source(b, inputOf(app), sd)
	inOrder := reorder.InOrder(events, orderName, policies.Contract{
		EventsFor: "an entity", Because: "its digest depends on their order",
		// No event is lost, so whatever is missing comes: an entity that is given up
		// has letters, which are as many differences.
		MaxWait: time.Hour, MaxHeld: maxHeld,
	}, reorder.Options[string, []byte]{
		Metadata: func(r topology.Record[string, []byte], m *policies.Metadata) error {
			n, err := sequenceOf(r.Value)
			m.HasSequence, m.Sequence = true, n
			return err
		},
	})
	topology.Sink(inOrder, appliedOf(app), sd)
	table := processors.Aggregate(inOrder, statestore.KeyValue(storeName, sd), func(_ string, value, state []byte) ([]byte, error) {
		return next(state, value), nil
	})
	topology.SinkTable(table, tableOf(app))
	return b.Build()
}

// judged describes the app to the judge.
func judged(app string, partitions int32) history.App {
	names := topology.Names{App: app}
	return history.App{
		Group: names.Group(), Input: inputOf(app), Applied: appliedOf(app), Table: tableOf(app),
		Changelog: names.Changelog(storeName), Order: names.Order(orderName), Journal: names.Journal(storeName), Letters: names.DeadLetters(orderName),
		Partitions: partitions, MaxHeld: maxHeld, Sequence: sequenceOf, Next: next,
	}
}

// A said is what a process of the app tells its torturer, a line of JSON each.
type said struct {
	Phase runner.Phase `json:"phase"`
	Tasks int          `json:"tasks"`
	Last  restored     `json:"last"`
	Drain drainSaid    `json:"drain"` // of the app of drain
}

// restored is how a task was restored.
type restored struct {
	Task       string `json:"task"`
	Records    int64  `json:"records"`
	Checkpoint string `json:"checkpoint"` // in its directory; empty: none
	Refused    string `json:"refused"`    // why its directory was not used
}

// runApp is the process under torture. It ends with SIGTERM, or when stdin closes.
func runApp(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := flags.String("app", "", "")
	brokers := flags.String("brokers", "", "")
	var cfg runner.Config
	flags.StringVar(&cfg.Instance, "instance", "", "")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "")
	flags.IntVar(&cfg.Workers, "workers", 1, "")
	flags.StringVar((*string)(&cfg.Store), "store", "", "")
	flags.DurationVar(&cfg.SessionTimeout, "session", 10*time.Second, "")
	flags.DurationVar(&cfg.TransactionTimeout, "transaction", 10*time.Second, "")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	cfg.Brokers = strings.Split(*brokers, ",")
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	out := json.NewEncoder(stdout)
	cfg.Listener = func(s runner.State) {
		// A torturer that does not listen any more is gone; then stdin closes too.
		last := restored{s.Restored.Task, s.Restored.Records, s.Restored.Checkpoint, ""}
		if s.Restored.Refused != nil {
			last.Refused = s.Restored.Refused.Error()
		}
		_ = out.Encode(said{Phase: s.Phase, Tasks: s.Tasks, Last: last})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		os.Exit(exitFailed)
	}()
	topo, err := build(*app)
	if err == nil {
		var r *runner.Runner
		if r, err = runner.New(topo, cfg); err == nil {
			err = r.Run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	return 0
}
