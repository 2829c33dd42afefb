package wire

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// offsetsAt sends one offset in the transaction that is open.
func offsetsAt(ctx context.Context, p kafka.Producer, tp record.TopicPartition, offset int64) error {
	return p.SendOffsets(ctx, "g", kafka.Member{Generation: -1}, []kafka.CommittedOffset{{TopicPartition: tp, Offset: offset}})
}

// tapped is a broker whose tap sees every TxnOffsetCommit of the producer "writer" from
// when it is armed, with its number.
type tapped struct {
	*embedded.Broker
	see   func(number int32, moment embedded.Moment) embedded.Verdict
	armed atomic.Bool
	sent  atomic.Int32
}

func startTapped(t *testing.T) *tapped {
	x := &tapped{}
	x.Broker = start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if !x.armed.Load() || e.Request != embedded.TxnOffsetCommit || e.TransactionalID != "writer" {
			return embedded.Pass
		}
		number := x.sent.Load()
		if e.Moment == embedded.Received {
			number = x.sent.Add(1)
		}
		return x.see(number, e.Moment)
	}})
	return x
}

// writer returns the producer "writer", behind a transaction of its own, and where it
// writes.
func (x *tapped) writer(t *testing.T, wait time.Duration) (kafka.Cluster, kafka.Producer, record.TopicPartition) {
	t.Helper()
	c := cluster1(t, x.Broker)
	newTopic(t, c, "t", 1)
	tp := record.TopicPartition{Topic: "t"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: wait})
	must(t, whole(t, p, tp, "0", 1))
	return c, p, tp
}

// arm lets the tap see what is sent from here on.
func (x *tapped) arm(see func(number int32, moment embedded.Moment) embedded.Verdict) {
	x.see = see
	x.armed.Store(true)
}

// Offsets that were sent a second time are never sent a third time: that they are pending
// does not tell the one from the other.
func TestSendsOffsetsTwiceAtMost(t *testing.T) {
	t.Parallel()
	b := startTapped(t)
	_, p, tp := b.writer(t, 20*time.Second)
	b.arm(func(_ int32, moment embedded.Moment) embedded.Verdict {
		if moment == embedded.Answered {
			return embedded.Drop
		}
		return embedded.Pass
	})
	if err := whole(t, p, tp, "1", 2); !errors.Is(err, kafka.ErrIndefinite) || b.sent.Load() != 2 {
		t.Errorf("sent %d times: %v", b.sent.Load(), err)
	}
}

// Offsets are pending, a rebalance refuses their second copy, and those that are sent
// under the next generation are lost on the way. That some are pending says nothing of
// them: sent again, the lost ones could come out of their buffer behind the offsets of
// the next transaction, and the group would go back.
func TestLateOffsetsOfAnotherGenerationDoNotGoBack(t *testing.T) {
	t.Parallel()
	b := startTapped(t)
	c, p, tp := b.writer(t, 20*time.Second)

	late := make(chan struct{})
	arrive := sync.OnceFunc(func() { close(late) })
	defer arrive()
	b.arm(func(number int32, moment embedded.Moment) embedded.Verdict {
		switch {
		case number == 1 && moment == embedded.Answered:
			return embedded.Drop
		case number == 2 && moment == embedded.Received:
			b.Fault(embedded.Fault{Request: embedded.TxnOffsetCommit, Code: int16(sarama.ErrIllegalGeneration)})
		case number == 3 && moment == embedded.Received:
			p.(*producer).route.reset() // the connection breaks, with the request in its buffer
			<-late
		default:
		}
		return embedded.Pass
	})
	must(t, p.Begin())
	if err := offsetsAt(t.Context(), p, tp, 2); !errors.Is(err, kafka.ErrIllegalGeneration) {
		t.Fatalf("under the old generation: %v", err)
	}
	switch err := offsetsAt(t.Context(), p, tp, 2); {
	case err == nil:
		must(t, p.End(t.Context(), true))
	case errors.Is(err, kafka.ErrIndefinite):
		_, err = p.Init(t.Context())
		must(t, err)
		must(t, whole(t, p, tp, "1", 2))
	default:
		t.Fatalf("under the new generation: %v", err)
	}

	must(t, p.Begin())
	must(t, offsetsAt(t.Context(), p, tp, 3))
	handled := b.Fault(embedded.Fault{Request: embedded.TxnOffsetCommit, Count: -1})
	arrive()
	eventually(t, func() bool { return handled.Hits() > 0 })
	must(t, p.End(t.Context(), true))
	a, err := c.Admin()
	must(t, err)
	defer a.Close()
	got, err := a.Committed(t.Context(), "g", []record.TopicPartition{tp}, true)
	must(t, err)
	if got[tp].Offset != 3 {
		t.Errorf("committed offset %d, want 3", got[tp].Offset)
	}
}

// What is pending tells that a request was handled only if it is the only one of its
// transaction: others may have left it, refused ones too (not enough replicas, after the
// append).
func TestTakesPendingOffsetsForThoseOfTheFirstRequestOnly(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(t *testing.T, b *tapped, p kafka.Producer, tp record.TopicPartition){
		"accepted": func(t *testing.T, _ *tapped, p kafka.Producer, tp record.TopicPartition) {
			must(t, offsetsAt(t.Context(), p, tp, 2))
		},
		"refused": func(t *testing.T, b *tapped, _ kafka.Producer, tp record.TopicPartition) {
			c := cluster1(t, b.Broker)
			other := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "other"})
			must(t, other.Begin())
			must(t, offsetsAt(t.Context(), other, tp, 2)) // as if the refused request had left it
			b.Fault(embedded.Fault{Request: embedded.TxnOffsetCommit, Code: int16(sarama.ErrConsumerCoordinatorNotAvailable)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startTapped(t)
			_, p, tp := b.writer(t, 20*time.Second)
			b.arm(func(number int32, moment embedded.Moment) embedded.Verdict {
				if number == 2 && moment == embedded.Received {
					return embedded.Drop
				}
				return embedded.Pass
			})
			must(t, p.Begin())
			before(t, b, p, tp)
			if err := offsetsAt(t.Context(), p, tp, 3); !errors.Is(err, kafka.ErrIndefinite) || b.sent.Load() != 2 {
				t.Errorf("sent %d times: %v", b.sent.Load(), err)
			}
		})
	}
}

// A coordinator that is loading cannot tell what is pending. The producer does not wait
// for it longer than for an answer.
func TestLooksForPendingOffsetsNoLongerThanForAnAnswer(t *testing.T) {
	t.Parallel()
	b := startTapped(t)
	_, p, tp := b.writer(t, time.Second)
	b.arm(func(_ int32, moment embedded.Moment) embedded.Verdict {
		if moment == embedded.Answered {
			return embedded.Drop
		}
		return embedded.Pass
	})
	looked := b.Fault(embedded.Fault{Request: embedded.OffsetFetch, Code: int16(sarama.ErrOffsetsLoadInProgress), Count: -1})
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	must(t, p.Begin())
	err := offsetsAt(ctx, p, tp, 2)
	if !errors.Is(err, kafka.ErrIndefinite) || ctx.Err() != nil || looked.Hits() == 0 || b.sent.Load() != 1 {
		t.Errorf("looked %d times, sent %d times, ctx %v: %v", looked.Hits(), b.sent.Load(), ctx.Err(), err)
	}
}
