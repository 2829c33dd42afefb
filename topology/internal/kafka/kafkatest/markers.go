package kafkatest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// markerCases are about the time between the answer of EndTxn and its markers.
func markerCases() []kase {
	return []kase{
		{name: "markers/Late", rule: "until its markers have landed nothing of a committed transaction is seen, and a stable read waits", needs: []Feature{HoldMarkers}, run: lateMarkers},
		{name: "markers/NextTransactionWaits", rule: "the next transaction waits for the markers of the last inside, until its context ends", needs: []Feature{HoldMarkers}, run: nextTransactionWaits},
		{name: "markers/InitWaits", rule: "Init waits for the markers of the last transaction, and does not undo its commit", needs: []Feature{HoldMarkers}, run: initWaits},
	}
}

func lateMarkers(x *bench) {
	tp, source := x.partition(), x.partition()
	p := x.producer("writer")
	x.must("the transaction before", x.transaction(p, tp, source, "before", 1))
	x.stable(x.group, source)
	end := x.settled(tp)

	release := x.h.HoldMarkers()
	x.must("the transaction", x.transaction(p, tp, source, "late", 2))
	if got, want := x.marks(tp), (kafka.Marks{HighWater: end + 1, LastStable: end}); got != want {
		x.broken("marks %+v, want %+v", got, want)
	}
	answer, err := x.fetcher(kafka.FetchOptions{}).Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: end}})
	x.must("Fetch", err)
	for _, got := range answer {
		if len(got.Records) != 0 || got.Next != end {
			x.broken("a committed reader got %+v", got)
		}
	}
	if got, err := x.offset(x.ctx, x.group, source, false); err != nil || got.Offset != 1 {
		x.broken("not stable: %+v, %v", got, err)
	}
	x.within(100*time.Millisecond, "Committed", func(ctx context.Context) {
		if got, err := x.offset(ctx, x.group, source, true); !errors.Is(err, context.DeadlineExceeded) {
			x.broken("stable: %+v, %v", got, err)
		}
	})
	release()
	if got := x.stable(x.group, source); got.Offset != 2 || got.Metadata != "late" {
		x.broken("when they have landed: %+v", got)
	}
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"before", "late"}) {
		x.broken("when they have landed: %q", got)
	}
}

func nextTransactionWaits(x *bench) {
	tp, source := x.partition(), x.partition()
	p := x.producer("writer")
	release := x.h.HoldMarkers()
	x.must("the transaction", x.transaction(p, tp, source, "0", 1))
	x.must("Begin", p.Begin())
	x.within(100*time.Millisecond, "Produce", func(ctx context.Context) {
		err := p.Produce(ctx, p.Encode([]record.Output{out(tp, "too early")}))
		if err == nil {
			_, err = p.Flush(ctx)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			x.broken("got: %v", err)
		}
	})
	release()
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	if err := x.transaction(p, tp, source, "1", 2); err != nil {
		x.broken("when they have landed: %v", err)
	}
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"0", "1"}) {
		x.broken("the partition has %q", got)
	}
}

func initWaits(x *bench) {
	tp, source := x.partition(), x.partition()
	p := x.producer("writer")
	release := x.h.HoldMarkers()
	x.must("the transaction", x.transaction(p, tp, source, "kept", 1))
	newer := x.open(kafka.ProducerOptions{TransactionalID: "writer"})
	x.within(100*time.Millisecond, "Init", func(ctx context.Context) {
		if id, err := newer.Init(ctx); !errors.Is(err, context.DeadlineExceeded) {
			x.broken("Init returned %+v, %v", id, err)
		}
	})
	release()
	_, err := newer.Init(x.ctx)
	x.must("Init when they have landed", err)
	if got := x.stable(x.group, source); got.Offset != 1 {
		x.broken("committed offset %+v", got)
	}
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"kept"}) {
		x.broken("the partition has %q", got)
	}
}
