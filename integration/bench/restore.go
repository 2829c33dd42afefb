//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
	"github.com/streamrun/streamrun/topology/serde"
)

const (
	restoreFloor  = "restore-floor"
	restoreMemory = "restore-memory"
	restoreBadger = "restore-badger"

	fillTransaction = 20_000 // records of a transaction of a changelog that is filled

	beginMost = 1.0 // seconds from an instance's start to its restore
)

// restoreRows are the ways to read a changelog back.
func restoreRows() []row {
	return []row{
		{name: restoreFloor, run: restoreInMap},
		{name: restoreMemory, run: func(ctx context.Context, j job, m *meter) error { return restoreRun(ctx, j, m, "") }},
		{name: restoreBadger, run: func(ctx context.Context, j job, m *meter) error {
			return inDir(func(dir string) error { return restoreRun(ctx, j, m, dir) })
		}},
	}
}

// kept builds the app whose state is restored.
func kept(j job) (*topology.Topology, error) {
	b := topology.New(j.app())
	events := topology.Source(b, "events", serde.Of(serde.String(), eventSerde{}), j.input)
	processors.Aggregate(events, statestore.KeyValue("totals", serde.Of(serde.String(), totalSerde{})), func(_ string, e event, t total) (total, error) {
		return t.add(e), nil
	})
	return b.Build()
}

func (j *job) app() string       { return j.input + "-app" }
func (j *job) changelog() string { return topology.Names{App: j.app()}.Changelog("totals") }

// restoreRun runs the app, whose state has to be restored, and measures from the first
// task that is to be restored to the last that is. All runs are one instance, which keeps
// its place: another would wait for the session of the one before.
func restoreRun(ctx context.Context, j job, m *meter, dir string) error {
	topo, err := kept(j)
	if err != nil {
		return err
	}
	before := 0 // tasks that were being restored
	r, err := runner.New(topo, runner.Config{Brokers: []string{j.broker}, Instance: "bench", Workers: j.workers, DataDir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Listener: func(s runner.State) {
		if s.Restoring == before {
			return
		}
		if before == 0 {
			m.start()
		}
		if before = s.Restoring; before == 0 {
			m.finish(s.Records)
		}
	}})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// restoreInMap is the floor: it reads what is committed in the changelog, one answer
// ahead, and puts it into a map.
func restoreInMap(ctx context.Context, j job, m *meter) error {
	b, err := connect(j.broker)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // every answer is read
	ends, err := endsOf(b, j.changelog())
	if err != nil {
		return err
	}
	m.start()
	answers := make(chan *sarama.FetchResponse)
	failed := make(chan error, 1)
	go func() {
		defer close(answers)
		failed <- fetchUpTo(ctx, b, j.changelog(), ends, answers)
	}()
	var n int64
	index := map[string]int32{}
	var state [][]byte
	for a := range answers {
		for p := range int32(partitions) {
			block := a.GetBlock(j.changelog(), p)
			if block == nil {
				continue
			}
			for _, set := range block.RecordsSet {
				if set.RecordBatch == nil || set.RecordBatch.Control {
					continue
				}
				for _, r := range set.RecordBatch.Records {
					i, ok := index[string(r.Key)]
					if !ok {
						i = int32(len(state))
						index[string(r.Key)] = i
						state = append(state, nil)
					}
					state[i] = append(state[i][:0], r.Value...)
					n++
				}
			}
		}
	}
	if err := <-failed; err != nil {
		return err
	}
	m.finish(n)
	<-ctx.Done()
	return nil
}

// endsOf returns the high-water marks of a topic.
func endsOf(b *sarama.Broker, topic string) (ends [partitions]int64, err error) {
	q := &sarama.OffsetRequest{Version: 2, IsolationLevel: sarama.ReadUncommitted}
	for p := range ends {
		q.AddBlock(topic, int32(p), sarama.OffsetNewest, 1)
	}
	a, err := b.GetAvailableOffsets(q)
	if err != nil {
		return ends, fmt.Errorf("bench: asking for the ends of %s: %w", topic, err)
	}
	for p := range ends {
		block := a.GetBlock(topic, int32(p))
		if block == nil {
			return ends, fmt.Errorf("bench: no answer about the end of %s-%d", topic, p)
		}
		if block.Err != sarama.ErrNoError {
			return ends, fmt.Errorf("bench: asking for the end of %s-%d: %w", topic, p, block.Err)
		}
		ends[p] = block.Offset
	}
	return ends, nil
}

// fetchUpTo reads a topic from its beginning to the ends.
func fetchUpTo(ctx context.Context, b *sarama.Broker, topic string, ends [partitions]int64, answers chan<- *sarama.FetchResponse) error {
	var next [partitions]int64
	for ctx.Err() == nil {
		q := &sarama.FetchRequest{Version: 11, MaxWaitTime: 50, MinBytes: 1, MaxBytes: 16 << 20, Isolation: sarama.ReadCommitted, SessionEpoch: -1}
		rest := false
		for p, end := range ends {
			if next[p] < end {
				q.AddBlock(topic, int32(p), next[p], floorFetch, -1)
				rest = true
			}
		}
		if !rest {
			return nil
		}
		a, err := b.Fetch(q)
		if err != nil {
			return fmt.Errorf("bench: fetching: %w", err)
		}
		for p := range next {
			block := a.GetBlock(topic, int32(p))
			if block == nil {
				continue
			}
			if block.Err != sarama.ErrNoError {
				return fmt.Errorf("bench: fetching %s-%d: %w", topic, p, block.Err)
			}
			for _, set := range block.RecordsSet {
				if rb := set.RecordBatch; rb != nil {
					next[p] = max(next[p], rb.LastOffset()+1)
				}
			}
		}
		select {
		case answers <- a:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// fillChangelog writes states of keys in committed transactions: each key once, then at
// random.
func fillChangelog(j job, s *stream, records int) error {
	t, err := newTxn(j.broker, j.prefix, j.prefix, []string{j.changelog()})
	if err != nil {
		return err
	}
	defer func() { _, _ = t.writer.Close(), t.coordinator.Close() }() // every answer is read
	outlets := make([]outlet, partitions)
	for p := range outlets {
		outlets[p] = outlet{topic: j.changelog(), partition: int32(p)}
	}
	totals := make([]total, len(s.seen))
	now := time.Now().UnixMilli()
	for records > 0 {
		if err := t.begin(); err != nil {
			return err
		}
		n := min(records, fillTransaction)
		records -= n
		for range n {
			key, e := s.next()
			totals[key] = totals[key].add(e)
			k := appendKey(nil, key)
			o := &outlets[topology.Partition(k, partitions, 0)]
			o.add(k, appendTotal(nil, totals[key]), now)
		}
		for p := range outlets {
			o := &outlets[p]
			for rb := o.next(t); rb != nil; rb = o.next(t) {
				q := &sarama.ProduceRequest{TransactionalID: &t.id, RequiredAcks: sarama.WaitForAll, Timeout: 30_000, Version: 8}
				q.AddBatch(o.topic, o.partition, rb)
				if err := refusal(t.writer.Produce(q)); err != nil {
					return err
				}
			}
			o.reset()
		}
		if err := t.commit(j.input, make([]int64, partitions)); err != nil {
			return err
		}
	}
	return nil
}

// seedApp runs the app on a few events, so that it has its topics and has committed.
func seedApp(ctx context.Context, j job, keys int, seed uint64) (records int64, err error) {
	if err := fill(j.broker, j.input, newStream(keys, seed, false), min(keys, 1000)); err != nil {
		return 0, err
	}
	p, err := startClient(ctx, j, restoreRows()[1])
	if err != nil {
		return 0, err
	}
	err = untilCommitted(ctx, j)
	if err = errors.Join(err, p.end()); err != nil {
		return 0, fmt.Errorf("bench: running the app before its state is measured: %w", err)
	}
	return int64(min(keys, 1000)), nil
}

// untilCommitted waits until the app has taken all of its input.
func untilCommitted(ctx context.Context, j job) error {
	admin, err := sarama.NewClusterAdmin([]string{j.broker}, settings())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = admin.Close() }() // it has answered
	b, err := connect(j.broker)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	ends, err := endsOf(b, j.input)
	if err != nil {
		return err
	}
	parts := map[string][]int32{j.input: {0, 1, 2, 3}}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		a, err := admin.ListConsumerGroupOffsets(topology.Names{App: j.app()}.Group(), parts)
		if errors.Is(err, sarama.ErrGroupIDNotFound) { // it has not joined yet
			a, err = &sarama.OffsetFetchResponse{}, nil
		}
		if err != nil {
			return fmt.Errorf("bench: asking what the app has committed: %w", err)
		}
		done := 0
		for p, end := range ends {
			if block := a.GetBlock(j.input, int32(p)); block != nil && block.Offset == end {
				done++
			}
		}
		if done == partitions {
			return nil
		}
		if ctx.Err() != nil || time.Since(begin) > time.Minute {
			return errors.Join(fmt.Errorf("bench: the app has taken %d of %d partitions of its input", done, partitions), ctx.Err())
		}
	}
}

// measureRestore fills a changelog and reads it back, again and again.
func measureRestore(ctx context.Context, o *options, j job, kind string, keys int, t *table, stderr io.Writer) error {
	filled := int64(o.records)
	fmt.Fprintf(stderr, "%s, %d keys: filling a changelog with %d records\n", kind, keys, o.records)
	first, err := seedApp(ctx, j, keys, o.seed)
	if err != nil {
		return err
	}
	filler := j
	filler.prefix = j.input + "-fill"
	begin := time.Now()
	if err := fillChangelog(filler, newStream(keys, o.seed, o.zipf), o.records); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "filled in %v\n", time.Since(begin).Round(time.Second))
	var results []result
	for round := range o.rounds {
		for _, r := range restoreRows() {
			j.prefix = fmt.Sprintf("%s-%d-%s", j.input, round, r.name)
			got := result{broker: kind, keys: keys, row: r.name}
			if got.measure, err = measureCost(ctx, o, j, r, 0); err != nil {
				return err
			}
			if n := got.measure.Records; n < filled || n > filled+first {
				return fmt.Errorf("bench: %s read %d records, and %d to %d were written", r.name, n, filled, filled+first)
			}
			fmt.Fprintf(stderr, "%s, %d keys, round %d: %s\n", kind, keys, round+1, got)
			results = append(results, got)
		}
	}
	t.restores(results)
	return nil
}

// restores prints how fast a changelog was read back.
func (t *table) restores(results []result) {
	fmt.Fprintf(t.out, "\nrestore: %s broker, %d keys, %d records of %d bytes, %d partitions, %d rounds\n",
		results[0].broker, results[0].keys, t.o.records, valueBytes, partitions, t.o.rounds)
	fmt.Fprintf(t.out, "%-16s %9s %9s %8s %8s  %s\n", "row", "records/s", "CPU ns", "allocs", "B alloc", "rate / floor (spread), CPU / floor (spread)")
	floor := of(results, restoreFloor)
	rates := func(some []result) (values []float64) {
		for i := range some {
			values = append(values, some[i].measure.Rate/floor[i].measure.Rate)
		}
		return values
	}
	for _, r := range restoreRows() {
		some := of(results, r.name)
		fmt.Fprintf(t.out, "%-16s %9.0f %9.0f %8.3f %8.0f  %s, %s\n", r.name,
			middle(some, func(m measure) float64 { return m.Rate }), middle(some, func(m measure) float64 { return m.CPU }),
			middle(some, func(m measure) float64 { return m.Mallocs }), middle(some, func(m measure) float64 { return m.Alloc }),
			spread(rates(some)), spread(ratios(some, floor)))
	}
	for _, b := range []struct {
		row   string
		least float64
	}{{restoreMemory, 0.6}, {restoreBadger, 0.3}} {
		values := rates(of(results, b.row))
		verdict := "kept"
		if median(values) < b.least {
			verdict = "MISSED"
			t.missed = true
		}
		fmt.Fprintf(t.out, "%-7s rate of %s / floor: %s, at least %.3f\n", verdict, b.row, spread(values), b.least)
	}
	for _, row := range []string{restoreMemory, restoreBadger} {
		values := each(of(results, row), func(m measure) float64 { return m.Before })
		fmt.Fprintf(t.out, "%-7s %s began %s s after its start, at most %.3f\n", t.verdict(median(values), beginMost), row, spread(values), beginMost)
	}
}
