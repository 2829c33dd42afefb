//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology"
)

// A latency is the time from an event to its committed output.
type latency struct {
	events        int
	p50, p99, max time.Duration
	idle          float64 // share of the machine that nobody used
}

const latencyWarm = 3 * time.Second

// measureLatency runs a client on events that come at a rate, whatever becomes of
// those before, and reads what it commits. What a record costs at that rate is told too.
func measureLatency(ctx context.Context, o *options, j job, r row, keys int, admin sarama.ClusterAdmin) (got latency, cost measure, err error) {
	if err := createTopic(j.broker, admin, j.input, partitions, nil); err != nil {
		return got, cost, err
	}
	p, err := startClient(ctx, j, r)
	if err != nil {
		return got, cost, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	total := latencyWarm + time.Duration(o.seconds)*time.Second
	begin := time.Now().Add(2 * time.Second) // by then it has joined
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, j, partitions, newStream(keys, o.seed, o.zipf), o.rate, begin, total) }()
	used := usedByAll()
	got, err = watchOutput(ctx, j, begin.Add(latencyWarm), begin.Add(total), o.seconds*o.rate)
	got.idle = used.idleSince()
	cancel()
	_ = p.in.Close()
	cost, failed := p.measured()
	return got, cost, errors.Join(err, <-fed, failed, p.end())
}

// feed writes events at a rate: an event is created when its time has come, whether
// or not those before are written.
func feed(ctx context.Context, j job, partitions int32, s *stream, rate int, begin time.Time, total time.Duration) error {
	b, err := connect(j.broker)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // what it has not answered it may never take
	const step = 2 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	var failed atomic.Pointer[error]
	var flying sync.WaitGroup
	for n, last := 0, int(total.Seconds()*float64(rate)); n < last; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		due := min(int(time.Since(begin).Seconds()*float64(rate)), last)
		batches := map[int32]*sarama.RecordBatch{}
		for ; n < due; n++ {
			at := begin.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
			key, e := s.next()
			e.created = at.UnixNano()
			k := appendKey(nil, key)
			p := topology.Partition(k, partitions, 0)
			rb := batches[p]
			if rb == nil {
				rb = &sarama.RecordBatch{Version: 2, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, FirstTimestamp: at, MaxTimestamp: at}
				batches[p] = rb
			}
			rb.LastOffsetDelta = int32(len(rb.Records))
			rb.Records = append(rb.Records, &sarama.Record{OffsetDelta: int64(len(rb.Records)), Key: k, Value: appendEvent(nil, e)})
		}
		if len(batches) == 0 {
			continue
		}
		q := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: 30_000, Version: 8}
		for p, rb := range batches {
			q.AddBatch(j.input, p, rb)
		}
		flying.Add(1)
		if err := b.AsyncProduce(q, func(a *sarama.ProduceResponse, err error) {
			defer flying.Done()
			if err = refusal(a, err); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}); err != nil {
			return fmt.Errorf("bench: feeding: %w", err)
		}
	}
	flying.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// watchOutput reads what is committed of the output, and when; events that were created
// between two times count, so many of them.
func watchOutput(ctx context.Context, j job, from, to time.Time, want int) (latency, error) {
	ctx, cancel := context.WithDeadline(ctx, to.Add(5*time.Second))
	defer cancel()
	all := make([]time.Duration, 0, want)
	var wrong error
	err := readCommitted(ctx, j.broker, j.output(), func(_, value []byte, seen time.Time) bool {
		t, err := decodeTotal(value)
		if err != nil {
			wrong = err
			return false
		}
		if at := time.Unix(0, t.created); !at.Before(from) && at.Before(to) {
			all = append(all, seen.Sub(at))
		}
		return len(all) < want
	})
	if err = errors.Join(err, wrong); err != nil {
		return latency{}, err
	}
	if len(all) < want {
		return latency{}, fmt.Errorf("bench: %d events were committed, %d were created", len(all), want)
	}
	slices.Sort(all)
	at := func(share float64) time.Duration {
		return all[int(share*float64(len(all)-1))].Round(100 * time.Microsecond)
	}
	return latency{events: len(all), p50: at(0.5), p99: at(0.99), max: at(1)}, nil
}

// readCommitted calls f for every committed record of a topic, which need not be there
// yet, until f answers false or ctx ends.
func readCommitted(ctx context.Context, addr, topic string, f func(key, value []byte, seen time.Time) bool) error {
	return readBatches(ctx, addr, topic, partitions, sarama.ReadCommitted, func(_ int32, from int64, rb *sarama.RecordBatch, seen time.Time) bool {
		for _, r := range rb.Records {
			if rb.Control || rb.FirstOffset+r.OffsetDelta < from {
				continue
			}
			if !f(r.Key, r.Value, seen) {
				return false
			}
		}
		return true
	})
}

// readBatches calls f for every batch of a topic, which need not be there yet, with the
// first offset that is new in it and when it was seen, until f answers false or ctx ends.
func readBatches(ctx context.Context, addr, topic string, partitions int32, level sarama.IsolationLevel, f func(p int32, from int64, rb *sarama.RecordBatch, seen time.Time) bool) error {
	b, err := connect(addr)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // it has read what there is
	next := make([]int64, partitions)
	for ctx.Err() == nil {
		q := &sarama.FetchRequest{Version: 11, MaxWaitTime: 50, MinBytes: 1, MaxBytes: 16 << 20, Isolation: level, SessionEpoch: -1}
		for p, offset := range next {
			q.AddBlock(topic, int32(p), offset, 1<<20, -1)
		}
		a, err := b.Fetch(q)
		if err != nil {
			return fmt.Errorf("bench: reading %s: %w", topic, err)
		}
		seen := time.Now()
		for p := range next {
			block := a.GetBlock(topic, int32(p))
			if block == nil || block.Err != sarama.ErrNoError {
				continue
			}
			for _, set := range block.RecordsSet {
				rb := set.RecordBatch
				if rb == nil || len(rb.Records) == 0 {
					continue
				}
				if !f(int32(p), next[p], rb, seen) {
					return nil
				}
				next[p] = rb.LastOffset() + 1
			}
		}
	}
	return nil
}
