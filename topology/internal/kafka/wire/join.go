package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/assign"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// enter joins the next generation and returns what it gives. It keeps trying until
// ctx ends; errors are final.
func (g *group) enter(ctx context.Context, k *coordinator, m *membership, h kafka.GroupHandler) (none assign.Share, err error) {
	var b backoff
	for {
		c, err := k.find(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, errClosed) || errors.Is(err, kafka.ErrNotAuthorized) {
				return none, err
			}
			if err := g.joins.wait(ctx, &b); err != nil {
				return none, err
			}
			continue
		}
		got, code, err := g.joinAndSync(ctx, c, m, h)
		switch {
		case errors.Is(err, errAssignment):
			return none, err
		case err != nil:
			g.joins.drop(c)
			k.addr = ""
		case code == sarama.ErrNoError:
			return got, nil
		case code == sarama.ErrMemberIdRequired:
			continue // with the id that it was given
		case code == sarama.ErrRebalanceInProgress:
			// The generation ended before it began.
		case code == sarama.ErrUnknownMemberId || code == sarama.ErrIllegalGeneration:
			g.lose(m, h)
		case code == sarama.ErrFencedInstancedId:
			return none, fmt.Errorf("another process runs as instance %s: %w", g.opts.InstanceID, kafka.ErrUnknownMember)
		case code == sarama.ErrInconsistentGroupProtocol:
			return none, fmt.Errorf("joining: consumers of another kind are in the group, which is the app's alone; stop them, or give the app another name: %w", mapped(code))
		case staleCoordinator(code):
			k.addr = ""
		default:
			return none, fmt.Errorf("joining: %w", mapped(code))
		}
		if err := g.joins.wait(ctx, &b); err != nil {
			return none, err
		}
	}
}

// errAssignment marks what no further try mends.
var errAssignment = errors.New("assigning partitions")

// joinAndSync sends one JoinGroup and one SyncGroup.
func (g *group) joinAndSync(ctx context.Context, c *conn, m *membership, h kafka.GroupHandler) (none assign.Share, code sarama.KError, err error) {
	var instance *string
	if g.opts.InstanceID != "" {
		instance = &g.opts.InstanceID
	}
	join := &sarama.JoinGroupRequest{
		Version: 7, GroupId: g.opts.Group, MemberId: m.ID, GroupInstanceId: instance, ProtocolType: "consumer",
		SessionTimeout:   int32(g.opts.SessionTimeout.Milliseconds()),
		RebalanceTimeout: int32(g.opts.RebalanceTimeout.Milliseconds()),
	}
	if err := join.AddGroupProtocolMetadata(protocol, subscription(g.opts.Topics, m, h.State())); err != nil {
		return none, 0, fmt.Errorf("%w: %w", errAssignment, err)
	}
	joined, err := ask(ctx, c, (*sarama.Broker).JoinGroup, join)
	if err != nil {
		return none, 0, err
	}
	if joined.Err == sarama.ErrMemberIdRequired {
		m.ID = joined.MemberId
	}
	if joined.Err != sarama.ErrNoError {
		return none, joined.Err, nil
	}
	m.ID, m.Generation = joined.MemberId, joined.GenerationId

	sync := &sarama.SyncGroupRequest{
		Version: 4, GroupId: g.opts.Group, MemberId: m.ID, GroupInstanceId: instance, GenerationId: m.Generation,
	}
	if joined.LeaderId == joined.MemberId {
		if err := g.lead(ctx, joined, sync, m); err != nil {
			return none, 0, err
		}
	}
	synced, err := ask(ctx, c, (*sarama.Broker).SyncGroup, sync)
	if err != nil || synced.Err != sarama.ErrNoError {
		if err != nil {
			return none, 0, err
		}
		return none, synced.Err, nil
	}
	if len(synced.MemberAssignment) == 0 {
		return none, sarama.ErrNoError, nil
	}
	assignment, err := synced.GetMemberAssignment()
	if err != nil {
		return none, 0, fmt.Errorf("%w: what the leader sent cannot be read: %w", errAssignment, err)
	}
	// A leader of another version may have written it otherwise: then there is nothing.
	got, _ := decodeShare(assignment.UserData)
	got.Partitions = partitionsOf(assignment.Topics)
	return got, sarama.ErrNoError, nil
}

// subscription is what a member tells the leader. It is Kafka's own consumer
// protocol, version 2: topics, and the partitions that it still owns, with the
// generation that gave them; and, in its user data, what the member has of the state.
func subscription(topics []string, m *membership, state map[int32]int64) *sarama.ConsumerGroupMemberMetadata {
	owned := map[string][]int32{}
	for _, tp := range m.owned {
		owned[tp.Topic] = append(owned[tp.Topic], tp.Partition)
	}
	s := &sarama.ConsumerGroupMemberMetadata{Version: 2, Topics: topics, GenerationID: m.Generation, UserData: appendState(nil, state)}
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
	var members []assign.Member
	all := map[string]int32{}
	for id, s := range subscriptions {
		x := assign.Member{ID: id, Topics: s.Topics, Generation: s.GenerationID}
		for _, o := range s.OwnedPartitions {
			for _, n := range o.Partitions {
				x.Owned = append(x.Owned, record.TopicPartition{Topic: o.Topic, Partition: n})
			}
		}
		// One that tells it otherwise, or not at all, has none.
		x.State, _ = decodeState(s.UserData)
		for _, t := range s.Topics {
			all[t] = 0
		}
		members = append(members, x)
	}
	if m.counts, err = g.count(ctx, topicsOf(all)); err != nil {
		return err
	}
	plan, err := assign.Assign(members, m.counts, g.opts.Standbys)
	if err != nil {
		return fmt.Errorf("%w: %w", errAssignment, err)
	}
	for id, share := range plan {
		topics := map[string][]int32{}
		for _, tp := range share.Partitions {
			topics[tp.Topic] = append(topics[tp.Topic], tp.Partition)
		}
		given := &sarama.ConsumerGroupMemberAssignment{Topics: topics, UserData: appendShare(nil, share)}
		if err := sync.AddGroupAssignmentMember(id, given); err != nil {
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

// partitionsOf returns the partitions of topics, sorted.
func partitionsOf(topics map[string][]int32) (parts []record.TopicPartition) {
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		for _, n := range slices.Sorted(slices.Values(topics[topic])) {
			parts = append(parts, record.TopicPartition{Topic: topic, Partition: n})
		}
	}
	return parts
}

// without returns the partitions of a that are not in b.
func without(a, b []record.TopicPartition) []record.TopicPartition {
	in := make(map[record.TopicPartition]bool, len(b))
	for _, tp := range b {
		in[tp] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(tp record.TopicPartition) bool { return in[tp] })
}

func topicsOf(counts map[string]int32) []string { return slices.Sorted(maps.Keys(counts)) }
