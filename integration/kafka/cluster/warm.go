//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// coordinators is the number of partitions of the topics of offsets and transactions.
const coordinators = 8

// warm uses the coordinators of groups and of transactions once, so that their topics
// exist and are loaded when the first client needs them.
func (c *Cluster) warm(ctx context.Context) error {
	conf, err := ClientConfig(c.Admin())
	if err != nil {
		return err
	}
	conf.Version = sarama.V2_8_0_0
	tick := time.NewTicker(10 * poll)
	defer tick.Stop()
	for {
		err := c.use(conf)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster: using the coordinators: %w, last: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// use asks for everything once, and fails if something is not there yet.
func (c *Cluster) use(conf *sarama.Config) (err error) {
	client, err := sarama.NewClient(c.Brokers(), conf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if n := len(client.Brokers()); n != len(c.state.Nodes) {
		return fmt.Errorf("%d of %d nodes are known", n, len(c.state.Nodes))
	}
	const name = "streamrun-warm-up"
	group, err := client.Coordinator(name)
	if err != nil {
		return fmt.Errorf("coordinator of a group: %w", err)
	}
	offsets, err := group.FetchOffset(&sarama.OffsetFetchRequest{Version: 7, ConsumerGroup: name})
	if err != nil {
		return fmt.Errorf("offsets of a group: %w", err)
	}
	if offsets.Err != sarama.ErrNoError {
		return fmt.Errorf("offsets of a group: %w", offsets.Err)
	}
	txn, err := client.TransactionCoordinator(name)
	if err != nil {
		return fmt.Errorf("coordinator of a transaction: %w", err)
	}
	id := name
	producer, err := txn.InitProducerID(&sarama.InitProducerIDRequest{Version: 3, TransactionalID: &id, TransactionTimeout: time.Minute, ProducerID: -1, ProducerEpoch: -1})
	if err != nil {
		return fmt.Errorf("producer id: %w", err)
	}
	if producer.Err != sarama.ErrNoError {
		return fmt.Errorf("producer id: %w", producer.Err)
	}
	topics := []string{"__consumer_offsets", "__transaction_state"}
	if err := client.RefreshMetadata(topics...); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	for _, topic := range topics {
		for p := range int32(coordinators) {
			if _, err := client.Leader(topic, p); err != nil {
				return fmt.Errorf("leader of %s-%d: %w", topic, p, err)
			}
			isr, err := client.InSyncReplicas(topic, p)
			if err != nil || len(isr) != len(c.state.Nodes) {
				return fmt.Errorf("replicas of %s-%d in sync: %v, %w", topic, p, isr, err)
			}
		}
	}
	return nil
}
