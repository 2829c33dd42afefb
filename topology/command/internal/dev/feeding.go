package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/command/internal/feed"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

const (
	pollEvery = 20 * time.Millisecond
	// feedBatch bounds the records of one transaction of the feed.
	feedBatch = 5000
	// stuckAfter is how long, besides what a contract may wait, an app may stand still.
	stuckAfter = time.Minute
)

// feedAll sends the segments, and kills the app once in each but the last.
func (r *run) feedAll(ctx context.Context) error {
	producer, err := r.cluster.Producer(kafka.ProducerOptions{TransactionalID: feedID, TransactionTimeout: time.Minute})
	if err != nil {
		return fmt.Errorf("dev: opening the feed: %w", err)
	}
	r.producer = producer
	if _, err := producer.Init(ctx); err != nil {
		return fmt.Errorf("dev: opening the feed: %w", err)
	}
	for i, p := range r.planned {
		if err := r.killWithin(ctx, i, p); err != nil {
			return err
		}
	}
	for _, chunk := range r.segments[len(r.segments)-1] {
		if err := r.send(ctx, chunk); err != nil {
			return err
		}
	}
	return producer.Close()
}

// killWithin sends the segment of a kill, each chunk when the app is through with
// the one before, so that the point is passed as often as the kill asks for.
func (r *run) killWithin(ctx context.Context, i int, p planned) error {
	happened := r.killer.arm(p)
	for j, chunk := range r.segments[i] {
		if err := r.send(ctx, chunk); err != nil {
			return err
		}
		if happened == nil {
			continue // it was killed, and comes back while the rest is sent
		}
		kill, ok, err := r.consumed(ctx, happened)
		switch {
		case err != nil:
			return err
		case ok:
			r.kills = append(r.kills, kill)
			r.Logger.Info("killed", "at", kill.At.String(), "transactional_id", kill.TransactionalID, "open", kill.Open)
			if err := r.app.start(); err != nil {
				return err
			}
			happened = nil
		case j == len(r.segments[i])-1:
			return fmt.Errorf("dev: kill %d (%s) did not happen: the app was through before", i+1, p.at)
		}
	}
	return nil
}

// consumed waits until the app was killed, or has consumed all that was sent.
func (r *run) consumed(ctx context.Context, happened <-chan Kill) (Kill, bool, error) {
	quiet, _ := patience(r.File.Contract)
	last, since := progress{}, time.Now()
	teller := teller{r.Logger, since}
	for {
		select {
		case k := <-happened:
			return k, true, nil
		default:
		}
		now, err := r.progress(ctx, false)
		switch {
		case err != nil:
			return Kill{}, false, err
		case now.consumed():
			// A kill that began before that commit ended comes before its answer does.
			select {
			case k := <-happened:
				return k, true, nil
			case <-time.After(pollEvery):
				return Kill{}, false, nil
			}
		case now != last:
			last, since = now, time.Now()
		case time.Since(since) > quiet+stuckAfter:
			return Kill{}, false, fmt.Errorf("dev: the app does not get on: %d of %d records are consumed; it said last: %s", now.seen(), now.records, r.app.lastLine())
		}
		teller.tell(time.Now(), now, time.Since(since), r.File.Contract)
		if err := sleep(ctx, pollEvery); err != nil {
			return Kill{}, false, err
		}
	}
}

// send produces a chunk, every record to the partition of its key.
func (r *run) send(ctx context.Context, chunk []feed.Delivery) error {
	for len(chunk) > 0 {
		n := min(len(chunk), feedBatch)
		outputs := make([]record.Output, n)
		now := time.Now().UnixMilli()
		for i, d := range chunk[:n] {
			// A line without a key has the next partition, as if producers took turns.
			var key []byte
			partition := int32(d.Event) % r.partitions
			if e := &r.in.events[d.Event]; e.key != "" {
				key = []byte(e.key)
				partition = topology.Partition(key, r.partitions, 0)
			}
			outputs[i] = record.Output{
				TopicPartition: record.TopicPartition{Topic: r.File.Input.Topic, Partition: partition},
				Timestamp:      now, Key: key, Value: r.in.lines[d.Event].Value,
			}
		}
		if err := r.transact(ctx, outputs); err != nil {
			return fmt.Errorf("dev: feeding topic %s: %w", r.File.Input.Topic, err)
		}
		r.readable[now] = time.Now().UnixMilli()
		r.sent += int64(n)
		chunk = chunk[n:]
	}
	return nil
}

func (r *run) transact(ctx context.Context, outputs []record.Output) error {
	if err := r.producer.Begin(); err != nil {
		return err
	}
	if err := r.producer.Produce(ctx, r.producer.Encode(outputs)); err != nil {
		return err
	}
	if _, err := r.producer.Flush(ctx); err != nil {
		return err
	}
	return r.producer.End(ctx, true)
}

// progress reads how far the app is.
func (r *run) progress(ctx context.Context, stable bool) (progress, error) {
	p := progress{records: r.sent}
	committed, err := r.committed(ctx, stable)
	if err != nil {
		return p, err
	}
	for _, c := range committed {
		if c.Offset < 0 {
			continue
		}
		m, err := task.ParseMetadata(c.Metadata)
		if err != nil {
			return p, fmt.Errorf("dev: %s-%d: %w", c.Topic, c.Partition, err)
		}
		p.counts = p.counts.Add(m.Counts)
	}
	return p, nil
}

func (r *run) committed(ctx context.Context, stable bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	group := topology.Names{App: r.File.Name}.Group()
	committed, err := r.topics.admin.Committed(ctx, group, partitionsOf(r.File.Input.Topic, r.partitions), stable)
	if err != nil {
		return nil, fmt.Errorf("dev: reading the committed offsets of group %s: %w", group, err)
	}
	return committed, nil
}
