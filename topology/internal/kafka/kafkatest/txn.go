package kafkatest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
		{name: "txn/Opened", rule: "a transaction that was opened has what the last one wrote to, and no records of its own until they are produced", run: opened},
		{name: "txn/EncodedAhead", rule: "outputs are encoded while another transaction is under way, as far as the caller likes; produced later, under a new epoch too, they come in their order, and what is never produced never comes", run: encodedAhead},
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
	if p.Produce(x.ctx, p.Encode([]record.Output{out(tp, "0")})) == nil {
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

func encodedAhead(x *bench) {
	const partitions, each, large = 4, 5000, 70_000
	topic := x.topic(partitions)
	p := x.producer("writer")
	n := 0
	var want [partitions][]string
	outputs := func(keep bool) (all [][]record.Output) {
		for first := range int32(2) { // each slice has two partitions of its own
			var some []record.Output
			for range each {
				tp := record.TopicPartition{Topic: topic, Partition: first + int32(n*7%5%2)*2}
				value := fmt.Sprint(n)
				if n%500 == 0 { // some batches are full of bytes, not of records
					value += strings.Repeat("x", large)
				}
				if some = append(some, out(tp, value)); keep {
					want[tp.Partition] = append(want[tp.Partition], value)
				}
				n++
			}
			all = append(all, some)
		}
		return all
	}
	const rounds, aborted, initialised = 6, 1, 3
	e := p.Encode(outputs(true)...)
	for round := range rounds {
		x.must("Begin", p.Begin())
		x.must("Produce", p.Produce(x.ctx, e))
		next, dropped := outputs(round+1 != aborted), outputs(false)
		done := make(chan kafka.Encoding)
		go func() {
			p.Encode(dropped...).More()
			e := p.Encode(next...)
			for range round {
				e.More()
			}
			done <- e
		}()
		_, err := p.Flush(x.ctx)
		x.must("Flush", err)
		x.must("End", p.End(x.ctx, round != aborted))
		e = <-done
		if round == initialised {
			_, err := p.Init(x.ctx)
			x.must("Init", err)
		}
	}
	x.must("Begin", p.Begin())
	x.must("Produce", p.Produce(x.ctx, e))
	_, err := p.Flush(x.ctx)
	x.must("Flush", err)
	x.must("End", p.End(x.ctx, true))
	for part := range int32(partitions) {
		got := values(x.committed(record.TopicPartition{Topic: topic, Partition: part}))
		if !slices.Equal(got, want[part]) {
			first := 0
			for first < min(len(got), len(want[part])) && got[first] == want[part][first] {
				first++
			}
			x.broken("partition %d has %d records, want %d; they differ from %d on", part, len(got), len(want[part]), first)
		}
	}
}

func opened(x *bench) {
	one, other, source := x.partition(), x.partition(), x.partition()
	p := x.producer("writer")
	if p.Open(x.ctx) == nil {
		x.broken("Open outside a transaction is nil")
	}
	commit := func(offset int64, outputs ...record.Output) {
		x.must("Begin", p.Begin())
		x.must("Open", p.Open(x.ctx))
		x.must("Produce", p.Produce(x.ctx, p.Encode(outputs)))
		acked, err := p.Flush(x.ctx)
		x.must("Flush", err)
		if len(acked) != len(outputs) {
			x.broken("%d partitions are acknowledged, %d were produced to", len(acked), len(outputs))
		}
		x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: source, Offset: offset}}))
		x.must("End", p.End(x.ctx, true))
	}
	commit(1, out(one, "0"))
	commit(2, out(one, "1"), out(other, "0"))
	commit(3, out(other, "1")) // opened with both
	for _, tp := range []record.TopicPartition{one, other} {
		if got := values(x.committed(tp)); !slices.Equal(got, []string{"0", "1"}) {
			x.broken("%v has %q", tp, got)
		}
	}
	for _, commit := range []bool{true, false} {
		x.must("Begin", p.Begin())
		x.must("Open", p.Open(x.ctx))
		if commit { // with nothing in it
			_, err := p.Flush(x.ctx)
			x.must("Flush", err)
		}
		x.must("End", p.End(x.ctx, commit))
	}
	if got := x.stable(x.group, source); got.Offset != 3 {
		x.broken("committed offset %d, want 3", got.Offset)
	}
	_, err := p.Init(x.ctx) // when all markers have landed
	x.must("Init", err)
	// The last transaction of three was opened with one, which it did not write to; the
	// one after it with other alone, and the last one of all with nothing.
	for _, tp := range []record.TopicPartition{one, other} {
		if end := x.settled(tp); end != 5 {
			x.broken("%v: two records and three markers, but the end is %d", tp, end)
		}
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
