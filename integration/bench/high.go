//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// high does with sarama's consumer group and producer what the floor does: each
// claimed partition has its state and its transactions.
type high struct {
	job
	meter *meter
}

func (h *high) run(ctx context.Context) error {
	if err := h.create(h.output(), h.prefix+"-changelog"); err != nil {
		return err
	}
	conf := settings()
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	conf.Consumer.Offsets.AutoCommit.Enable = false
	conf.Consumer.IsolationLevel = sarama.ReadCommitted
	group, err := sarama.NewConsumerGroup([]string{h.broker}, h.prefix, conf)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = group.Close() }() // nothing is left to be written
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{h.input}, h); err != nil {
			return fmt.Errorf("bench: consuming: %w", err)
		}
	}
	return nil
}

// Setup implements sarama.ConsumerGroupHandler.
func (h *high) Setup(sarama.ConsumerGroupSession) error { return nil }

// Cleanup implements sarama.ConsumerGroupHandler.
func (h *high) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim implements sarama.ConsumerGroupHandler.
func (h *high) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) (err error) {
	conf := settings()
	conf.Producer.Idempotent = true
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Transaction.ID = fmt.Sprintf("%s-%d", h.prefix, claim.Partition())
	conf.Net.MaxOpenRequests = 1 // sarama asks for it with idempotence
	producer, err := sarama.NewAsyncProducer([]string{h.broker}, conf)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	var failures sync.WaitGroup
	failures.Go(func() {
		for e := range producer.Errors() {
			h.fail(e)
		}
	})
	defer func() {
		producer.AsyncClose()
		failures.Wait()
	}()
	var (
		totals  = map[string]*total{}
		open    bool
		offset  = claim.InitialOffset()
		changes = h.prefix + "-changelog"
		due     = time.NewTicker(h.interval)
	)
	defer due.Stop()
	for {
		select {
		case <-due.C:
			if !open {
				continue
			}
			open = false
			position := &sarama.PartitionOffsetMetadata{Partition: claim.Partition(), Offset: offset, LeaderEpoch: -1}
			offsets := map[string][]*sarama.PartitionOffsetMetadata{h.input: {position}}
			if err := producer.AddOffsetsToTxnWithGroupMetadata(offsets, sarama.NewConsumerGroupMetadataFromSession(session, h.prefix, nil)); err != nil {
				return fmt.Errorf("bench: adding offsets: %w", err)
			}
			if err := producer.CommitTxn(); err != nil {
				return fmt.Errorf("bench: committing: %w", err)
			}
		case r, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			if !open {
				open = true
				if err := producer.BeginTxn(); err != nil {
					return fmt.Errorf("bench: beginning: %w", err)
				}
			}
			offset = r.Offset + 1
			t := totals[string(r.Key)]
			if t == nil {
				t = &total{}
				totals[string(r.Key)] = t
			}
			e, err := decodeEvent(r.Value)
			if err != nil {
				return err
			}
			if e.sequence == t.last+1 {
				*t = t.add(e)
				value := sarama.ByteEncoder(appendTotal(make([]byte, 0, valueBytes), *t))
				key := sarama.ByteEncoder(r.Key)
				producer.Input() <- &sarama.ProducerMessage{Topic: changes, Key: key, Value: value, Timestamp: r.Timestamp}
				producer.Input() <- &sarama.ProducerMessage{Topic: h.output(), Key: key, Value: value, Timestamp: r.Timestamp}
			}
			h.meter.add(1)
		}
	}
}
