//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

const (
	idleMemory = "idle-memory"
	idleBadger = "idle-badger"

	idleEvents = 1000 // that an instance has taken before it is idle
	idleMost   = 0.01 // of a core
)

// idleRows are instances that nothing happens to.
func idleRows() []row {
	return []row{
		{name: idleMemory, run: func(ctx context.Context, j job, m *meter) error { return idleRun(ctx, j, m, "") }},
		{name: idleBadger, run: func(ctx context.Context, j job, m *meter) error {
			return inDir(func(dir string) error { return idleRun(ctx, j, m, dir) })
		}},
	}
}

// idleRun runs the app, and measures from when its time to settle is over to its end.
func idleRun(ctx context.Context, j job, m *meter, dir string) error {
	taken := newMeter(0, math.MaxInt32)
	topo, err := totals(j, taken)
	if err != nil {
		return err
	}
	settled := time.AfterFunc(j.settle, m.start)
	defer settled.Stop()
	if err := runTopology(ctx, j, taken, topo, runner.ExactlyOnce, dir); err != nil {
		return err
	}
	select {
	case <-m.began:
	default:
		return fmt.Errorf("bench: the app ended before it had settled for %v", j.settle)
	}
	m.finish(taken.seen.Load())
	return nil
}

// measureIdle has instances take a few events, waits until they have settled, and measures
// what they use while nothing comes.
func measureIdle(ctx context.Context, o *options, j job, kind string, keys int, t *table, stderr io.Writer) error {
	if err := fill(j.broker, j.input, newStream(keys, o.seed, o.zipf), idleEvents); err != nil {
		return err
	}
	j.settle = time.Duration(o.seconds) * time.Second
	var results []result
	for round := range o.rounds {
		for _, r := range idleRows() {
			j.prefix = fmt.Sprintf("%s-%d-%s", j.input, round, r.name)
			got := result{broker: kind, keys: keys, row: r.name}
			p, err := startClient(ctx, j, r)
			if err != nil {
				return err
			}
			select {
			case <-time.After(2 * j.settle):
			case <-ctx.Done():
			}
			_ = p.in.Close()
			got.measure, err = p.measured()
			if failed := p.end(); failed != nil {
				err = failed
			}
			if err == nil && got.measure.Records != idleEvents {
				err = fmt.Errorf("bench: %s took %d of %d events", r.name, got.measure.Records, idleEvents)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%s, round %d: %s %.3f of a core\n", kind, round+1, r.name, ofCore(got.measure))
			results = append(results, got)
		}
	}
	t.idles(results)
	return nil
}

// ofCore returns how much of a core was used.
func ofCore(m measure) float64 { return m.CPU * m.Rate / float64(time.Second) }

// idles prints what instances used.
func (t *table) idles(results []result) {
	fmt.Fprintf(t.out, "\nidle: %s broker, %d tasks, %d s behind %d s of settling, %d rounds\n", results[0].broker, partitions, t.o.seconds, t.o.seconds, t.o.rounds)
	for _, r := range idleRows() {
		values := each(of(results, r.name), ofCore)
		fmt.Fprintf(t.out, "%-7s CPU of %s: %s of a core, at most %.3f\n", t.verdict(median(values), idleMost), r.name, spread(values), idleMost)
	}
}
