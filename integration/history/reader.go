package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Record is a committed record.
type Record struct {
	Offset     int64
	Key, Value []byte
	Order      []byte // value of the header streamrun.order
	ProducerID int64
	Epoch      int16
}

// A Log is the committed records of one partition, in the order of their offsets.
type Log struct {
	Topic     string
	Partition int32
	Start     int64
	End       int64 // the next offset to be written
	Records   []Record
}

// at names the place of a record for people.
func (l *Log) at(offset int64) string { return fmt.Sprintf("%s-%d@%d", l.Topic, l.Partition, offset) }

// A Committed is a committed offset, as text where it is metadata. Offset is -1
// where there is none.
type Committed struct {
	Offset   int64
	Metadata string
}

// A Reader reads topics of a cluster. It is safe for concurrent use.
type Reader struct {
	brokers []string
	client  *kgo.Client
}

// Open returns a reader; nothing is connected yet.
func Open(brokers []string) (*Reader, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RequestRetries(20))
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return &Reader{brokers, client}, nil
}

// Close closes its connections.
func (r *Reader) Close() { r.client.Close() }

// Offsets of a list that are not offsets.
const (
	latest   = -1
	earliest = -2
)

func (r *Reader) listed(ctx context.Context, topic string, partitions int32, at int64, isolation int8) ([]int64, error) {
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID, q.IsolationLevel = -1, isolation
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, at
		t.Partitions = append(t.Partitions, rp)
	}
	q.Topics = append(q.Topics, t)
	offsets := make([]int64, partitions)
	answered := 0
	for _, shard := range r.client.RequestSharded(ctx, q) {
		if shard.Err != nil {
			return nil, fmt.Errorf("history: listing offsets of %s: %w", topic, shard.Err)
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("history: listing offsets of %s-%d: %w", topic, p.Partition, err)
				}
				offsets[p.Partition] = p.Offset
				answered++
			}
		}
	}
	if answered != int(partitions) {
		return nil, fmt.Errorf("history: listing offsets of %s: %d of %d partitions answered", topic, answered, partitions)
	}
	return offsets, nil
}

// Ends returns the offset behind the last record of every partition, whatever became
// of its transaction.
func (r *Reader) Ends(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	return r.listed(ctx, topic, partitions, latest, 0)
}

// Stable returns the offset of every partition before which every transaction is
// decided.
func (r *Reader) Stable(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	return r.listed(ctx, topic, partitions, latest, 1)
}

// Settled waits until no transaction is open on the topic, and returns its ends.
func (r *Reader) Settled(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	for {
		ends, err := r.Ends(ctx, topic, partitions)
		if err != nil {
			return nil, err
		}
		stable, err := r.Stable(ctx, topic, partitions)
		if err != nil {
			return nil, err
		}
		open := -1
		for p := range ends {
			if stable[p] < ends[p] {
				open = p
			}
		}
		if open < 0 {
			return ends, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("history: a transaction stays open on %s-%d, stable to %d of %d: %w", topic, open, stable[open], ends[open], ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Committed returns the committed offsets of a group, once none is pending.
func (r *Reader) Committed(ctx context.Context, group, topic string, partitions int32) ([]Committed, error) {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group, q.RequireStable = group, true
	qg := kmsg.NewOffsetFetchRequestGroup()
	qg.Group = group
	qt := kmsg.NewOffsetFetchRequestTopic()
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	qt.Topic, gt.Topic = topic, topic
	for p := range partitions {
		qt.Partitions, gt.Partitions = append(qt.Partitions, p), append(gt.Partitions, p)
	}
	q.Topics, qg.Topics = append(q.Topics, qt), append(qg.Topics, gt)
	q.Groups = append(q.Groups, qg)
	for {
		a, err := q.RequestWith(ctx, r.client)
		if err != nil {
			return nil, fmt.Errorf("history: committed offsets of %s: %w", group, err)
		}
		all, err := committedOf(a, topic, partitions)
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			if err != nil {
				return nil, fmt.Errorf("history: committed offsets of %s: %w", group, err)
			}
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("history: committed offsets of %s: %w", group, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func committedOf(a *kmsg.OffsetFetchResponse, topic string, partitions int32) ([]Committed, error) {
	all := make([]Committed, partitions)
	for p := range all {
		all[p].Offset = -1
	}
	take := func(name string, partition int32, offset int64, metadata *string, code int16) error {
		if err := kerr.ErrorForCode(code); err != nil {
			return err
		}
		if name == topic && offset >= 0 {
			all[partition].Offset = offset
			if metadata != nil {
				all[partition].Metadata = *metadata
			}
		}
		return nil
	}
	errs := []error{kerr.ErrorForCode(a.ErrorCode)}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			errs = append(errs, take(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode))
		}
	}
	for _, g := range a.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			errs = append(errs, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				errs = append(errs, take(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode))
			}
		}
	}
	return all, errors.Join(errs...)
}

// Log reads a partition up to end, read_committed.
func (r *Reader) Log(ctx context.Context, topic string, partition int32, end int64) (Log, error) {
	return r.read(ctx, topic, partition, end, kgo.ReadCommitted())
}

// Uncommitted reads a partition up to end with what aborted transactions wrote.
func (r *Reader) Uncommitted(ctx context.Context, topic string, partition int32, end int64) (Log, error) {
	return r.read(ctx, topic, partition, end, kgo.ReadUncommitted())
}

func (r *Reader) read(ctx context.Context, topic string, partition int32, end int64, isolation kgo.IsolationLevel) (Log, error) {
	l := Log{Topic: topic, Partition: partition, End: end}
	starts, err := r.listed(ctx, topic, partition+1, earliest, 0)
	if err != nil {
		return l, err
	}
	l.Start = starts[partition]
	if l.Start >= end {
		return l, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.FetchIsolationLevel(isolation),
		kgo.KeepControlRecords(), // the last offset is a marker, which must be seen
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(l.Start)}}))
	if err != nil {
		return l, fmt.Errorf("history: %w", err)
	}
	defer client.Close()
	for next := l.Start; next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return l, fmt.Errorf("history: reading %s-%d@%d: %w", topic, partition, next, err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			next = k.Offset + 1
			if k.Attrs.IsControl() || k.Offset >= end {
				return
			}
			rec := Record{Offset: k.Offset, Key: k.Key, Value: k.Value, ProducerID: k.ProducerID, Epoch: k.ProducerEpoch}
			for _, h := range k.Headers {
				if h.Key == orderHeader {
					rec.Order = h.Value
				}
			}
			l.Records = append(l.Records, rec)
		})
	}
	return l, nil
}
