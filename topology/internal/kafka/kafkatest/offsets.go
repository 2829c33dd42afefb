package kafkatest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// nobody is the member of a group that has no members.
var nobody = kafka.Member{Generation: -1}

// offsetCases are about committed offsets.
func offsetCases() []kase {
	return []kase{
		{name: "offsets/None", rule: "a partition without a committed offset has offset -1, also in a group that nobody knows", run: noOffsets},
		{name: "offsets/Metadata", rule: "offset metadata of up to 4 KiB comes back as it was sent", run: offsetMetadata},
		{name: "offsets/Alone", rule: "a transaction with offsets only commits them", run: offsetsAlone},
		{name: "offsets/Pending", rule: "pending offsets are not seen; a stable read of them waits until the transaction is decided", run: offsetsPending},
		{name: "offsets/Aborted", rule: "offsets of an aborted transaction are gone", run: offsetsAborted},
		{name: "offsets/Cancelled", rule: "a stable read that waits returns at once when its context ends, with the context's error", run: stableCancelled},
	}
}

// offset reads the committed offset of one partition.
func (x *bench) offset(ctx context.Context, group string, tp record.TopicPartition, stable bool) (kafka.CommittedOffset, error) {
	got, err := x.adm().Committed(ctx, group, []record.TopicPartition{tp}, stable)
	if err == nil && (len(got) != 1 || got[tp].TopicPartition != tp) {
		x.broken("Committed of %v answered %+v", tp, got)
	}
	return got[tp], err
}

// stable reads the committed offset of one partition when nothing is pending.
func (x *bench) stable(group string, tp record.TopicPartition) kafka.CommittedOffset {
	x.Helper()
	got, err := x.offset(x.ctx, group, tp, true)
	x.must("Committed(stable)", err)
	return got
}

// sendOffset commits or aborts an offset in a transaction of its own.
func (x *bench) sendOffset(p kafka.Producer, tp record.TopicPartition, offset int64, metadata string, commit bool) {
	x.Helper()
	x.must("Begin", p.Begin())
	x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: offset, Metadata: metadata}}))
	x.must("End", p.End(x.ctx, commit))
}

func noOffsets(x *bench) {
	tp, other := x.partition(), x.partition()
	for _, stable := range []bool{false, true} {
		if got, err := x.offset(x.ctx, x.name("nobody-knows"), tp, stable); err != nil || got.Offset != -1 {
			x.broken("unknown group, stable %v: %+v, %v", stable, got, err)
		}
	}
	x.sendOffset(x.producer("writer"), other, 3, "", true)
	if got := x.stable(x.group, tp); got.Offset != -1 {
		x.broken("known group, partition without offset: %+v", got)
	}
	both, err := x.adm().Committed(x.ctx, x.group, []record.TopicPartition{tp, other}, true)
	if err != nil || len(both) != 2 || both[tp].Offset != -1 || both[other].Offset != 3 {
		x.broken("both: %+v, %v", both, err)
	}
}

func offsetMetadata(x *bench) {
	topic := x.topic(3)
	p := x.producer("writer")
	metadata := []string{"", "v1 commit 7 writer 12/0", strings.Repeat("0123456789abcdef", 256)}
	var offsets []kafka.CommittedOffset
	var parts []record.TopicPartition
	for i, m := range metadata {
		tp := record.TopicPartition{Topic: topic, Partition: int32(i)}
		parts = append(parts, tp)
		offsets = append(offsets, kafka.CommittedOffset{TopicPartition: tp, Offset: int64(100 + i), Metadata: m})
	}
	x.must("Begin", p.Begin())
	x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, offsets))
	x.must("End", p.End(x.ctx, true))
	got, err := x.adm().Committed(x.ctx, x.group, parts, true)
	x.must("Committed", err)
	for _, want := range offsets {
		if got[want.TopicPartition] != want {
			x.broken("got %+v, want %+v", got[want.TopicPartition], want)
		}
	}
	// A later commit replaces offset and metadata together.
	x.sendOffset(p, parts[1], 500, "later", true)
	if got := x.stable(x.group, parts[1]); got.Offset != 500 || got.Metadata != "later" {
		x.broken("after a later commit: %+v", got)
	}
}

func offsetsAlone(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	for n := range int64(5) {
		x.sendOffset(p, tp, n, "", true)
		if got := x.stable(x.group, tp); got.Offset != n {
			x.broken("got %d, want %d", got.Offset, n)
		}
	}
}

func offsetsPending(x *bench) {
	tp, apart := x.partition(), x.partition()
	p := x.producer("writer")
	x.sendOffset(p, tp, 10, "old", true)
	x.sendOffset(p, apart, 1, "", true)
	x.stable(x.group, apart)
	x.must("Begin", p.Begin())
	x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: 20, Metadata: "new"}}))
	if got, err := x.offset(x.ctx, x.group, tp, false); err != nil || got.Offset != 10 || got.Metadata != "old" {
		x.broken("while pending, not stable: %+v, %v", got, err)
	}
	type result struct {
		got kafka.CommittedOffset
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := x.offset(x.ctx, x.group, tp, true)
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		x.broken("a stable read answered while the offset was pending: %+v, %v", r.got, r.err)
	case <-time.After(100 * time.Millisecond):
	}
	x.must("End", p.End(x.ctx, true))
	select {
	case r := <-done:
		if r.err != nil || r.got.Offset != 20 || r.got.Metadata != "new" {
			x.broken("the stable read answered %+v, %v", r.got, r.err)
		}
	case <-time.After(caseDeadline / 2):
		x.broken("the stable read did not answer after the commit")
	}
}

func offsetsAborted(x *bench) {
	tp, fresh := x.partition(), x.partition()
	p := x.producer("writer")
	x.sendOffset(p, tp, 10, "kept", true)
	x.sendOffset(p, tp, 20, "gone", false)
	x.sendOffset(p, fresh, 20, "gone", false)
	if got := x.stable(x.group, tp); got.Offset != 10 || got.Metadata != "kept" {
		x.broken("got %+v", got)
	}
	if got := x.stable(x.group, fresh); got.Offset != -1 {
		x.broken("never committed: %+v", got)
	}
}

func stableCancelled(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.sendOffset(p, tp, 10, "", true)
	x.stable(x.group, tp)
	x.must("Begin", p.Begin())
	x.must("SendOffsets", p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: 20}}))
	x.within(200*time.Millisecond, "Committed", func(ctx context.Context) {
		if got, err := x.offset(ctx, x.group, tp, true); !errors.Is(err, context.DeadlineExceeded) {
			x.broken("answered %+v, %v", got, err)
		}
	})
	x.must("End", p.End(x.ctx, false))
}
