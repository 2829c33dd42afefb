package kafkatest

import (
	"errors"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// fencingCases are about producers that a newer one has replaced.
func fencingCases() []kase {
	return []kase{
		{name: "fencing/Produce", rule: "Produce of a fenced producer is ErrFenced", run: func(x *bench) {
			fenced(x, func(p kafka.Producer, tp record.TopicPartition) error {
				err := p.Produce(x.ctx, p.Encode([]record.Output{out(tp, "zombie")}))
				if err == nil {
					_, err = p.Flush(x.ctx)
				}
				return err
			})
		}},
		{name: "fencing/ProduceElsewhere", rule: "Produce of a fenced producer to a new partition is ErrFenced", run: func(x *bench) {
			other := x.partition()
			fenced(x, func(p kafka.Producer, _ record.TopicPartition) error {
				err := p.Produce(x.ctx, p.Encode([]record.Output{out(other, "zombie")}))
				if err == nil {
					_, err = p.Flush(x.ctx)
				}
				return err
			})
			if end := x.settled(other); end != 0 {
				x.broken("the fenced producer's record is in the log")
			}
		}},
		{name: "fencing/SendOffsets", rule: "SendOffsets of a fenced producer is ErrFenced", run: func(x *bench) {
			fenced(x, func(p kafka.Producer, tp record.TopicPartition) error {
				return p.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: 99}})
			})
		}},
		{name: "fencing/Commit", rule: "End(commit) of a fenced producer is ErrFenced", run: func(x *bench) {
			fenced(x, func(p kafka.Producer, _ record.TopicPartition) error { return p.End(x.ctx, true) })
		}},
		{name: "fencing/Abort", rule: "End(abort) of a fenced producer is ErrFenced", run: func(x *bench) {
			fenced(x, func(p kafka.Producer, _ record.TopicPartition) error { return p.End(x.ctx, false) })
		}},
		{name: "fencing/BetweenTransactions", rule: "a producer fenced between its transactions learns it at its next Produce", run: fencedBetween},
		{name: "fencing/OwnInit", rule: "Init aborts the transaction that is open, returns another epoch, and the producer works on", run: ownInit},
		{name: "fencing/OthersUntouched", rule: "Init fences its own transactional id only", run: othersUntouched},
	}
}

// fenced has a producer with an open transaction fenced, and checks what act
// says then, and that only the newer producer's work remains.
func fenced(x *bench, act func(p kafka.Producer, tp record.TopicPartition) error) {
	x.Helper()
	tp := x.partition()
	old := x.producer("writer")
	x.begin(old, out(tp, "open"))
	x.must("SendOffsets", old.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: 98}}))
	newer := x.producer("writer")
	if got := x.stable(x.group, tp); got.Offset != -1 {
		x.broken("offsets of the transaction that Init aborted: %+v", got)
	}
	if err := act(old, tp); !errors.Is(err, kafka.ErrFenced) {
		x.broken("got: %v", err)
	}
	x.begin(newer, out(tp, "newer"))
	x.must("SendOffsets of the newer", newer.SendOffsets(x.ctx, x.group, nobody, []kafka.CommittedOffset{{TopicPartition: tp, Offset: 7}}))
	x.must("End of the newer", newer.End(x.ctx, true))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"newer"}) {
		x.broken("the partition has %q, want the newer producer's record alone", got)
	}
	if got := x.stable(x.group, tp); got.Offset != 7 {
		x.broken("committed offset %+v, want the newer producer's 7", got)
	}
}

func fencedBetween(x *bench) {
	tp := x.partition()
	old := x.producer("writer")
	x.commit(old, out(tp, "old"))
	newer := x.producer("writer")
	x.must("Begin", old.Begin())
	err := old.Produce(x.ctx, old.Encode([]record.Output{out(tp, "zombie")}))
	if err == nil {
		_, err = old.Flush(x.ctx)
	}
	if !errors.Is(err, kafka.ErrFenced) {
		x.broken("got: %v", err)
	}
	x.commit(newer, out(tp, "newer"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"old", "newer"}) {
		x.broken("the partition has %q", got)
	}
}

func ownInit(x *bench) {
	tp := x.partition()
	p := x.open(kafka.ProducerOptions{TransactionalID: "writer"})
	seen := map[kafka.ProducerID]bool{}
	for round := range 4 {
		id, err := p.Init(x.ctx)
		x.must("Init", err)
		if seen[id] || id.ID < 0 || id.Epoch < 0 {
			x.broken("Init %d returned %+v, seen before: %v", round, id, seen)
		}
		seen[id] = true
		if round%2 == 0 {
			x.begin(p, out(tp, "left open"))
		} else {
			x.commit(p, out(tp, "kept"))
		}
	}
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"kept", "kept"}) {
		x.broken("the partition has %q", got)
	}
}

func othersUntouched(x *bench) {
	tp := x.partition()
	a := x.producer("a")
	x.begin(a, out(tp, "a"))
	x.producer("b")
	if err := a.End(x.ctx, true); err != nil {
		x.broken("End of a after Init of b: %v", err)
	}
	if got := x.committed(tp); len(got) != 1 {
		x.broken("%d records", len(got))
	}
}
