//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// A txn is the floor's transactional producer.
type txn struct {
	id, group   string
	topics      []string
	writer      *sarama.Broker
	coordinator *sarama.Broker
	producer    int64
	epoch       int16
}

func newTxn(addr, id, group string, topics []string) (*txn, error) {
	t := &txn{id: id, group: group, topics: topics}
	var err error
	if t.writer, err = connect(addr); err != nil {
		return nil, err
	}
	if t.coordinator, err = connect(addr); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		kind sarama.CoordinatorType
		key  string
	}{{sarama.CoordinatorTransaction, id}, {sarama.CoordinatorGroup, group}} {
		if err := again(func() (sarama.KError, error) {
			a, err := t.coordinator.FindCoordinator(&sarama.FindCoordinatorRequest{Version: 1, CoordinatorKey: c.key, CoordinatorType: c.kind})
			if err != nil {
				return 0, err
			}
			return a.Err, nil
		}); err != nil {
			return nil, fmt.Errorf("bench: finding a coordinator: %w", err)
		}
	}
	return t, again(func() (sarama.KError, error) {
		a, err := t.coordinator.InitProducerID(&sarama.InitProducerIDRequest{
			Version: 4, TransactionalID: &t.id, TransactionTimeout: time.Minute, ProducerID: -1, ProducerEpoch: -1,
		})
		if err != nil {
			return 0, err
		}
		t.producer, t.epoch = a.ProducerID, a.ProducerEpoch
		return a.Err, nil
	})
}

// again asks until the answer is no longer that something else has to end first.
func again(ask func() (sarama.KError, error)) error {
	for {
		code, err := ask()
		switch {
		case err != nil:
			return err
		case code == sarama.ErrNoError:
			return nil
		case !errors.Is(code, sarama.ErrConcurrentTransactions) && !errors.Is(code, sarama.ErrOffsetsLoadInProgress) &&
			!errors.Is(code, sarama.ErrConsumerCoordinatorNotAvailable) && !errors.Is(code, sarama.ErrNotCoordinatorForConsumer):
			return code
		}
		time.Sleep(time.Millisecond)
	}
}

// begin adds all partitions to the next transaction.
func (t *txn) begin() error {
	q := &sarama.AddPartitionsToTxnRequest{
		Version: 2, TransactionalID: t.id, ProducerID: t.producer, ProducerEpoch: t.epoch, TopicPartitions: map[string][]int32{},
	}
	for _, topic := range t.topics {
		for p := range int32(partitions) {
			q.TopicPartitions[topic] = append(q.TopicPartitions[topic], p)
		}
	}
	if err := again(func() (sarama.KError, error) {
		a, err := t.coordinator.AddPartitionsToTxn(q)
		if err != nil {
			return 0, err
		}
		for _, parts := range a.Errors {
			for _, e := range parts {
				if e.Err != sarama.ErrNoError {
					return e.Err, nil
				}
			}
		}
		return sarama.ErrNoError, nil
	}); err != nil {
		return fmt.Errorf("bench: adding partitions: %w", err)
	}
	return nil
}

// commit sends the offsets and ends the transaction; everything is acknowledged.
func (t *txn) commit(topic string, offsets []int64) error {
	if err := again(func() (sarama.KError, error) {
		a, err := t.coordinator.AddOffsetsToTxn(&sarama.AddOffsetsToTxnRequest{
			Version: 2, TransactionalID: t.id, ProducerID: t.producer, ProducerEpoch: t.epoch, GroupID: t.group,
		})
		if err != nil {
			return 0, err
		}
		return a.Err, nil
	}); err != nil {
		return fmt.Errorf("bench: adding offsets: %w", err)
	}
	q := &sarama.TxnOffsetCommitRequest{
		Version: 3, TransactionalID: t.id, GroupID: t.group, ProducerID: t.producer, ProducerEpoch: t.epoch, GenerationID: -1,
		Topics: map[string][]*sarama.PartitionOffsetMetadata{},
	}
	for p, offset := range offsets {
		q.Topics[topic] = append(q.Topics[topic], &sarama.PartitionOffsetMetadata{Partition: int32(p), Offset: offset, LeaderEpoch: -1})
	}
	if err := again(func() (sarama.KError, error) {
		a, err := t.coordinator.TxnOffsetCommit(q)
		if err != nil {
			return 0, err
		}
		for _, parts := range a.Topics {
			for _, e := range parts {
				if e.Err != sarama.ErrNoError {
					return e.Err, nil
				}
			}
		}
		return sarama.ErrNoError, nil
	}); err != nil {
		return fmt.Errorf("bench: committing offsets: %w", err)
	}
	if err := again(func() (sarama.KError, error) {
		a, err := t.coordinator.EndTxn(&sarama.EndTxnRequest{
			Version: 2, TransactionalID: t.id, ProducerID: t.producer, ProducerEpoch: t.epoch, TransactionResult: true,
		})
		if err != nil {
			return 0, err
		}
		return a.Err, nil
	}); err != nil {
		return fmt.Errorf("bench: ending a transaction: %w", err)
	}
	return nil
}
