package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Admin implements kafka.Cluster.
func (c *cluster) Admin() (kafka.Admin, error) {
	a := &admin{cluster: c, route: c.router(nil)}
	return a, c.keep(a)
}

// admin implements kafka.Admin. It holds nothing but its router, which is safe for
// concurrent use.
type admin struct {
	cluster *cluster
	route   *router
}

// Close implements kafka.Admin.
func (a *admin) Close() error {
	a.cluster.forget(a)
	return a.route.Close()
}

// Describe implements kafka.Admin.
func (a *admin) Describe(ctx context.Context, topics ...string) (map[string]kafka.Topic, error) {
	found := map[string]kafka.Topic{}
	if len(topics) == 0 {
		return found, nil
	}
	if err := a.route.refresh(ctx, topics); err != nil {
		return nil, fmt.Errorf("kafka/wire: describing topics: %w", err)
	}
	for _, t := range topics {
		if err := a.route.visible(t); err != nil {
			return nil, fmt.Errorf("kafka/wire: describing topics: %w", err)
		}
		if n := a.route.partitions(t); n > 0 {
			found[t] = kafka.Topic{Name: t, Partitions: n, ID: a.route.topicID(t)}
		}
	}
	return found, nil
}

// Create implements kafka.Admin. It returns when the brokers know the leaders of the
// topic.
func (a *admin) Create(ctx context.Context, topic kafka.Topic) error {
	doing := func(err error) error { return fmt.Errorf("kafka/wire: creating the topic %s: %w", topic.Name, err) }
	detail := &sarama.TopicDetail{NumPartitions: topic.Partitions, ReplicationFactor: -1}
	for name, value := range topic.Configs {
		if detail.ConfigEntries == nil {
			detail.ConfigEntries = map[string]*string{}
		}
		detail.ConfigEntries[name] = &value
	}
	var b backoff
	for {
		code, err := a.create(ctx, topic.Name, detail)
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, errClosed)):
			return doing(err)
		case err != nil && lost(err):
			return doing(indefinite(err))
		case err != nil:
			return doing(err)
		case code == sarama.ErrNoError:
			return a.led(ctx, topic, doing)
		case code != sarama.ErrNotController && code != sarama.ErrThrottlingQuotaExceeded:
			return doing(mapped(code))
		}
		if err := a.route.wait(ctx, &b); err != nil {
			return doing(err)
		}
	}
}

func (a *admin) create(ctx context.Context, name string, detail *sarama.TopicDetail) (sarama.KError, error) {
	c, err := a.route.controller(ctx)
	if err != nil {
		return 0, err
	}
	q := sarama.NewCreateTopicsRequest(a.route.conf.Version, map[string]*sarama.TopicDetail{name: detail}, 10*time.Second, false)
	response, err := ask(ctx, c, (*sarama.Broker).CreateTopics, q)
	if err != nil {
		a.route.drop(c)
		return 0, err
	}
	if e := response.TopicErrors[name]; e != nil {
		return e.Err, nil
	}
	return sarama.ErrNoError, nil
}

// led waits until every partition of a new topic has a leader.
func (a *admin) led(ctx context.Context, topic kafka.Topic, doing func(error) error) error {
	var b backoff
	for {
		if err := a.route.refresh(ctx, []string{topic.Name}); err != nil {
			return doing(err)
		}
		n := a.route.partitions(topic.Name)
		leaders := int32(0)
		for p := range n {
			if _, _, ok := a.route.leader(record.TopicPartition{Topic: topic.Name, Partition: p}); ok {
				leaders++
			}
		}
		if n > 0 && leaders == n {
			return nil
		}
		if err := a.route.wait(ctx, &b); err != nil {
			return doing(err)
		}
	}
}

// The times that ListOffsets takes for the ends of a partition.
const (
	logStart = int64(-2)
	logEnd   = int64(-1)
)

// EndOffsets implements kafka.Admin.
func (a *admin) EndOffsets(ctx context.Context, partitions []record.TopicPartition) (map[record.TopicPartition]kafka.Marks, error) {
	marks := make(map[record.TopicPartition]kafka.Marks, len(partitions))
	for _, end := range []struct {
		time      int64
		isolation sarama.IsolationLevel
		set       func(m *kafka.Marks, offset int64)
	}{
		{logStart, sarama.ReadUncommitted, func(m *kafka.Marks, o int64) { m.LogStart = o }},
		// The last stable offset first: it never passes the high-water mark read later.
		{logEnd, sarama.ReadCommitted, func(m *kafka.Marks, o int64) { m.LastStable = o }},
		{logEnd, sarama.ReadUncommitted, func(m *kafka.Marks, o int64) { m.HighWater = o }},
	} {
		offsets, err := a.offsets(ctx, partitions, end.time, end.isolation)
		if err != nil {
			return nil, fmt.Errorf("kafka/wire: asking for end offsets: %w", err)
		}
		for tp, o := range offsets {
			m := marks[tp]
			end.set(&m, o)
			marks[tp] = m
		}
	}
	return marks, nil
}

// offsets asks the leaders for one end of every partition.
func (a *admin) offsets(ctx context.Context, partitions []record.TopicPartition, at int64, isolation sarama.IsolationLevel) (map[record.TopicPartition]int64, error) {
	var (
		b       backoff
		found   = make(map[record.TopicPartition]int64, len(partitions))
		started = time.Now()
		stale   = false
	)
	for {
		requests := map[string]*sarama.OffsetRequest{}
		var missing []string
		for _, tp := range partitions {
			if _, have := found[tp]; have {
				continue
			}
			addr, _, ok := a.route.leader(tp)
			if !ok || stale {
				missing = append(missing, tp.Topic)
				continue
			}
			if requests[addr] == nil {
				requests[addr] = &sarama.OffsetRequest{Version: 2, IsolationLevel: isolation}
			}
			requests[addr].AddBlock(tp.Topic, tp.Partition, at, 1)
		}
		if len(missing) > 0 {
			if err := a.route.refresh(ctx, missing); err != nil {
				return nil, err
			}
		}
		retry := stale
		stale = false
		for addr, q := range requests {
			ok, err := a.list(ctx, addr, q, partitions, found)
			if err != nil {
				return nil, err
			}
			stale = stale || !ok
		}
		if len(found) == len(partitions) {
			return found, nil
		}
		for _, tp := range partitions {
			if !a.route.exists(tp) && time.Since(started) > unknownGrace {
				return nil, a.route.unknown(tp)
			}
		}
		if retry || stale || len(requests) == 0 {
			if err := a.route.wait(ctx, &b); err != nil {
				return nil, err
			}
		}
	}
}

// list asks one leader; ok is false when a partition has to be asked for again.
func (a *admin) list(ctx context.Context, addr string, q *sarama.OffsetRequest, partitions []record.TopicPartition, found map[record.TopicPartition]int64) (ok bool, err error) {
	c, err := a.route.connect(ctx, addr)
	if err == nil {
		var response *sarama.OffsetResponse
		if response, err = ask(ctx, c, (*sarama.Broker).GetAvailableOffsets, q); err == nil {
			ok = true
			for _, tp := range partitions {
				block := response.GetBlock(tp.Topic, tp.Partition)
				switch {
				case block == nil:
				case block.Err == sarama.ErrNoError:
					found[tp] = block.Offset
				case staleLeader(block.Err) || transient(block.Err):
					ok = false
				default:
					return false, fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, mapped(block.Err))
				}
			}
			return ok, nil
		}
		a.route.drop(c)
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if errors.Is(err, errClosed) {
		return false, err
	}
	return false, nil
}

// Committed implements kafka.Admin.
func (a *admin) Committed(ctx context.Context, group string, partitions []record.TopicPartition, stable bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	doing := func(err error) error { return fmt.Errorf("kafka/wire: reading the offsets of %s: %w", group, err) }
	out := make(map[record.TopicPartition]kafka.CommittedOffset, len(partitions))
	for _, tp := range partitions {
		out[tp] = kafka.CommittedOffset{TopicPartition: tp, Offset: -1}
	}
	k := &coordinator{route: a.route, kind: sarama.CoordinatorGroup, key: group}
	var b backoff
	for {
		c, err := k.find(ctx)
		if err != nil {
			return nil, doing(err)
		}
		q := &sarama.OffsetFetchRequest{Version: 7, ConsumerGroup: group, RequireStable: stable}
		for _, tp := range partitions {
			q.AddPartition(tp.Topic, tp.Partition)
		}
		response, err := ask(ctx, c, (*sarama.Broker).FetchOffset, q)
		if err != nil {
			a.route.drop(c)
			k.addr = ""
			if ctx.Err() != nil {
				return nil, doing(err)
			}
		} else {
			again, err := offsetsFrom(response, partitions, out)
			if err != nil {
				return nil, doing(err)
			}
			if again == sarama.ErrNoError {
				return out, nil
			}
			if staleCoordinator(again) {
				k.addr = ""
			}
		}
		if err := a.route.wait(ctx, &b); err != nil {
			return nil, doing(err)
		}
	}
}

// offsetsFrom takes the offsets from an answer; again is the code for which it has
// to be asked for once more.
func offsetsFrom(response *sarama.OffsetFetchResponse, partitions []record.TopicPartition, out map[record.TopicPartition]kafka.CommittedOffset) (again sarama.KError, err error) {
	passes := func(code sarama.KError) bool { return staleCoordinator(code) || code == sarama.ErrUnstableOffsetCommit }
	switch code := response.Err; {
	case code == sarama.ErrGroupIDNotFound: // nothing was ever committed
		return sarama.ErrNoError, nil
	case passes(code):
		return code, nil
	case code != sarama.ErrNoError:
		return 0, mapped(code)
	}
	for _, tp := range partitions {
		block := response.GetBlock(tp.Topic, tp.Partition)
		switch {
		case block == nil:
		case passes(block.Err):
			return block.Err, nil
		case block.Err == sarama.ErrUnknownTopicOrPartition: // nor for a topic that is not there
		case block.Err != sarama.ErrNoError:
			return 0, fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, mapped(block.Err))
		default:
			out[tp] = kafka.CommittedOffset{TopicPartition: tp, Offset: block.Offset, Metadata: block.Metadata}
		}
	}
	return sarama.ErrNoError, nil
}
