package mem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// producer implements kafka.Producer.
type producer struct {
	*handle
	opts  kafka.ProducerOptions
	ready bool // initialised
	id    kafka.ProducerID

	inTxn      bool
	partitions map[record.TopicPartition]bool // added to the transaction
	groups     map[string]bool                // added to the transaction
	maybe      bool                           // something may have been added without our knowing
	acked      map[record.TopicPartition]int64
	last       []record.TopicPartition // that the last transaction wrote to
	lastGroups map[string]bool         // that it had offsets of
	lost       bool                    // a Produce was not answered ...
	lostUntil  time.Time               // ... and is waited for so long
}

func newProducer(h *handle, opts kafka.ProducerOptions) *producer {
	opts.TransactionTimeout = cmp.Or(opts.TransactionTimeout, 10*time.Second)
	opts.RequestTimeout = cmp.Or(opts.RequestTimeout, 5*time.Second)
	return &producer{handle: h, opts: opts}
}

// Init implements kafka.Producer.
func (p *producer) Init(ctx context.Context) (kafka.ProducerID, error) {
	p.inTxn, p.ready = false, false
	p.acked, p.groups = nil, nil
	var id kafka.ProducerID
	err := p.broker.write(ctx, p.handle, InitProducerID, p.opts.RequestTimeout, func(now time.Time) (c code) {
		if p.opts.Plain {
			id.ID = p.broker.newPID()
			return 0
		}
		id.ID, id.Epoch, c = p.broker.initProducer(p.opts.TransactionalID, p.opts.TransactionTimeout, now)
		return c
	})
	if err != nil {
		return kafka.ProducerID{}, err
	}
	p.id, p.ready = id, true
	return id, nil
}

// Resent implements kafka.Producer: nothing is sent again here, a call waits until it
// is answered for good.
func (p *producer) Resent() int64 { return 0 }

// Begin implements kafka.Producer.
func (p *producer) Begin() error {
	switch {
	case !p.ready:
		return errors.New("mem: Begin: the producer is not initialised")
	case p.inTxn:
		return errors.New("mem: Begin: in a transaction")
	}
	p.inTxn, p.maybe, p.lost = true, false, false
	p.last, p.lastGroups = slices.Collect(maps.Keys(p.acked)), p.groups
	p.partitions = map[record.TopicPartition]bool{}
	p.groups = map[string]bool{}
	p.acked = map[record.TopicPartition]int64{}
	return nil
}

// Open implements kafka.Producer.
func (p *producer) Open(ctx context.Context) error {
	switch {
	case !p.inTxn:
		return errNoTxn
	case p.opts.Plain:
		return nil
	}
	if err := p.addPartitions(ctx, sorted(p.last)); err != nil {
		return err
	}
	for _, group := range slices.Sorted(maps.Keys(p.lastGroups)) {
		if err := p.addGroup(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

var errNoTxn = errors.New("mem: not in a transaction")

// An encoding is outputs; encoding them costs nothing here.
type encoding []record.Output

// More implements kafka.Encoding.
func (encoding) More() bool { return false }

// Encode implements kafka.Producer.
func (p *producer) Encode(outputs ...[]record.Output) kafka.Encoding {
	return encoding(slices.Concat(outputs...))
}

// Produce implements kafka.Producer.
func (p *producer) Produce(ctx context.Context, e kafka.Encoding) error {
	if !p.inTxn {
		return errNoTxn
	}
	outputs := e.(encoding)
	if p.lost || len(outputs) == 0 {
		return nil // not sent behind a request whose fate is unknown; Flush says so
	}
	batches := encode(outputs)
	if !p.opts.Plain {
		var parts []record.TopicPartition
		for _, b := range batches {
			parts = append(parts, b.TopicPartition)
		}
		if err := p.addPartitions(ctx, parts); err != nil {
			return err
		}
	}
	id := p.id
	acked := map[record.TopicPartition]int64{}
	lost, err := p.broker.send(ctx, p.handle, Produce, func(time.Time) code {
		return p.broker.produce(p.opts.TransactionalID, id, batches, acked)
	})
	if lost {
		p.lost, p.lostUntil = true, p.broker.opts.Clock.Now().Add(p.opts.RequestTimeout)
		return nil
	}
	for tp, first := range acked {
		if _, is := p.acked[tp]; !is {
			p.acked[tp] = first
		}
	}
	return err
}

// addPartitions adds partitions to the transaction, but those that are in it.
func (p *producer) addPartitions(ctx context.Context, parts []record.TopicPartition) error {
	parts = slices.DeleteFunc(parts, func(tp record.TopicPartition) bool { return p.partitions[tp] })
	if len(parts) == 0 {
		return nil
	}
	if err := p.add(ctx, AddPartitions, parts, ""); err != nil {
		return err
	}
	for _, tp := range parts {
		p.partitions[tp] = true
	}
	return nil
}

// addGroup adds a group to the transaction, unless it is in it.
func (p *producer) addGroup(ctx context.Context, group string) error {
	if p.groups[group] {
		return nil
	}
	if err := p.add(ctx, AddOffsets, nil, group); err != nil {
		return err
	}
	p.groups[group] = true
	return nil
}

// add sends AddPartitionsToTxn or AddOffsetsToTxn.
func (p *producer) add(ctx context.Context, req Request, parts []record.TopicPartition, group string) error {
	id := p.id
	err := p.broker.write(ctx, p.handle, req, p.opts.RequestTimeout, func(now time.Time) code {
		return p.broker.addToTxn(p.opts.TransactionalID, id.ID, id.Epoch, parts, group, now)
	})
	p.maybe = p.maybe || errors.Is(err, kafka.ErrIndefinite)
	return err
}

// Flush implements kafka.Producer. Everything that was answered was answered
// when Produce returned; it waits for what is lost.
func (p *producer) Flush(ctx context.Context) (map[record.TopicPartition]int64, error) {
	if !p.inTxn {
		return nil, errNoTxn
	}
	if p.lost {
		if err := p.broker.await(ctx, p.handle, p.lostUntil, never); err != nil {
			return nil, fmt.Errorf("mem: %s: %w: %w", Produce, kafka.ErrIndefinite, err)
		}
		return nil, fmt.Errorf("mem: %s: no answer after %v: %w", Produce, p.opts.RequestTimeout, kafka.ErrIndefinite)
	}
	return p.acked, nil
}

// SendOffsets implements kafka.Producer.
func (p *producer) SendOffsets(ctx context.Context, group string, member kafka.Member, commits []kafka.CommittedOffset) error {
	if !p.inTxn {
		return errNoTxn
	}
	if p.opts.Plain {
		return p.broker.write(ctx, p.handle, OffsetCommit, p.opts.RequestTimeout, func(time.Time) code {
			return p.broker.commitPlain(group, member, commits)
		})
	}
	if err := p.addGroup(ctx, group); err != nil {
		return err
	}
	id := p.id
	return p.broker.write(ctx, p.handle, TxnOffsetCommit, p.opts.RequestTimeout, func(time.Time) code {
		return p.broker.commitOffsets(p.opts.TransactionalID, id.ID, id.Epoch, group, member, commits)
	})
}

// End implements kafka.Producer.
func (p *producer) End(ctx context.Context, commit bool) error {
	if !p.inTxn {
		return errNoTxn
	}
	p.inTxn = false
	if len(p.partitions) == 0 && len(p.groups) == 0 && !p.maybe {
		return nil // nothing for the broker to decide
	}
	id := p.id
	return p.broker.write(ctx, p.handle, EndTxn, p.opts.RequestTimeout, func(now time.Time) code {
		return p.broker.endTxn(p.opts.TransactionalID, id.ID, id.Epoch, commit, now)
	})
}

// batch is the records of one Produce for one partition, in their order.
type batch struct {
	record.TopicPartition
	records []record.Record
	largest int // key and value
}

// encode copies the outputs, by partition in the order of first appearance.
func encode(outputs []record.Output) []batch {
	var batches []batch
	at := map[record.TopicPartition]int{}
	bytes, headers := 0, 0
	for _, o := range outputs {
		bytes += len(o.Key) + len(o.Value)
		headers += len(o.Headers)
		for _, h := range o.Headers {
			bytes += len(h.Key) + len(h.Value)
		}
	}
	arena := make([]byte, 0, bytes)
	table := make([]record.Header, 0, headers)
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(arena)
		arena = append(arena, b...)
		return arena[from:len(arena):len(arena)]
	}
	for _, o := range outputs {
		i, known := at[o.TopicPartition]
		if !known {
			i = len(batches)
			at[o.TopicPartition] = i
			batches = append(batches, batch{TopicPartition: o.TopicPartition})
		}
		r := record.Record{Timestamp: o.Timestamp, Key: keep(o.Key), Value: keep(o.Value)}
		if from := len(table); len(o.Headers) > 0 {
			for _, h := range o.Headers {
				table = append(table, record.Header{Key: keep(h.Key), Value: keep(h.Value)})
			}
			r.Headers = table[from:len(table):len(table)]
		}
		batches[i].records = append(batches[i].records, r)
		batches[i].largest = max(batches[i].largest, len(o.Key)+len(o.Value))
	}
	return batches
}

// produce handles Produce: each partition takes its batch or not, the answer is
// the first code that is not 0.
func (b *Broker) produce(txnID string, id kafka.ProducerID, batches []batch, acked map[record.TopicPartition]int64) code {
	first := code(0)
	for _, in := range batches {
		c := b.produceTo(txnID, id, in, acked)
		first = cmp.Or(first, c)
	}
	b.notify()
	return first
}

func (b *Broker) produceTo(txnID string, id kafka.ProducerID, in batch, acked map[record.TopicPartition]int64) code {
	p := b.partition(in.TopicPartition)
	if p == nil {
		return unknownTopicOrPartition
	}
	if in.largest > b.opts.MaxRecordBytes {
		return messageTooLarge
	}
	added := func(t *txn) bool { return t.partitions[in.TopicPartition] }
	if txnID == "" {
		acked[in.TopicPartition] = p.append(in.records)
		return 0
	}
	if c := b.mayWrite(txnID, id.ID, id.Epoch, p.open[id.ID] != nil, p.epochs[id.ID], added); c != 0 {
		return c
	}
	acked[in.TopicPartition] = p.appendOpen(id.ID, id.Epoch, in.records)
	return 0
}
