//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka/storage"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
)

// A job is what one client process does.
type job struct {
	broker   string
	input    string // topic
	prefix   string // of all topics, groups and ids that the client makes
	workers  int    // of streamrun
	interval time.Duration
	settle   time.Duration // of an instance that is idle: before it is measured
	auto     bool          // commit as soon as the last transaction has ended, not by the interval
	fail     func(error)   // told of what sarama could not write
}

func (j *job) output() string { return j.prefix + "-output" }

// create creates topics.
func (j *job) create(topics ...string) (err error) {
	admin, err := sarama.NewClusterAdmin([]string{j.broker}, settings())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	for _, t := range topics {
		if err := createTopic(j.broker, admin, t, partitions, nil); err != nil {
			return err
		}
	}
	return nil
}

// A row is one way to do the job.
type row struct {
	name  string
	slow  int  // it is measured with so many times fewer records
	apart bool // not run where there are more keys than apartKeys
	other bool // its output has no totals: its latency is not measured
	quick bool // it is there for its latency: its cost is not measured
	run   func(ctx context.Context, j job, m *meter) error
}

// rows are the ways to do the job, in the order of the table.
func rows() []row {
	floor := func(w work) func(context.Context, job, *meter) error {
		return func(ctx context.Context, j job, m *meter) error {
			l, err := newLoop(j, m, w)
			if err != nil {
				return err
			}
			return l.run(ctx)
		}
	}
	return []row{
		{name: "floor", run: floor(work{state: true})},
		{name: "floor-auto", quick: true, run: auto(floor(work{state: true}))},
		{name: "floor-ours", run: floor(work{state: true, order: true})},
		{name: "streamrun", run: ours(totals, runner.ExactlyOnce)},
		{name: "streamrun-auto", quick: true, run: auto(ours(totals, runner.ExactlyOnce))},
		{name: "streamrun-least", run: ours(totals, runner.AtLeastOnce)},
		{name: "streamrun-badger", run: func(ctx context.Context, j job, m *meter) error {
			topo, err := totals(j, m)
			if err != nil {
				return err
			}
			return inDir(func(dir string) error { return runTopology(ctx, j, m, topo, runner.ExactlyOnce, dir) })
		}},
		{name: "sarama", slow: 4, run: func(ctx context.Context, j job, m *meter) error {
			return (&high{j, m}).run(ctx)
		}},
		{name: "goka-memory", slow: 4, apart: true, other: true, run: func(ctx context.Context, j job, m *meter) error {
			return gokaCount(ctx, j, m, storage.MemoryBuilder())
		}},
		{name: "goka-leveldb", slow: 8, other: true, run: func(ctx context.Context, j job, m *meter) error {
			return inDir(func(dir string) error { return gokaCount(ctx, j, m, storage.DefaultBuilder(dir)) })
		}},
		{name: "floor-copy", other: true, run: floor(work{})},
		{name: "streamrun-copy", other: true, run: ours(copied, runner.ExactlyOnce)},
	}
}

// auto runs a row that commits as soon as it may.
func auto(run func(context.Context, job, *meter) error) func(context.Context, job, *meter) error {
	return func(ctx context.Context, j job, m *meter) error {
		j.auto = true
		return run(ctx, j, m)
	}
}

// ours runs a topology with its state in memory.
func ours(build func(job, *meter) (*topology.Topology, error), g runner.Guarantee) func(context.Context, job, *meter) error {
	return func(ctx context.Context, j job, m *meter) error {
		topo, err := build(j, m)
		if err != nil {
			return err
		}
		return runTopology(ctx, j, m, topo, g, "")
	}
}

// inDir gives run a directory, and removes it.
func inDir(run func(dir string) error) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	return errors.Join(run(dir), os.RemoveAll(dir))
}

// apartKeys is how many keys goka's store in memory is filled with in less than minutes.
const apartKeys = 200_000
