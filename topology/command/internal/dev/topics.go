package dev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// settleWait bounds how long the end of an open transaction is waited for; the
// broker ends one that was left open after its timeout.
const settleWait = 60 * time.Second

// topics reads whole topics, read_committed. It is used by one goroutine; the cluster
// closes its connections.
type topics struct {
	admin   kafka.Admin
	fetcher kafka.Fetcher
}

func openTopics(cluster kafka.Cluster) (*topics, error) {
	admin, err := cluster.Admin()
	if err != nil {
		return nil, err
	}
	fetcher, err := cluster.Fetcher(kafka.FetchOptions{MaxWait: 50 * time.Millisecond, PartitionMaxBytes: 4 << 20})
	if err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	return &topics{admin, fetcher}, nil
}

// partitions returns how many partitions a topic has; 0: it does not exist.
func (t *topics) partitions(ctx context.Context, topic string) (int32, error) {
	found, err := t.admin.Describe(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("dev: looking at topic %s: %w", topic, err)
	}
	return found[topic].Partitions, nil
}

// partitionsOf names the first n partitions of a topic.
func partitionsOf(topic string, n int32) []record.TopicPartition {
	all := make([]record.TopicPartition, n)
	for i := range all {
		all[i] = record.TopicPartition{Topic: topic, Partition: int32(i)}
	}
	return all
}

// read returns the committed records of every partition of a topic, none for a
// topic that does not exist, once no transaction is open on it.
func (t *topics) read(ctx context.Context, topic string) ([][]record.Record, error) {
	n, err := t.partitions(ctx, topic)
	if n == 0 || err != nil {
		return nil, err
	}
	partitions := partitionsOf(topic, n)
	marks, err := t.settled(ctx, partitions)
	if err != nil {
		return nil, err
	}
	all := make([][]record.Record, n)
	next := make([]int64, n)
	for i, tp := range partitions {
		next[i] = marks[tp].LogStart
	}
	for {
		var positions []kafka.Position
		for i, tp := range partitions {
			if next[i] < marks[tp].HighWater {
				positions = append(positions, kafka.Position{TopicPartition: tp, Offset: next[i]})
			}
		}
		if len(positions) == 0 {
			return all, nil
		}
		fetched, err := t.fetcher.Fetch(ctx, positions)
		if err != nil {
			return nil, fmt.Errorf("dev: reading topic %s: %w", topic, err)
		}
		for _, f := range fetched {
			if f.Err != nil {
				return nil, fmt.Errorf("dev: reading %s-%d: %w", topic, f.Partition, f.Err)
			}
			all[f.Partition] = append(all[f.Partition], f.Records...)
			next[f.Partition] = f.Next
		}
	}
}

// settled returns the marks of the partitions once no transaction is open on them.
func (t *topics) settled(ctx context.Context, partitions []record.TopicPartition) (map[record.TopicPartition]kafka.Marks, error) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for {
		marks, err := t.admin.EndOffsets(ctx, partitions)
		if err != nil {
			return nil, fmt.Errorf("dev: reading the ends of topic %s: %w", partitions[0].Topic, err)
		}
		open := false
		for _, m := range marks {
			open = open || m.LastStable < m.HighWater
		}
		if !open {
			return marks, nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("dev: a transaction stays open on topic %s: %w", partitions[0].Topic, err)
		}
	}
}

// sleep waits, or ends with the context.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
