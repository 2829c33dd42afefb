//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/runner"
)

const (
	sharedPartitions = 12
	residents        = 2 // instances that are there all the time

	shareWait  = 60 * time.Second // until everything is shared
	settleWait = time.Second      // behind that moment
)

// rebalanceRow is an instance of the app whose tasks are shared. Its topics are there.
func rebalanceRow() row {
	return row{name: "rebalance", run: func(ctx context.Context, j job, m *meter) error {
		topo, err := totals(j, m)
		if err != nil {
			return err
		}
		r, err := runner.New(topo, runner.Config{Brokers: []string{j.broker}, Workers: j.workers, CommitInterval: j.interval, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			return err
		}
		return r.Run(ctx)
	}}
}

// A pair is a run without and one with an instance that joins and leaves.
type pair struct {
	still, moved gap // of the partitions that stay
	stayed       int // how many they are
	idle         [2]float64
}

// measureRebalances measures pairs, one behind the other.
func measureRebalances(ctx context.Context, o *options, j job, kind string, keys int, admin sarama.ClusterAdmin, t *table, stderr io.Writer) error {
	var pairs []pair
	for round := range o.rounds {
		var runs [2]*sharing
		for i, name := range []string{"still", "moved"} {
			x := j
			x.prefix = fmt.Sprintf("%s-%d-%s", j.input, round, name)
			x.input = x.prefix + "-input"
			var err error
			if runs[i], err = share(ctx, o, x, keys, admin, i == 1); err != nil {
				return fmt.Errorf("bench: rebalance, round %d, %s: %w", round+1, name, err)
			}
			if err := deleteTopics(admin, x.prefix); err != nil {
				return err
			}
		}
		still, moved := runs[0], runs[1]
		stayed := moved.stayed(moved.from, moved.to)
		if len(stayed) == 0 || len(stayed) == sharedPartitions || len(still.stayed(still.from, still.to)) != sharedPartitions {
			return fmt.Errorf("bench: rebalance, round %d: with an instance that joins and leaves %d partitions of %d stayed, without %d",
				round+1, len(stayed), sharedPartitions, len(still.stayed(still.from, still.to)))
		}
		p := pair{still.longest(stayed, still.from, still.to), moved.longest(stayed, moved.from, moved.to), len(stayed), [2]float64{still.idle, moved.idle}}
		fmt.Fprintf(stderr, "%s, round %d: longest gap without %s; with an instance that joins at %.1f s and leaves at %.1f s %s; %d of %d partitions stay\n",
			kind, round+1, p.still.since(still.from), moved.joined.Sub(moved.from).Seconds(), moved.left.Sub(moved.from).Seconds(), p.moved.since(moved.from), p.stayed, sharedPartitions)
		pairs = append(pairs, p)
	}
	t.rebalances(kind, keys, pairs)
	return nil
}

// A sharing is a run of some instances: what they committed, and when.
type sharing struct {
	mu sync.Mutex // guards appends while the run lasts
	*appends
	from, to     time.Time // what is measured
	joined, left time.Time // when the third instance was started, and told to end
	idle         float64   // share of the machine that nobody used
}

// share runs two instances, and with moving a third one that comes and goes.
func share(ctx context.Context, o *options, j job, keys int, admin sarama.ClusterAdmin, moving bool) (_ *sharing, err error) {
	stamped := "LogAppendTime"
	for topic, settings := range map[string]map[string]*string{j.input: nil, j.output(): {"message.timestamp.type": &stamped}} {
		if err := createTopic(j.broker, admin, topic, sharedPartitions, settings); err != nil {
			return nil, err
		}
	}
	s := &sharing{appends: newAppends(sharedPartitions)}
	var running []*process
	defer func() {
		for _, p := range running {
			err = errors.Join(err, p.end())
		}
	}()
	start := func() error {
		p, err := startClient(ctx, j, rebalanceRow())
		if err == nil {
			running = append(running, p)
		}
		return err
	}
	for range residents {
		if err := start(); err != nil {
			return nil, err
		}
	}
	working, cancel := context.WithCancelCause(ctx)
	var others sync.WaitGroup
	defer func() {
		cancel(nil)
		others.Wait()
	}()
	span := time.Duration(o.seconds) * time.Second
	others.Go(func() {
		if err := feed(working, j, sharedPartitions, newStream(keys, o.seed, o.zipf), o.rate, time.Now(), time.Hour); err != nil {
			cancel(err)
		}
	})
	others.Go(func() {
		if err := readBatches(working, j.broker, j.output(), sharedPartitions, sarama.ReadUncommitted, func(p int32, _ int64, rb *sarama.RecordBatch, seen time.Time) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.take(p, rb, seen)
			return true
		}); err != nil {
			cancel(err)
		}
	})
	if err := s.until(working, residents); err != nil {
		return nil, err
	}
	// A node that was just started is slow at first.
	if err := wait(working, latencyWarm); err != nil {
		return nil, err
	}
	used := usedByAll()
	s.from = time.Now()
	if err := wait(working, span); err != nil {
		return nil, err
	}
	if moving {
		s.joined = time.Now()
		if err := start(); err != nil {
			return nil, err
		}
		if err := errors.Join(wait(working, span), s.until(working, residents+1)); err != nil {
			return nil, err
		}
		s.left = time.Now()
		third := running[residents]
		running = running[:residents]
		if err := third.end(); err != nil {
			return nil, err
		}
	} else if err := wait(working, span); err != nil {
		return nil, err
	}
	if err := errors.Join(wait(working, span), s.until(working, residents)); err != nil {
		return nil, err
	}
	s.to = time.Now()
	s.idle = used.idleSince()
	// What comes next ends the last gaps.
	return s, wait(working, settleWait)
}

// until waits until so many instances have written the partitions last, each as many,
// and a little longer.
func (s *sharing) until(ctx context.Context, instances int) error {
	limit := time.Now().Add(shareWait)
	for {
		s.mu.Lock()
		shares, none := s.shares()
		s.mu.Unlock()
		even := none == 0 && len(shares) == instances
		for _, n := range shares {
			even = even && n == sharedPartitions/instances
		}
		if even {
			return wait(ctx, settleWait)
		}
		if time.Now().After(limit) {
			return fmt.Errorf("bench: after %v %d partitions are written by nobody, and the others, by producer, so many: %v; there are %d instances", shareWait, none, shares, instances)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// wait waits, or returns why ctx has ended.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A usage is how much of the machine's time was used, and how much there was.
type usage struct{ idle, all float64 }

// usedByAll returns what everybody has used since the machine was started.
func usedByAll() (u usage) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}
	}
	var of [8]float64 // user, nice, system, idle, iowait, irq, softirq, steal
	if _, err := fmt.Sscanf(string(b), "cpu %g %g %g %g %g %g %g %g", &of[0], &of[1], &of[2], &of[3], &of[4], &of[5], &of[6], &of[7]); err != nil {
		return usage{}
	}
	for _, v := range of {
		u.all += v
	}
	u.idle = of[3] + of[4]
	return u
}

// idleSince returns the share of the time since then that nobody used.
func (u usage) idleSince() float64 {
	now := usedByAll()
	return (now.idle - u.idle) / max(1, now.all-u.all)
}

const (
	gapMore = 100 // milliseconds that a gap may be longer because others move
	gapMost = 200 // that one may be on a real node
)

// rebalances prints for how long partitions stood still that do not move.
func (t *table) rebalances(kind string, keys int, pairs []pair) {
	each := func(f func(pair) float64) (values []float64) {
		for _, p := range pairs {
			values = append(values, f(p))
		}
		return values
	}
	milliseconds := func(f func(pair) time.Duration) []float64 {
		return each(func(p pair) float64 { return float64(f(p).Microseconds()) / 1000 })
	}
	still := milliseconds(func(p pair) time.Duration { return p.still.took })
	moved := milliseconds(func(p pair) time.Duration { return p.moved.took })
	more := milliseconds(func(p pair) time.Duration { return p.moved.took - p.still.took })
	fmt.Fprintf(t.out, "\nrebalance: %s broker, %d keys, %s, %d events/s, %d partitions, %d instances of %d workers and one that joins and leaves, commits each %v, %d pairs of 3 times %d s\n",
		kind, keys, drawn(t.o.zipf), t.o.rate, sharedPartitions, residents, t.o.workers, t.o.interval, len(pairs), t.o.seconds)
	fmt.Fprintf(t.out, "%-24s %s\n", "", "longest gap ms (spread)")
	fmt.Fprintf(t.out, "%-24s %s\n", "nobody moves", spread(still))
	fmt.Fprintf(t.out, "%-24s %s\n", "one joins and leaves", spread(moved))
	fmt.Fprintf(t.out, "%-24s %s\n", "difference, pair by pair", spread(more))
	fmt.Fprintf(t.out, "partitions that stay: %.0f; share of the machine that is idle: %s, %s\n", median(each(func(p pair) float64 { return float64(p.stayed) })),
		spread(each(func(p pair) float64 { return p.idle[0] })), spread(each(func(p pair) float64 { return p.idle[1] })))
	value, limit := median(moved), median(still)+gapMore
	fmt.Fprintf(t.out, "%-7s longest gap: %.1f ms, at most %.1f, %d more than where nobody moves\n", t.verdict(value, limit), value, limit, gapMore)
	if kind == "real" {
		fmt.Fprintf(t.out, "%-7s longest gap on one node: %.1f ms, at most %d\n", t.verdict(value, gapMost), value, gapMost)
	}
}
