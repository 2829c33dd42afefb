//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamrun/streamrun/integration/kafka/cluster"
	"github.com/streamrun/streamrun/topology/embedded"
)

// kafka is the cluster of a run.
type kafka struct {
	what     string // for people
	brokers  []string
	embedded bool
	nodes    *cluster.Cluster // nil, or started for the run
	client   *kgo.Client
	close    func() error
}

// openKafka starts the cluster that the options ask for, or finds it.
func openKafka(ctx context.Context, o *options, dir string, tap embedded.Tap, log io.Writer) (*kafka, error) {
	k := &kafka{close: func() error { return nil }}
	switch {
	case len(o.brokers) > 0:
		k.what, k.brokers = "a cluster that was there", o.brokers
	case o.nodes > 0:
		c, err := cluster.Start(ctx, cluster.Options{Nodes: o.nodes, Dir: filepath.Join(dir, "cluster"), Cache: cluster.Cache(), Log: log})
		if err != nil {
			return nil, err
		}
		k.what, k.brokers, k.nodes, k.close = fmt.Sprintf("a real cluster of %d", o.nodes), c.Brokers(), c, c.Close
	default:
		b, err := embedded.Start(embedded.Options{Tap: tap, MinSessionTimeout: time.Second})
		if err != nil {
			return nil, err
		}
		k.what, k.brokers, k.embedded, k.close = "the embedded broker", b.Addrs(), true, func() error { b.Close(); return nil }
	}
	var err error
	if k.client, err = kgo.NewClient(kgo.SeedBrokers(k.brokers...), kgo.RequestRetries(20)); err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	end := k.close
	k.close = func() error { k.client.Close(); return end() }
	return k, nil
}

// createTopic creates the topic of the events.
func (k *kafka) createTopic(ctx context.Context, topic string, partitions int) error {
	q := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), -1
	q.Topics, q.TimeoutMillis = append(q.Topics, t), 30_000
	a, err := q.RequestWith(ctx, k.client)
	if err == nil {
		err = kerr.ErrorForCode(a.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("torture: creating topic %s (a seed that was used on this cluster before cannot be used again): %w", topic, err)
	}
	return nil
}

// A transaction is what the broker says of a transactional id.
type transaction struct {
	producer int64
	ongoing  bool
}

// transactions asks the broker about transactional ids; one that it does not know is
// left out.
func (k *kafka) transactions(ctx context.Context, ids []string) (map[string]transaction, error) {
	q := kmsg.NewPtrDescribeTransactionsRequest()
	q.TransactionalIDs = ids
	all := map[string]transaction{}
	for _, shard := range k.client.RequestSharded(ctx, q) {
		if shard.Err != nil {
			return nil, fmt.Errorf("torture: asking for transactions: %w", shard.Err)
		}
		for _, s := range shard.Resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
			if s.ErrorCode == 0 {
				all[s.TransactionalID] = transaction{s.ProducerID, s.State == "Ongoing"}
			}
		}
	}
	return all, nil
}

// coordinator returns the node that coordinates the group.
func (k *kafka) coordinator(ctx context.Context, group string) (int, error) {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKey, q.CoordinatorKeys = group, []string{group}
	a, err := q.RequestWith(ctx, k.client)
	if err != nil {
		return 0, fmt.Errorf("torture: finding the coordinator of %s: %w", group, err)
	}
	node, code := a.NodeID, a.ErrorCode
	if len(a.Coordinators) > 0 {
		node, code = a.Coordinators[0].NodeID, a.Coordinators[0].ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return 0, fmt.Errorf("torture: finding the coordinator of %s: %w", group, err)
	}
	return int(node), nil
}

// leader returns the node that leads a partition.
func (k *kafka) leader(ctx context.Context, topic string, partition int32) (int, error) {
	q := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	q.Topics = append(q.Topics, t)
	a, err := q.RequestWith(ctx, k.client)
	if err != nil {
		return 0, fmt.Errorf("torture: finding the leader of %s-%d: %w", topic, partition, err)
	}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.Leader >= 0 {
				return int(p.Leader), nil
			}
		}
	}
	return 0, fmt.Errorf("torture: %s-%d has no leader", topic, partition)
}
