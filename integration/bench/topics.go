//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology"
)

// settings returns how all but streamrun and goka talk to the broker.
func settings() *sarama.Config {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.ClientID = "bench"
	return conf
}

// connect opens a connection of its own.
func connect(addr string) (*sarama.Broker, error) {
	b := sarama.NewBroker(addr)
	if err := b.Open(settings()); err != nil {
		return nil, fmt.Errorf("bench: connecting to %s: %w", addr, err)
	}
	if _, err := b.Connected(); err != nil {
		return nil, fmt.Errorf("bench: connecting to %s: %w", addr, err)
	}
	return b, nil
}

// createTopic creates a topic of so many partitions with settings, nil for none, and
// waits until the broker leads them.
func createTopic(addr string, admin sarama.ClusterAdmin, name string, partitions int32, settings map[string]*string) error {
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: settings}
	if err := admin.CreateTopic(name, detail, false); err != nil {
		return fmt.Errorf("bench: creating %s: %w", name, err)
	}
	b, err := connect(addr)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // it has answered
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		q := &sarama.OffsetRequest{Version: 2, IsolationLevel: sarama.ReadUncommitted}
		for p := range partitions {
			q.AddBlock(name, p, sarama.OffsetOldest, 1)
		}
		a, err := b.GetAvailableOffsets(q)
		if err != nil {
			return fmt.Errorf("bench: waiting for %s: %w", name, err)
		}
		var led int32
		for p := range partitions {
			if block := a.GetBlock(name, p); block != nil && block.Err == sarama.ErrNoError {
				led++
			}
		}
		if led == partitions {
			return nil
		}
		if time.Since(begin) > 30*time.Second {
			return fmt.Errorf("bench: %s has %d of %d leaders after 30 s", name, led, partitions)
		}
	}
}

// deleteTopics deletes every topic whose name has the prefix.
func deleteTopics(admin sarama.ClusterAdmin, prefix string) error {
	topics, err := admin.ListTopics()
	if err != nil {
		return fmt.Errorf("bench: listing topics: %w", err)
	}
	var errs []error
	for name := range topics {
		if strings.HasPrefix(name, prefix) {
			// The list may still have one that was deleted.
			if err := admin.DeleteTopic(name); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// fill writes so many events of a stream to a topic, each in the partition of its key.
func fill(addr, topic string, s *stream, records int) error {
	b, err := connect(addr)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // every answer is read
	const size = 500
	batches := make([]*sarama.RecordBatch, partitions)
	send := func(p int32) error {
		rb := batches[p]
		batches[p] = nil
		rb.LastOffsetDelta = int32(len(rb.Records) - 1)
		q := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: 30_000, Version: 8}
		q.AddBatch(topic, p, rb)
		return refusal(b.Produce(q))
	}
	now := time.Now().Truncate(time.Millisecond)
	for range records {
		key, e := s.next()
		e.created = now.UnixNano()
		k := appendKey(nil, key)
		p := topology.Partition(k, partitions, 0)
		rb := batches[p]
		if rb == nil {
			rb = &sarama.RecordBatch{Version: 2, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, FirstTimestamp: now, MaxTimestamp: now}
			batches[p] = rb
		}
		rb.Records = append(rb.Records, &sarama.Record{OffsetDelta: int64(len(rb.Records)), Key: k, Value: appendEvent(nil, e)})
		if len(rb.Records) == size {
			if err := send(p); err != nil {
				return err
			}
		}
	}
	for p, rb := range batches {
		if rb != nil {
			if err := send(int32(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal returns why a produce was not taken whole.
func refusal(a *sarama.ProduceResponse, err error) error {
	if err != nil {
		return fmt.Errorf("bench: producing: %w", err)
	}
	for topic, blocks := range a.Blocks {
		for p, block := range blocks {
			if block.Err != sarama.ErrNoError {
				return fmt.Errorf("bench: producing to %s-%d: %w", topic, p, block.Err)
			}
		}
	}
	return nil
}
