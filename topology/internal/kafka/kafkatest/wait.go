package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// waitCases are about answers that pass, and what other answers mean.
func waitCases() []kase {
	return []kase{
		{name: "answers/WaitedFor", rule: "answers 14, 15, 16, 51 and 88 are waited for inside", needs: []Feature{InjectCodes}, run: waitedFor},
		{name: "answers/WaitEndsWithContext", rule: "waiting for an answer to pass ends with the context, with the context's error", needs: []Feature{InjectCodes}, run: waitEnds},
		{name: "answers/Mapped", rule: "what the broker answers is the error of the seam that callers branch on", needs: []Feature{InjectCodes}, run: mapped},
	}
}

func waitedFor(x *bench) {
	tp, source := x.partition(), x.partition()
	p := x.open(kafka.ProducerOptions{TransactionalID: "writer", TransactionTimeout: time.Minute})
	done := int64(0)
	for _, f := range []struct {
		req   Request
		codes []int16
	}{
		{InitProducerID, []int16{14, 15, 16, 51}},
		{AddPartitions, []int16{14, 15, 16, 51}},
		{AddOffsets, []int16{14, 15, 16, 51}},
		{TxnOffsetCommit, []int16{14, 15, 16}},
		{EndTxn, []int16{14, 15, 16, 51}},
		{OffsetFetch, []int16{14, 16, 88}},
		{Produce, []int16{6}}, // the leader has moved
		{Fetch, []int16{6}},
	} {
		for _, code := range f.codes {
			remove := x.h.Inject(Fault{Request: f.req, Code: code, Times: 3})
			what := fmt.Sprintf("%s answered %d three times", f.req, code)
			if _, err := p.Init(x.ctx); err != nil {
				x.broken("%s: Init: %v", what, err)
			}
			done++
			if err := x.transaction(p, tp, source, fmt.Sprint(done), done); err != nil {
				x.broken("%s: %v", what, err)
			}
			if got, err := x.offset(x.ctx, x.group, source, true); err != nil || got.Offset != done {
				x.broken("%s: committed offset %+v, %v; want %d", what, got, err, done)
			}
			got := x.committed(tp)
			if int64(len(got)) != done || string(got[done-1].Value) != fmt.Sprint(done) {
				x.broken("%s: the partition has %q, want %d records, each once", what, values(got), done)
			}
			remove()
		}
	}
}

func waitEnds(x *bench) {
	tp, source := x.partition(), x.partition()
	offsets := []kafka.CommittedOffset{{TopicPartition: source, Offset: 1}}
	for _, f := range []struct {
		req  Request
		code int16
		call func(ctx context.Context, p kafka.Producer) error
	}{
		{InitProducerID, 51, func(ctx context.Context, p kafka.Producer) error { _, err := p.Init(ctx); return err }},
		{AddPartitions, 51, func(ctx context.Context, p kafka.Producer) error {
			err := p.Produce(ctx, p.Encode([]record.Output{out(tp, "x")}))
			if err == nil {
				_, err = p.Flush(ctx)
			}
			return err
		}},
		{TxnOffsetCommit, 14, func(ctx context.Context, p kafka.Producer) error {
			return p.SendOffsets(ctx, x.group, nobody, offsets)
		}},
		{EndTxn, 51, func(ctx context.Context, p kafka.Producer) error {
			if err := p.Produce(x.ctx, p.Encode([]record.Output{out(tp, "x")})); err != nil {
				return err
			}
			if _, err := p.Flush(x.ctx); err != nil {
				return err
			}
			return p.End(ctx, true)
		}},
		{OffsetFetch, 88, func(ctx context.Context, _ kafka.Producer) error {
			_, err := x.offset(ctx, x.group, source, true)
			return err
		}},
	} {
		p := x.producer(x.name("writer"))
		x.must("Begin", p.Begin())
		remove := x.h.Inject(Fault{Request: f.req, Code: f.code, Times: Always})
		x.within(300*time.Millisecond, f.req.String(), func(ctx context.Context) {
			if err := f.call(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
				x.broken("%s answered %d always: %v", f.req, f.code, err)
			}
		})
		remove()
		if _, err := p.Init(x.ctx); err != nil {
			x.broken("Init after it: %v", err)
		}
	}
}

func mapped(x *bench) {
	tp, source := x.partition(), x.partition()
	for _, f := range []struct {
		req  Request
		code int16
		want error
	}{
		{InitProducerID, -1, kafka.ErrIndefinite}, // the broker failed, somewhere
		{AddPartitions, -1, kafka.ErrIndefinite},
		{Produce, -1, kafka.ErrIndefinite},
		{AddOffsets, -1, kafka.ErrIndefinite},
		{TxnOffsetCommit, -1, kafka.ErrIndefinite},
		{TxnOffsetCommit, 7, kafka.ErrIndefinite},
		{EndTxn, -1, kafka.ErrIndefinite},
		{EndTxn, 7, kafka.ErrIndefinite},
		{InitProducerID, 53, kafka.ErrNotAuthorized},
		{AddPartitions, 90, kafka.ErrFenced},
		{AddPartitions, 47, kafka.ErrFenced},
		{AddPartitions, 29, kafka.ErrNotAuthorized},
		{Produce, 47, kafka.ErrFenced},
		{Produce, 48, kafka.ErrFenced},
		{Produce, 90, kafka.ErrFenced},
		{Produce, 10, kafka.ErrTooLarge},
		{AddOffsets, 90, kafka.ErrFenced},
		{AddOffsets, 30, kafka.ErrNotAuthorized},
		{TxnOffsetCommit, 22, kafka.ErrIllegalGeneration},
		{TxnOffsetCommit, 25, kafka.ErrUnknownMember},
		{TxnOffsetCommit, 82, kafka.ErrUnknownMember}, // another has taken its static place
		{TxnOffsetCommit, 47, kafka.ErrFenced},
		{TxnOffsetCommit, 90, kafka.ErrFenced},
		{EndTxn, 47, kafka.ErrFenced},
		{EndTxn, 90, kafka.ErrFenced},
		{EndTxn, 48, kafka.ErrAborted},
	} {
		p := x.open(kafka.ProducerOptions{TransactionalID: x.name("writer")})
		remove := x.h.Inject(Fault{Request: f.req, Code: f.code, Times: 1})
		_, err := p.Init(x.ctx)
		if err == nil {
			err = x.transaction(p, tp, source, "x", 1)
		}
		if !errors.Is(err, f.want) {
			x.broken("%s answered %d: %v, want %v", f.req, f.code, err, f.want)
		}
		for _, other := range []error{kafka.ErrFenced, kafka.ErrIndefinite, kafka.ErrAborted, kafka.ErrIllegalGeneration, kafka.ErrUnknownMember} {
			if !errors.Is(f.want, other) && errors.Is(err, other) {
				x.broken("%s answered %d: %v is %v too", f.req, f.code, err, other)
			}
		}
		remove()
		if _, err := p.Init(x.ctx); err != nil {
			x.broken("Init after %s answered %d: %v", f.req, f.code, err)
		}
	}
}
