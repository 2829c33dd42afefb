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

// indefiniteCases are about requests whose answer never comes.
func indefiniteCases() []kase {
	var cases []kase
	for _, req := range []Request{AddPartitions, Produce, AddOffsets, TxnOffsetCommit, EndTxn} {
		for _, o := range []struct {
			outcome Outcome
			late    bool // LostLater only: handled after the next Init instead of before
			name    string
		}{
			{LostNever, false, "NeverApplied"},
			{LostApplied, false, "Applied"},
			{LostLater, false, "AppliedBeforeInit"},
			{LostLater, true, "AppliedAfterInit"},
		} {
			needs := []Feature{InjectLost}
			if o.outcome == LostLater {
				needs = append(needs, InjectLostLater)
			}
			// Only a commit that the broker handled in time decides for the transaction.
			committed := req == EndTxn && o.outcome != LostNever && !o.late
			what := "did not commit"
			if committed {
				what = "committed"
			}
			cases = append(cases, kase{
				name:  fmt.Sprintf("indefinite/%s/%s", strings.TrimSuffix(req.String(), "ToTxn"), o.name),
				rule:  fmt.Sprintf("%s %s: ErrIndefinite; then Init and Committed(stable) tell that it %s", req, o.outcome, what),
				needs: needs,
				run:   func(x *bench) { indefinite(x, req, o.outcome, o.late, committed) },
			})
		}
	}
	for _, req := range []Request{AddPartitions, Produce, AddOffsets, TxnOffsetCommit, EndTxn} {
		cases = append(cases, kase{
			name:  fmt.Sprintf("indefinite/%s/Once", strings.TrimSuffix(req.String(), "ToTxn")),
			rule:  "one answer to EndTxn, or to TxnOffsetCommit that was not handled, is lost: ErrIndefinite, since a second one may be handled in a later transaction; one to another request: that, or it is sent again",
			needs: []Feature{InjectLost}, run: func(x *bench) { lostOnce(x, req) },
		})
	}
	return append(cases, kase{
		name:  "indefinite/InitProducerId",
		rule:  "a lost answer of InitProducerId is sent again or ErrIndefinite; either way the next Init works",
		needs: []Feature{InjectLost}, run: indefiniteInit,
	})
}

// transaction runs a whole transaction up to its first error.
func (x *bench) transaction(p kafka.Producer, tp, source record.TopicPartition, value string, offset int64) error {
	if err := p.Begin(); err != nil {
		return err
	}
	if err := p.Produce(x.ctx, p.Encode([]record.Output{out(tp, value)})); err != nil {
		return err
	}
	if _, err := p.Flush(x.ctx); err != nil {
		return err
	}
	if err := p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: source, Offset: offset, Metadata: value}}); err != nil {
		return err
	}
	return p.End(x.ctx, true)
}

func indefinite(x *bench, req Request, outcome Outcome, late, committed bool) {
	tp, source := x.partition(), x.partition()
	p := x.open(kafka.ProducerOptions{TransactionalID: "writer", TransactionTimeout: time.Minute, RequestTimeout: time.Second})
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	x.must("the transaction before", x.transaction(p, tp, source, "before", 1))
	x.stable(x.group, source) // its markers have landed, so that no request is refused for them

	remove := x.h.Inject(Fault{Request: req, Outcome: outcome, Times: Always})
	start := time.Now()
	err = x.transaction(p, tp, source, "lost", 2)
	if !errors.Is(err, kafka.ErrIndefinite) {
		x.broken("got: %v", err)
	}
	if took := time.Since(start); took > time.Second+prompt {
		x.broken("it took %v with a RequestTimeout of 1s", took)
	}
	if !late {
		remove()
	}
	_, err = p.Init(x.ctx) // it sends none of the requests that the fault would lose
	if late {
		remove()
	}
	if err != nil {
		x.broken("Init after it: %v", err)
	}
	want, wantOffset := []string{"before"}, int64(1)
	if committed {
		want, wantOffset = []string{"before", "lost"}, 2
	}
	if got := x.stable(x.group, source); got.Offset != wantOffset || got.Metadata != want[len(want)-1] {
		x.broken("Committed(stable) is %+v, want offset %d", got, wantOffset)
	}
	if got := values(x.committed(tp)); !slices.Equal(got, want) {
		x.broken("the offsets say %d, but the partition has %q", wantOffset, got)
	}
	if err := x.transaction(p, tp, source, "after", 3); err != nil {
		x.broken("the transaction after it: %v", err)
	}
	if got := x.stable(x.group, source); got.Offset != 3 {
		x.broken("after the next transaction Committed(stable) is %+v", got)
	}
	if got, want := values(x.committed(tp)), append(want, "after"); !slices.Equal(got, want) {
		x.broken("in the end the partition has %q, want %q", got, want)
	}
}

// lostOnce loses one answer, and looks whether the transaction is what the producer says.
func lostOnce(x *bench, req Request) {
	tp, source := x.partition(), x.partition()
	var want []string
	for i, outcome := range []Outcome{LostNever, LostApplied} {
		p := x.open(kafka.ProducerOptions{TransactionalID: "writer", TransactionTimeout: time.Minute, RequestTimeout: time.Second})
		_, err := p.Init(x.ctx)
		x.must("Init", err)
		remove := x.h.Inject(Fault{Request: req, Outcome: outcome, Times: 1})
		err = x.transaction(p, tp, source, outcome.String(), int64(i+1))
		remove()
		again := req != EndTxn && (req != TxnOffsetCommit || outcome == LostApplied)
		if !errors.Is(err, kafka.ErrIndefinite) && (err != nil || !again) {
			x.broken("%s: %v", outcome, err)
		}
		_, initErr := p.Init(x.ctx)
		x.must("Init", initErr)
		if err == nil || req == EndTxn && outcome == LostApplied {
			want = append(want, outcome.String())
		}
		if got := values(x.committed(tp)); !slices.Equal(got, want) {
			x.broken("%s: %v; the partition has %q, want %q", outcome, err, got, want)
		}
	}
}

func indefiniteInit(x *bench) {
	tp, source := x.partition(), x.partition()
	for _, outcome := range []Outcome{LostNever, LostApplied} {
		p := x.open(kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: time.Second})
		remove := x.h.Inject(Fault{Request: InitProducerID, Outcome: outcome, Times: 1})
		if _, err := p.Init(x.ctx); err != nil && !errors.Is(err, kafka.ErrIndefinite) {
			x.broken("%s: %v", outcome, err)
		}
		remove()
		if _, err := p.Init(x.ctx); err != nil {
			x.broken("Init after one that was %s: %v", outcome, err)
		}
		if err := x.transaction(p, tp, source, "x", 1); err != nil {
			x.broken("transaction after an Init that was %s: %v", outcome, err)
		}
	}
}
