//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

const (
	floorBatch   = 1000    // records of a batch that is written, at most
	floorFetch   = 1 << 20 // bytes of a partition in one answer
	floorMinimum = 16 << 10

	autoApart = 50 * time.Millisecond // from the beginning of a commit to that of the next one
	autoFetch = 5 * time.Millisecond  // what a fetch waits for more
)

// A loop is the floor: it reads batches from one broker, keeps its state in a map,
// writes what follows from them, and commits in transactions. One goroutine fetches
// one answer ahead.
type loop struct {
	job
	meter *meter
	what  work

	fetcher *sarama.Broker
	txn     *txn
	parts   []*part
	open    bool        // a transaction
	due     *time.Timer // its end
	began   time.Time   // the last commit
	flying  sync.WaitGroup
	failed  atomic.Pointer[error]
}

// work is which records a loop writes for an event.
type work struct {
	state bool // keep it, and write a changelog
	order bool // write as many records and bytes as a contract costs
}

// A part is one partition.
type part struct {
	index  map[string]int32
	totals []total
	next   int64 // offset to commit

	log, order, out outlet
	outlets         []*outlet // those of the three that are used
}

func newLoop(j job, m *meter, w work) (*loop, error) {
	l := &loop{job: j, meter: m, what: w, due: time.NewTimer(time.Hour)}
	var err error
	if l.fetcher, err = connect(j.broker); err != nil {
		return nil, err
	}
	topics := []string{j.output()}
	if w.state {
		topics = append(topics, j.prefix+"-changelog")
	}
	if w.order {
		topics = append(topics, j.prefix+"-order")
	}
	if err := j.create(topics...); err != nil {
		return nil, err
	}
	if l.txn, err = newTxn(j.broker, j.prefix, j.prefix, topics); err != nil {
		return nil, err
	}
	for i := range int32(partitions) {
		p := &part{index: map[string]int32{}}
		p.out = outlet{topic: topics[0], partition: i}
		p.outlets = append(p.outlets, &p.out)
		if w.state {
			p.log = outlet{topic: topics[1], partition: i}
			p.outlets = append(p.outlets, &p.log)
		}
		if w.order {
			p.order = outlet{topic: topics[2], partition: i}
			p.outlets = append(p.outlets, &p.order)
		}
		l.parts = append(l.parts, p)
	}
	return l, nil
}

// run runs until ctx ends.
func (l *loop) run(ctx context.Context) error {
	answers := make(chan *sarama.FetchResponse)
	failed := make(chan error, 1)
	go func() { failed <- l.fetch(ctx, answers) }()
	for {
		var err error
		select {
		case <-l.due.C:
			err = l.commit()
		default:
			select {
			case a := <-answers:
				err = l.take(a)
			case <-l.due.C:
				err = l.commit()
			case err = <-failed:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// fetch reads on and on, one answer ahead of who takes them.
func (l *loop) fetch(ctx context.Context, answers chan<- *sarama.FetchResponse) error {
	var next [partitions]int64
	wait := l.interval / 2
	if l.auto {
		wait = autoFetch
	}
	for ctx.Err() == nil {
		q := &sarama.FetchRequest{
			Version: 11, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: floorMinimum,
			MaxBytes: 16 << 20, Isolation: sarama.ReadCommitted, SessionEpoch: -1,
		}
		for p, offset := range next {
			q.AddBlock(l.input, int32(p), offset, floorFetch, -1)
		}
		a, err := l.fetcher.Fetch(q)
		if err != nil {
			return fmt.Errorf("bench: fetching: %w", err)
		}
		for p := range next {
			block := a.GetBlock(l.input, int32(p))
			if block == nil {
				continue
			}
			if block.Err != sarama.ErrNoError {
				return fmt.Errorf("bench: fetching %s-%d: %w", l.input, p, block.Err)
			}
			for _, set := range block.RecordsSet {
				if rb := set.RecordBatch; rb != nil && len(rb.Records) > 0 {
					next[p] = rb.LastOffset() + 1
				}
			}
		}
		select {
		case answers <- a:
		case <-ctx.Done():
		}
	}
	return nil
}

// take works off one answer.
func (l *loop) take(a *sarama.FetchResponse) error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	for i, p := range l.parts {
		block := a.GetBlock(l.input, int32(i))
		if block == nil {
			continue
		}
		for _, set := range block.RecordsSet {
			rb := set.RecordBatch
			if rb == nil {
				continue
			}
			first := rb.FirstTimestamp.UnixMilli()
			records := rb.Records
			for len(records) > 0 && rb.FirstOffset+records[0].OffsetDelta < p.next {
				records = records[1:] // an answer begins with the batch that has the offset
			}
			if len(records) == 0 {
				continue
			}
			if err := l.begin(); err != nil {
				return err
			}
			for _, r := range records {
				if err := l.handle(p, r, first+r.TimestampDelta.Milliseconds()); err != nil {
					return err
				}
			}
			p.next = rb.LastOffset() + 1
			l.meter.add(len(records))
		}
	}
	return l.send(false)
}

// handle applies one event, if it is the next one of its key.
func (l *loop) handle(p *part, r *sarama.Record, timestamp int64) error {
	if !l.what.state {
		p.out.add(r.Key, r.Value, timestamp)
		return nil
	}
	i, ok := p.index[string(r.Key)]
	if !ok {
		i = int32(len(p.totals))
		p.totals = append(p.totals, total{})
		p.index[string(r.Key)] = i
	}
	e, err := decodeEvent(r.Value)
	if err != nil {
		return err
	}
	t := &p.totals[i]
	if e.sequence != t.last+1 {
		return nil
	}
	*t = t.add(e)
	value := p.out.total(*t)
	p.out.add(r.Key, value, timestamp)
	p.log.add(r.Key, value, timestamp)
	if l.what.order {
		p.log.head(t.last)
		p.order.row(r.Key, t.last, timestamp)
	}
	return nil
}

// begin begins a transaction, unless one is open.
func (l *loop) begin() error {
	if l.open {
		return nil
	}
	l.open = true
	wait := l.interval
	if l.auto {
		wait = max(0, autoApart-time.Since(l.began))
	}
	l.due.Reset(wait)
	return l.txn.begin()
}

// send sends what the partitions that have a full batch have, or everything, in as few
// requests as there are batches of one partition.
func (l *loop) send(all bool) error {
	for more := true; more; {
		more = false
		q := &sarama.ProduceRequest{TransactionalID: &l.txn.id, RequiredAcks: sarama.WaitForAll, Timeout: 30_000, Version: 8}
		some := false
		for _, p := range l.parts {
			if !all && p.out.rest() < floorBatch && p.out.sent == 0 {
				continue // held, so that a request is worth its cost
			}
			for _, o := range p.outlets {
				if rb := o.next(l.txn); rb != nil {
					q.AddBatch(o.topic, o.partition, rb)
					some = true
				}
				more = more || o.rest() > 0
			}
		}
		if !some {
			break
		}
		l.flying.Add(1)
		if err := l.txn.writer.AsyncProduce(q, l.acknowledged); err != nil {
			return fmt.Errorf("bench: producing: %w", err)
		}
	}
	for _, p := range l.parts {
		for _, o := range p.outlets {
			o.reset()
		}
	}
	return nil
}

// acknowledged sees to the answer of a produce.
func (l *loop) acknowledged(a *sarama.ProduceResponse, err error) {
	if err = refusal(a, err); err != nil {
		l.failed.CompareAndSwap(nil, &err)
	}
	l.flying.Done()
}

// commit commits what was written, and the offsets.
func (l *loop) commit() error {
	l.began = time.Now()
	if err := l.send(true); err != nil {
		return err
	}
	l.flying.Wait()
	if err := l.failed.Load(); err != nil {
		return *err
	}
	offsets := make([]int64, len(l.parts))
	for i, p := range l.parts {
		offsets[i] = p.next
	}
	l.open = false
	return l.txn.commit(l.input, offsets)
}
