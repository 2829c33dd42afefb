package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// SendOffsets implements kafka.Producer.
func (p *producer) SendOffsets(ctx context.Context, group string, member kafka.Member, offsets []kafka.CommittedOffset) error {
	if err := p.usable("sending offsets"); err != nil {
		return err
	}
	if p.unacknowledged() {
		return errors.New("kafka/wire: sending offsets: outputs are not acknowledged: Flush comes first")
	}
	k := p.groups[group]
	if k == nil {
		k = &coordinator{route: p.route, kind: sarama.CoordinatorGroup, key: group}
		p.groups[group] = k
	}
	s := &sender{k: k, doing: "sending offsets of " + group, offsets: offsets}
	if p.opts.Plain {
		return p.sent(s.send(ctx, plainOffsets(group, member, offsets)))
	}
	if err := p.join(ctx, group); err != nil {
		return p.noteFinal(fmt.Errorf("kafka/wire: %w", err))
	}
	p.group = group
	q := p.txnOffsets(group, member, offsets)
	look, cancel := context.WithTimeout(ctx, p.opts.RequestTimeout)
	defer cancel()
	err := s.send(ctx, q)
	if lost(err) && p.offered[group] == 1 && s.pending(look) {
		err = s.send(ctx, q)
	}
	return p.sent(err)
}

// sent returns the error of offsets that were sent.
func (p *producer) sent(err error) error {
	if err == nil {
		return nil
	}
	return p.noteFinal(fmt.Errorf("kafka/wire: %w", indefinite(err)))
}

// A sender sends the offsets of one commit to the coordinator of their group.
type sender struct {
	k       *coordinator
	doing   string
	offsets []kafka.CommittedOffset
}

// An offsetsRequest is sent, and gives each code of its answer to note.
type offsetsRequest func(ctx context.Context, c *conn, note func(topic string, partition int32, code sarama.KError)) error

// txnOffsets makes the request that adds offsets to the transaction.
func (p *producer) txnOffsets(group string, member kafka.Member, offsets []kafka.CommittedOffset) offsetsRequest {
	q := &sarama.TxnOffsetCommitRequest{
		Version: 3, TransactionalID: p.opts.TransactionalID, GroupID: group,
		ProducerID: p.id.ID, ProducerEpoch: p.id.Epoch,
		GenerationID: member.Generation, MemberID: member.ID,
		Topics: map[string][]*sarama.PartitionOffsetMetadata{},
	}
	if member.InstanceID != "" {
		q.GroupInstanceID = &member.InstanceID
	}
	for i := range offsets {
		o := &offsets[i]
		q.Topics[o.Topic] = append(q.Topics[o.Topic], &sarama.PartitionOffsetMetadata{
			Partition: o.Partition, Offset: o.Offset, LeaderEpoch: -1, Metadata: &o.Metadata,
		})
	}
	return func(ctx context.Context, c *conn, note func(string, int32, sarama.KError)) error {
		a, err := ask(ctx, c, (*sarama.Broker).TxnOffsetCommit, q)
		if err == nil || lost(err) {
			p.offered[group]++
		}
		if err != nil {
			return err
		}
		for topic, parts := range a.Topics {
			for _, e := range parts {
				note(topic, e.Partition, e.Err)
			}
		}
		return nil
	}
}

// plainOffsets makes the request that commits offsets outside of a transaction.
func plainOffsets(group string, member kafka.Member, offsets []kafka.CommittedOffset) offsetsRequest {
	q := &sarama.OffsetCommitRequest{
		Version: 7, ConsumerGroup: group, ConsumerGroupGeneration: member.Generation, ConsumerID: member.ID,
	}
	if member.InstanceID != "" {
		q.GroupInstanceId = &member.InstanceID
	}
	for i := range offsets {
		o := &offsets[i]
		q.AddBlockWithLeaderEpoch(o.Topic, o.Partition, o.Offset, -1, 0, o.Metadata)
	}
	return func(ctx context.Context, c *conn, note func(string, int32, sarama.KError)) error {
		a, err := ask(ctx, c, (*sarama.Broker).CommitOffset, q)
		if err != nil {
			return err
		}
		for topic, parts := range a.Errors {
			for partition, code := range parts {
				note(topic, partition, code)
			}
		}
		return nil
	}
}

// send sends a request until it has an answer that does not pass. Its error is a
// lostError if the answer was lost.
func (s *sender) send(ctx context.Context, request offsetsRequest) error {
	var at record.TopicPartition
	code, err := s.k.call(ctx, s.doing, func(ctx context.Context, c *conn) (sarama.KError, error) {
		worst := sarama.ErrNoError
		err := request(ctx, c, func(topic string, partition int32, code sarama.KError) {
			if code != sarama.ErrNoError && (worst == sarama.ErrNoError || !transient(code)) {
				worst, at = code, record.TopicPartition{Topic: topic, Partition: partition}
			}
		})
		return worst, err
	})
	switch {
	case err != nil:
		return err
	case code != sarama.ErrNoError:
		return fmt.Errorf("%s: %s-%d: %w", s.doing, at.Topic, at.Partition, mappedWrite(code))
	}
	return nil
}

// pending reports whether the group has the offsets in an open transaction: if the group
// was sent one request in the transaction, that one was handled, and is on its way no
// more. It looks once, and what it cannot tell is no.
func (s *sender) pending(ctx context.Context) bool {
	q := &sarama.OffsetFetchRequest{Version: 7, ConsumerGroup: s.k.key, RequireStable: true}
	for i := range s.offsets {
		q.AddPartition(s.offsets[i].Topic, s.offsets[i].Partition)
	}
	all := false
	_, err := s.k.call(ctx, s.doing, func(ctx context.Context, c *conn) (sarama.KError, error) {
		a, err := ask(ctx, c, (*sarama.Broker).FetchOffset, q)
		if err != nil {
			return 0, err
		}
		all = a.Err == sarama.ErrNoError
		for i := range s.offsets {
			block := a.GetBlock(s.offsets[i].Topic, s.offsets[i].Partition)
			all = all && block != nil && block.Err == sarama.ErrUnstableOffsetCommit
		}
		return a.Err, nil
	})
	return err == nil && all
}
