package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// enter joins the next generation and returns what it assigns. It keeps trying
// until ctx ends; errors are final.
func (g *group) enter(ctx context.Context, k *coordinator, m *membership, h kafka.GroupHandler) ([]record.TopicPartition, error) {
	var b backoff
	for {
		c, err := k.find(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, errClosed) || errors.Is(err, kafka.ErrNotAuthorized) {
				return nil, err
			}
			if err := g.joins.wait(ctx, &b); err != nil {
				return nil, err
			}
			continue
		}
		assigned, code, err := g.joinAndSync(ctx, c, m)
		switch {
		case errors.Is(err, errAssignment):
			return nil, err
		case err != nil:
			g.joins.drop(c)
			k.addr = ""
		case code == sarama.ErrNoError:
			return assigned, nil
		case code == sarama.ErrMemberIdRequired:
			continue // with the id that it was given
		case code == sarama.ErrRebalanceInProgress:
			// The generation ended before it began.
		case code == sarama.ErrUnknownMemberId || code == sarama.ErrIllegalGeneration:
			g.lose(m, h)
		case code == sarama.ErrFencedInstancedId:
			return nil, fmt.Errorf("another process runs as instance %s: %w", g.opts.InstanceID, kafka.ErrUnknownMember)
		case staleCoordinator(code):
			k.addr = ""
		default:
			return nil, fmt.Errorf("joining: %w", mapped(code))
		}
		if err := g.joins.wait(ctx, &b); err != nil {
			return nil, err
		}
	}
}

// errAssignment marks what no further try mends.
var errAssignment = errors.New("assigning partitions")

// joinAndSync sends one JoinGroup and one SyncGroup.
func (g *group) joinAndSync(ctx context.Context, c *conn, m *membership) ([]record.TopicPartition, sarama.KError, error) {
	var instance *string
	if g.opts.InstanceID != "" {
		instance = &g.opts.InstanceID
	}
	join := &sarama.JoinGroupRequest{
		Version: 7, GroupId: g.opts.Group, MemberId: m.ID, GroupInstanceId: instance, ProtocolType: "consumer",
		SessionTimeout:   int32(g.opts.SessionTimeout.Milliseconds()),
		RebalanceTimeout: int32(g.opts.RebalanceTimeout.Milliseconds()),
	}
	if err := join.AddGroupProtocolMetadata(protocol, subscription(g.opts.Topics, m)); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errAssignment, err)
	}
	joined, err := ask(ctx, c, (*sarama.Broker).JoinGroup, join)
	if err != nil {
		return nil, 0, err
	}
	if joined.Err == sarama.ErrMemberIdRequired {
		m.ID = joined.MemberId
	}
	if joined.Err != sarama.ErrNoError {
		return nil, joined.Err, nil
	}
	m.ID, m.Generation, m.leader = joined.MemberId, joined.GenerationId, joined.LeaderId == joined.MemberId

	sync := &sarama.SyncGroupRequest{
		Version: 4, GroupId: g.opts.Group, MemberId: m.ID, GroupInstanceId: instance, GenerationId: m.Generation,
	}
	if m.leader {
		if err := g.lead(ctx, joined, sync, m); err != nil {
			return nil, 0, err
		}
	}
	synced, err := ask(ctx, c, (*sarama.Broker).SyncGroup, sync)
	if err != nil || synced.Err != sarama.ErrNoError {
		if err != nil {
			return nil, 0, err
		}
		return nil, synced.Err, nil
	}
	if len(synced.MemberAssignment) == 0 {
		return nil, sarama.ErrNoError, nil
	}
	assignment, err := synced.GetMemberAssignment()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: what the leader sent cannot be read: %w", errAssignment, err)
	}
	var parts []record.TopicPartition
	for topic, numbers := range assignment.Topics {
		for _, n := range numbers {
			parts = append(parts, record.TopicPartition{Topic: topic, Partition: n})
		}
	}
	sortPartitions(parts)
	return parts, sarama.ErrNoError, nil
}

// subscription is what a member tells the leader. It is Kafka's own consumer
// protocol, version 2: topics, and the partitions that it still owns, with the
// generation that gave them.
func subscription(topics []string, m *membership) *sarama.ConsumerGroupMemberMetadata {
	owned := map[string][]int32{}
	for _, tp := range m.owned {
		owned[tp.Topic] = append(owned[tp.Topic], tp.Partition)
	}
	s := &sarama.ConsumerGroupMemberMetadata{Version: 2, Topics: topics, GenerationID: m.Generation}
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		s.OwnedPartitions = append(s.OwnedPartitions, &sarama.OwnedPartition{Topic: topic, Partitions: owned[topic]})
	}
	return s
}

// lead assigns the partitions for the whole group.
func (g *group) lead(ctx context.Context, joined *sarama.JoinGroupResponse, sync *sarama.SyncGroupRequest, m *membership) error {
	subscriptions, err := joined.GetMembers()
	if err != nil {
		return fmt.Errorf("%w: a member's subscription cannot be read: %w", errAssignment, err)
	}
	var members []candidate
	all := map[string]int32{}
	for id, s := range subscriptions {
		x := candidate{id: id, topics: s.Topics, generation: s.GenerationID}
		for _, o := range s.OwnedPartitions {
			for _, n := range o.Partitions {
				x.owned = append(x.owned, record.TopicPartition{Topic: o.Topic, Partition: n})
			}
		}
		for _, t := range s.Topics {
			all[t] = 0
		}
		members = append(members, x)
	}
	if m.counts, err = g.count(ctx, topicsOf(all)); err != nil {
		return err
	}
	plan, err := assign(members, m.counts)
	if err != nil {
		return fmt.Errorf("%w: %w", errAssignment, err)
	}
	for id, parts := range plan {
		topics := map[string][]int32{}
		for _, tp := range parts {
			topics[tp.Topic] = append(topics[tp.Topic], tp.Partition)
		}
		if err := sync.AddGroupAssignmentMember(id, &sarama.ConsumerGroupMemberAssignment{Topics: topics}); err != nil {
			return fmt.Errorf("%w: %w", errAssignment, err)
		}
	}
	return nil
}

// count returns how many partitions the topics have; 0: there is no such topic yet.
func (g *group) count(ctx context.Context, topics []string) (map[string]int32, error) {
	if err := g.joins.refresh(ctx, topics); err != nil {
		return nil, err
	}
	counts := make(map[string]int32, len(topics))
	for _, t := range topics {
		counts[t] = g.joins.partitions(t)
	}
	return counts, nil
}

func topicsOf(counts map[string]int32) []string { return slices.Sorted(maps.Keys(counts)) }
