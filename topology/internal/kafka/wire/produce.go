package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// requestBytes bounds one Produce request, unless one batch is larger.
const requestBytes = 8 << 20

// A flight is one Produce request that is not answered.
type flight struct {
	conn    *conn
	boxes   []*outbox
	batches []*batch

	response *sarama.ProduceResponse
	err      error
}

// Produce implements kafka.Producer. It sends what is encoded before it encodes more.
func (p *producer) Produce(ctx context.Context, e kafka.Encoding) error {
	if err := p.usable("producing"); err != nil {
		return err
	}
	var fresh []*outbox // not in the transaction yet
	enc := e.(*encoding)
	boxes := make([]*outbox, len(enc.trays))
	for i, s := range enc.trays {
		boxes[i] = p.box(s.TopicPartition)
		if !boxes[i].added {
			boxes[i].added = true
			fresh = append(fresh, boxes[i])
		}
	}
	if err := p.enlist(ctx, fresh); err != nil {
		return p.note(fmt.Errorf("kafka/wire: producing: %w", err))
	}
	for more := true; ; more = enc.turn() {
		for i, s := range enc.trays {
			for _, b := range s.sealed {
				boxes[i].enqueue(b)
			}
			s.sealed = nil
		}
		if err := p.pump(ctx, "producing", func() bool { return !p.unsent() }); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// box returns the outbox of a partition.
func (p *producer) box(tp record.TopicPartition) *outbox {
	box := p.boxes[tp]
	if box == nil {
		box = &outbox{TopicPartition: tp, limit: batchBytes, first: -1}
		p.boxes[tp] = box
		p.order = append(p.order, box)
	}
	return box
}

// Flush implements kafka.Producer.
func (p *producer) Flush(ctx context.Context) (map[record.TopicPartition]int64, error) {
	if err := p.usable("flushing"); err != nil {
		return nil, err
	}
	if p.group != "" && p.unacknowledged() {
		// As the last transaction had offsets of the group, so will this one: the answer is
		// waited for beside those of the outputs. What is refused, SendOffsets says.
		if err := p.join(ctx, p.group); final(err) {
			return nil, p.note(fmt.Errorf("kafka/wire: flushing: %w", err))
		}
	}
	if err := p.pump(ctx, "flushing", func() bool { return !p.unacknowledged() }); err != nil {
		return nil, err
	}
	acked := map[record.TopicPartition]int64{}
	for _, box := range p.order {
		if box.first >= 0 {
			acked[box.TopicPartition] = box.first
		}
	}
	return acked, nil
}

func (p *producer) unsent() bool {
	for _, box := range p.order {
		if box.refused || box.sent < len(box.queue) {
			return true
		}
	}
	return false
}

func (p *producer) unacknowledged() bool {
	for _, box := range p.order {
		if len(box.queue) > 0 {
			return true
		}
	}
	return false
}

// leaders makes sure that partitions exist.
func (p *producer) leaders(ctx context.Context, boxes []*outbox) error {
	var b backoff
	for started := time.Now(); ; {
		var missing *outbox
		var topics []string
		for _, box := range boxes {
			if !p.route.exists(box.TopicPartition) {
				missing = box
				topics = append(topics, box.Topic)
			}
		}
		if missing == nil {
			return nil
		}
		if time.Since(started) > unknownGrace {
			return p.route.unknown(missing.TopicPartition)
		}
		if err := p.route.refresh(ctx, topics); err != nil {
			return err
		}
		if p.route.exists(missing.TopicPartition) {
			continue
		}
		if err := p.route.wait(ctx, &b); err != nil {
			return err
		}
	}
}

// enlist tells the coordinator of partitions, which exist. It is sent again when it is
// not answered: a partition is in the transaction or not, and one that comes behind its
// end opens a transaction in which nothing is, which the next one continues, or the
// coordinator ends.
func (p *producer) enlist(ctx context.Context, boxes []*outbox) error {
	if len(boxes) == 0 {
		return nil
	}
	if err := p.leaders(ctx, boxes); err != nil || p.opts.Plain {
		return err
	}
	q := &sarama.AddPartitionsToTxnRequest{
		Version: 2, TransactionalID: p.opts.TransactionalID,
		ProducerID: p.id.ID, ProducerEpoch: p.id.Epoch, TopicPartitions: map[string][]int32{},
	}
	for _, box := range boxes {
		q.TopicPartitions[box.Topic] = append(q.TopicPartitions[box.Topic], box.Partition)
	}
	p.opened = true
	var b backoff
	var answer *sarama.AddPartitionsToTxnResponse
	for started := time.Now(); ; {
		code, err := p.transaction.insist(ctx, p.opts.RequestTimeout, "adding partitions to the transaction", func(ctx context.Context, c *conn) (sarama.KError, error) {
			a, err := ask(ctx, c, (*sarama.Broker).AddPartitionsToTxn, q)
			if err != nil {
				return 0, err
			}
			answer = a
			return worst(a), nil
		})
		switch {
		case err != nil:
			return indefinite(err)
		case code == sarama.ErrNoError:
			return nil
		case code != sarama.ErrUnknownTopicOrPartition || time.Since(started) > p.opts.RequestTimeout:
			return fmt.Errorf("adding %s to the transaction: %w", with(answer, code), mappedWrite(code))
		}
		// It has a leader: the coordinator has not heard of it yet.
		if err := p.route.wait(ctx, &b); err != nil {
			return fmt.Errorf("adding %s to the transaction: %w, after: %w", with(answer, code), err, words(code))
		}
	}
}

// worst returns the code of an answer that decides, one that does not pass if there is.
func worst(a *sarama.AddPartitionsToTxnResponse) sarama.KError {
	worst := sarama.ErrNoError
	for _, parts := range a.Errors {
		for _, e := range parts {
			// One that was not attempted says only that another was refused.
			if e.Err == sarama.ErrNoError || e.Err == sarama.ErrOperationNotAttempted && worst != sarama.ErrNoError {
				continue
			}
			if worst == sarama.ErrNoError || worst == sarama.ErrOperationNotAttempted || !transient(e.Err) {
				worst = e.Err
			}
		}
	}
	return worst
}

// with names the partitions that a code was answered for.
func with(a *sarama.AddPartitionsToTxnResponse, code sarama.KError) string {
	var names []string
	for topic, parts := range a.Errors {
		for _, e := range parts {
			if e.Err == code {
				names = append(names, fmt.Sprintf("%s-%d", topic, e.Partition))
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// pump sends what may be sent and takes answers until done, or until the
// transaction has failed.
func (p *producer) pump(ctx context.Context, doing string, done func() bool) error {
	for {
		p.land()
		if p.failed != nil {
			return fmt.Errorf("kafka/wire: %s: %w", doing, p.failed)
		}
		if done() {
			return nil
		}
		again, err := p.send(ctx)
		if err != nil {
			return p.note(fmt.Errorf("kafka/wire: %s: %w", doing, err))
		}
		if done() {
			continue
		}
		if again {
			err = p.route.wait(ctx, &p.pause)
		} else {
			select {
			case <-p.wake:
			case <-ctx.Done():
				err = ctx.Err()
			case <-p.route.done:
				err = errClosed
			}
		}
		if err != nil {
			// What is on the way may arrive or not.
			return p.note(fmt.Errorf("kafka/wire: %s: %w: %w", doing, kafka.ErrIndefinite, err))
		}
	}
}

// send sends the next batch of every partition that may send, a request per leader.
// again says that some could not be sent, and that it is worth trying again soon.
func (p *producer) send(ctx context.Context) (again bool, err error) {
	for {
		byLeader := map[string]*flight{}
		sizes := map[string]int{}
		var stale []string
		for _, box := range p.order {
			b := box.ready()
			if b == nil {
				continue
			}
			if b.lost && time.Now().After(b.deadline) {
				return false, fmt.Errorf("%s-%d: %w for %v", box.Topic, box.Partition, kafka.ErrIndefinite, p.opts.RequestTimeout)
			}
			addr, _, ok := p.route.leader(box.TopicPartition)
			if !ok || p.stale[box.TopicPartition] {
				stale = append(stale, box.Topic)
				continue
			}
			if p.flying[addr] >= inFlight || sizes[addr] > 0 && sizes[addr]+b.size > requestBytes {
				continue
			}
			f := byLeader[addr]
			if f == nil {
				f = &flight{}
				byLeader[addr] = f
			}
			f.boxes, f.batches = append(f.boxes, box), append(f.batches, b)
			sizes[addr] += b.size
		}
		if len(stale) > 0 {
			again = true
			if p.route.refresh(ctx, stale) == nil {
				clear(p.stale)
			} else if ctx.Err() != nil {
				return false, ctx.Err()
			}
		}
		if len(byLeader) == 0 {
			return again, nil
		}
		for addr, f := range byLeader {
			if err := p.launch(ctx, addr, f); err != nil {
				return false, err
			}
		}
		p.land()
	}
}

// launch sends one request. What could not be sent goes again; only an encoding
// error is final.
func (p *producer) launch(ctx context.Context, addr string, f *flight) error {
	c, err := p.route.connect(ctx, addr)
	if err != nil {
		for _, box := range f.boxes {
			p.stale[box.TopicPartition] = true
		}
		if ctx.Err() != nil || errors.Is(err, errClosed) {
			return err
		}
		return nil
	}
	f.conn = c
	q := &sarama.ProduceRequest{
		RequiredAcks: sarama.WaitForAll,
		Timeout:      int32(p.opts.RequestTimeout.Milliseconds()), Version: 8,
	}
	if !p.opts.Plain {
		q.TransactionalID = &p.opts.TransactionalID
	}
	now := time.Now()
	for i, b := range f.batches {
		if b.deadline.IsZero() {
			b.deadline = now.Add(p.opts.RequestTimeout)
		}
		q.AddBatch(f.boxes[i].Topic, f.boxes[i].Partition, b.wire(p.id, !p.opts.Plain, p.cluster.codec))
		f.boxes[i].sent++
		f.boxes[i].flying++
	}
	p.flying[addr]++
	before := c.sock.written.Load()
	stop := context.AfterFunc(ctx, c.sock.cut)
	err = c.broker.AsyncProduce(q, func(a *sarama.ProduceResponse, err error) { p.arrive(f, a, err) })
	stop()
	if err == nil {
		return nil
	}
	if before == c.sock.written.Load() && !c.sock.broken.Load() {
		var encoding sarama.PacketEncodingError
		if errors.As(err, &encoding) {
			p.arrive(f, nil, nil)
			return fmt.Errorf("encoding %s-%d: %w: %w", f.boxes[0].Topic, f.boxes[0].Partition, kafka.ErrTooLarge, err)
		}
	}
	p.arrive(f, nil, err)
	return nil
}

// arrive takes an answer from the goroutine that reads it.
func (p *producer) arrive(f *flight, a *sarama.ProduceResponse, err error) {
	f.response, f.err = a, err
	p.mu.Lock()
	p.landed = append(p.landed, f)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// land works off the answers that have arrived.
func (p *producer) land() {
	p.mu.Lock()
	landed := p.landed
	p.landed = nil
	p.mu.Unlock()
	for _, f := range landed {
		p.flying[f.conn.addr]--
		if f.err != nil {
			p.route.drop(f.conn)
		}
		for i, box := range f.boxes {
			box.flying--
			p.settle(box, f.batches[i], f)
		}
	}
}

// settle decides about one batch by the answer to its request.
func (p *producer) settle(box *outbox, b *batch, f *flight) {
	if f.err != nil {
		// Sent again with the same sequence the broker takes it once.
		p.again(box, b, true)
		return
	}
	var block *sarama.ProduceResponseBlock
	if f.response != nil {
		block = f.response.GetBlock(box.Topic, box.Partition)
	}
	if block == nil { // not sent: it could not be encoded
		return
	}
	switch code := block.Err; {
	case code == sarama.ErrNoError:
		p.pause = backoff{}
		p.free.put(box.acknowledge(b, block.Offset))
	case code == sarama.ErrDuplicateSequenceNumber:
		p.pause = backoff{}
		p.free.put(box.acknowledge(b, -1))
	case code == sarama.ErrOutOfOrderSequenceNumber && (box.refused || box.early(b)):
		p.again(box, b, false)
	case code == sarama.ErrOutOfOrderSequenceNumber:
		// The broker misses something that was acknowledged. Nothing in this
		// transaction can be trusted; a new epoch counts from 0 again.
		p.fail(fmt.Errorf("%s-%d: %w: %w", box.Topic, box.Partition, kafka.ErrIndefinite, words(code)))
	case oversized(code) && b.n > 1:
		// The topic takes smaller batches than other topics do.
		box.split(b)
		p.again(box, b, false)
	case oversized(code):
		b.lost = false
		r := &b.outputs()[0]
		limit := "max.message.bytes"
		if code == sarama.ErrMessageSetSizeTooLarge {
			limit = "segment.bytes"
		}
		p.fail(&kafka.RecordError{TopicPartition: box.TopicPartition, Key: slices.Clone(r.Key), Err: fmt.Errorf(
			"%s-%d: a record of %d bytes (key %d, value %d): %w: %w; raise %s of the topic, which is %s, or write smaller records",
			box.Topic, box.Partition, payload(r), len(r.Key), len(r.Value), kafka.ErrTooLarge, words(code), limit, p.limitOf(box.Topic, limit))})
	case code == sarama.ErrInvalidTimestamp:
		b.lost = false
		r := b.refused(block)
		at := time.UnixMilli(r.Timestamp).UTC()
		p.fail(&kafka.RecordError{TopicPartition: box.TopicPartition, Key: slices.Clone(r.Key), Err: fmt.Errorf(
			"%s-%d: a record of %s: %w: %w; set message.timestamp.after.max.ms of the topic (it is %s) as high as events may be ahead of the broker's clock, or message.timestamp.type to LogAppendTime",
			box.Topic, box.Partition, at.Format("2006-01-02T15:04:05.000Z07:00"), kafka.ErrTimestamp, words(code), p.limitOf(box.Topic, "message.timestamp.after.max.ms"))})
	case code == sarama.ErrRequestTimedOut || code == sarama.ErrNotEnoughReplicasAfterAppend:
		p.again(box, b, true) // it may be in the log
	case staleLeader(code) || code == sarama.ErrNotEnoughReplicas || code == sarama.ErrThrottlingQuotaExceeded || transient(code):
		p.again(box, b, false)
	default:
		b.lost = false
		p.fail(fmt.Errorf("%s-%d: %w", box.Topic, box.Partition, mappedProduce(code)))
	}
}

// again has a batch, and what follows it in its partition, sent again when all that
// is on the way has been answered.
func (p *producer) again(box *outbox, b *batch, lost bool) {
	b.lost, box.refused = lost, true
	p.resent++
	p.stale[box.TopicPartition] = true
}
