package kafkatest

import (
	"errors"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// txnCases are about transactions where nothing goes wrong, and their misuse.
func txnCases() []kase {
	return []kase{
		{name: "txn/Atomic", rule: "a transaction over partitions, topics and offsets is seen whole or not at all", run: atomic},
		{name: "txn/Empty", rule: "a transaction with nothing in it ends, committed or aborted", run: emptyTransaction},
		{name: "txn/OrderOfCalls", rule: "Begin before Init, Begin twice, and Produce or End outside a transaction are errors", run: orderOfCalls},
		{name: "txn/BackToBack", rule: "transactions follow each other without a pause of the caller", run: backToBack},
		{name: "txn/TimedOut", rule: "a transaction older than its timeout is aborted by the broker; its End says ErrFenced or ErrAborted, and Init mends it", run: timedOut},
	}
}

func atomic(x *bench) {
	one, two := x.topic(2), x.topic(2)
	parts := []record.TopicPartition{{Topic: one}, {Topic: one, Partition: 1}, {Topic: two, Partition: 1}}
	source := x.partition()
	p := x.producer("writer")
	outputs := func(v string) (o []record.Output) {
		for _, tp := range parts {
			o = append(o, out(tp, v))
		}
		return o
	}
	for _, round := range []struct {
		value  string
		offset int64
		commit bool
	}{{"aborted", 5, false}, {"first", 10, true}, {"aborted", 15, false}, {"second", 20, true}} {
		x.begin(p, outputs(round.value)...)
		x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: source, Offset: round.offset}}))
		x.must("End", p.End(x.ctx, round.commit))
	}
	for _, tp := range parts {
		if got, want := values(x.committed(tp)), []string{"first", "second"}; !slices.Equal(got, want) {
			x.broken("%v has %v, want %v", tp, got, want)
		}
	}
	if got := x.stable(x.group, source); got.Offset != 20 {
		x.broken("committed offset %d, want 20", got.Offset)
	}
	if end := x.settled(record.TopicPartition{Topic: two}); end != 0 {
		x.broken("a partition that was not produced to ends at %d", end)
	}
}

func emptyTransaction(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	for _, commit := range []bool{true, false, true} {
		x.must("Begin", p.Begin())
		if _, err := p.Flush(x.ctx); err != nil {
			x.broken("Flush: %v", err)
		}
		if err := p.End(x.ctx, commit); err != nil {
			x.broken("End(%v): %v", commit, err)
		}
	}
	x.commit(p, out(tp, "0"))
	if got := x.committed(tp); len(got) != 1 {
		x.broken("the transaction after them has %d records", len(got))
	}
}

func orderOfCalls(x *bench) {
	tp := x.partition()
	p := x.open(kafka.ProducerOptions{TransactionalID: "writer"})
	if p.Begin() == nil {
		x.broken("Begin before Init is nil")
	}
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	if p.Produce(x.ctx, []record.Output{out(tp, "0")}) == nil {
		x.broken("Produce outside a transaction is nil")
	}
	if p.End(x.ctx, true) == nil {
		x.broken("End outside a transaction is nil")
	}
	x.must("Begin", p.Begin())
	if p.Begin() == nil {
		x.broken("Begin inside a transaction is nil")
	}
	x.must("End", p.End(x.ctx, true))
	if end := x.settled(tp); end != 0 {
		x.broken("something was produced outside a transaction: the end is %d", end)
	}
	if p, err := x.cluster.Producer(kafka.ProducerOptions{}); err == nil {
		p.Close()
		x.broken("a producer without transactional id was opened")
	}
}

func backToBack(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	const n = 20
	for range n {
		x.commit(p, out(tp, "x"))
	}
	if got := x.committed(tp); len(got) != n {
		x.broken("%d records of %d transactions", len(got), n)
	}
}

func timedOut(x *bench) {
	tp := x.partition()
	p := x.open(kafka.ProducerOptions{TransactionalID: "writer", TransactionTimeout: time.Second})
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	x.begin(p, out(tp, "gone"))
	if end := x.settled(tp); end != 2 {
		x.broken("one record and one marker, but the end is %d", end)
	}
	err = p.End(x.ctx, true)
	if !errors.Is(err, kafka.ErrFenced) && !errors.Is(err, kafka.ErrAborted) {
		x.broken("End(commit) of a transaction that the broker aborted: %v", err)
	}
	_, err = p.Init(x.ctx)
	if err != nil {
		x.broken("Init after it: %v", err)
	}
	x.commit(p, out(tp, "kept"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"kept"}) {
		x.broken("the partition has %q", got)
	}
}
