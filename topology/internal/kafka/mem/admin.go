package mem

import (
	"context"
	"maps"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// admin implements kafka.Admin. It has no state, so it is safe for concurrent use.
type admin struct{ *handle }

// Describe implements kafka.Admin.
func (a *admin) Describe(ctx context.Context, topics ...string) (map[string]kafka.Topic, error) {
	found := map[string]kafka.Topic{}
	err := a.broker.ask(ctx, a.handle, Metadata, func(time.Time) code {
		for _, name := range topics {
			if t := a.broker.topics[name]; t != nil {
				found[name] = kafka.Topic{Name: name, Partitions: int32(len(t)), ID: a.broker.ids[name]}
			}
		}
		return 0
	})
	return found, err
}

// Configs implements kafka.Admin: what Create was told, over a broker's defaults.
func (a *admin) Configs(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	found := map[string]map[string]string{}
	err := a.broker.ask(ctx, a.handle, DescribeConfigs, func(time.Time) code {
		for _, name := range topics {
			if a.broker.topics[name] == nil {
				continue
			}
			found[name] = map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}
			maps.Copy(found[name], a.broker.configs[name])
		}
		return 0
	})
	return found, err
}

// Create implements kafka.Admin. The topic's configs are kept and change nothing:
// nothing is compacted, and records are deleted by Broker.Truncate only.
func (a *admin) Create(ctx context.Context, topic kafka.Topic) error {
	return a.broker.write(ctx, a.handle, CreateTopics, readTimeout, func(time.Time) code {
		switch {
		case topic.Partitions <= 0:
			return invalidPartitions
		case a.broker.topics[topic.Name] != nil:
			return topicAlreadyExists
		}
		for range topic.Partitions {
			a.broker.topics[topic.Name] = append(a.broker.topics[topic.Name], newPartition())
		}
		a.broker.configs[topic.Name] = maps.Clone(topic.Configs)
		a.broker.ids[topic.Name] = a.broker.newID()
		a.broker.notify()
		return 0
	})
}

// EndOffsets implements kafka.Admin.
func (a *admin) EndOffsets(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]kafka.Marks, error) {
	marks := make(map[record.TopicPartition]kafka.Marks, len(parts))
	err := a.broker.ask(ctx, a.handle, ListOffsets, func(time.Time) code {
		for _, tp := range parts {
			p := a.broker.partition(tp)
			if p == nil {
				return unknownTopicOrPartition
			}
			marks[tp] = kafka.Marks{LogStart: p.start, HighWater: p.end, LastStable: p.lastStable()}
		}
		return 0
	})
	if err != nil {
		return nil, err
	}
	return marks, nil
}

// Committed implements kafka.Admin.
func (a *admin) Committed(ctx context.Context, group string, parts []record.TopicPartition, stable bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	var got map[record.TopicPartition]kafka.CommittedOffset
	err := a.broker.ask(ctx, a.handle, OffsetFetch, func(time.Time) (c code) {
		got, c = a.broker.group(group).offsets.read(parts, stable)
		return c
	})
	return got, err
}
