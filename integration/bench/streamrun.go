//go:build linux

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
	"github.com/streamrun/streamrun/topology/serde"
)

// eventSerde and totalSerde are what a user writes for whom a record must be cheap.
type eventSerde struct{}

func (eventSerde) Append(dst []byte, e event) ([]byte, error) { return appendEvent(dst, e), nil }
func (eventSerde) Decode(b []byte) (event, error)             { return decodeEvent(b) }

type totalSerde struct{}

func (totalSerde) Append(dst []byte, t total) ([]byte, error) { return appendTotal(dst, t), nil }
func (totalSerde) Decode(b []byte) (total, error)             { return decodeTotal(b) }

// totals puts the events of each key in order and folds them.
func totals(j job, m *meter) (*topology.Topology, error) {
	contract := policies.Contract{EventsFor: "a key", Because: "a total is counted once and has no hole"}
	b := topology.New(j.prefix)
	events := topology.Source(b, "events", serde.Of(serde.String(), eventSerde{}), j.input)
	inOrder := reorder.BySequence(events, "in-order", contract, func(e event) int64 { return e.sequence })
	sd := serde.Of(serde.String(), totalSerde{})
	table := processors.Aggregate(inOrder, statestore.KeyValue("totals", sd), func(_ string, e event, t total) (total, error) {
		m.add(1)
		return t.add(e), nil
	})
	topology.Sink(table.ToStream(), j.output(), sd)
	return b.Build()
}

// copied copies records.
func copied(j job, m *meter) (*topology.Topology, error) {
	sd := serde.Of(serde.Bytes(), serde.Bytes())
	b := topology.New(j.prefix)
	records := processors.Filter(topology.Source(b, "events", sd, j.input), func(_, _ []byte) bool {
		m.add(1)
		return true
	})
	topology.Sink(records, j.output(), sd)
	return b.Build()
}

// runTopology runs an app until ctx ends. dir keeps its state in Badger; empty: it is in
// memory.
func runTopology(ctx context.Context, j job, m *meter, topo *topology.Topology, g runner.Guarantee, dir string) error {
	if err := j.create(j.output()); err != nil {
		return err
	}
	interval := j.interval
	if j.auto {
		interval = runner.AutoInterval
	}
	r, err := runner.New(topo, runner.Config{Brokers: []string{j.broker}, Workers: j.workers, CommitInterval: interval, Guarantee: g, DataDir: dir})
	if err != nil {
		return err
	}
	m.waits = func() time.Duration { return commitWaits(r.Handler()) }
	return r.Run(ctx)
}

// commitWaits reads from the metrics how long commits have kept workers waiting.
func commitWaits(metrics http.Handler) time.Duration {
	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "streamrun_commit_wait_seconds_total") {
			if seconds, err := strconv.ParseFloat(value, 64); err == nil {
				return time.Duration(seconds * float64(time.Second))
			}
		}
	}
	panic("bench: streamrun does not say how long commits have kept workers waiting")
}
