package wire

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// whole writes a value and an offset in a transaction of their own.
func whole(t *testing.T, p kafka.Producer, tp record.TopicPartition, value string, offset int64) error {
	t.Helper()
	must(t, p.Begin())
	if err := p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte(value)}})); err != nil {
		return err
	}
	if _, err := p.Flush(t.Context()); err != nil {
		return err
	}
	if err := p.SendOffsets(t.Context(), "g", kafka.Member{Generation: -1}, []kafka.CommittedOffset{{TopicPartition: tp, Offset: offset}}); err != nil {
		return err
	}
	return p.End(t.Context(), true)
}

// One connection is cut before or after a request is handled. What may come twice is
// sent again, and the transaction is committed; so is TxnOffsetCommit if it was handled;
// the rest is sent once.
func TestSendsAgainWhatMayComeTwice(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		request embedded.Request
		again   []embedded.Moment
	}{
		{embedded.AddPartitionsToTxn, []embedded.Moment{embedded.Received, embedded.Answered}},
		{embedded.Produce, []embedded.Moment{embedded.Received, embedded.Answered}},
		{embedded.AddOffsetsToTxn, []embedded.Moment{embedded.Received, embedded.Answered}},
		{embedded.TxnOffsetCommit, []embedded.Moment{embedded.Answered}},
		{embedded.EndTxn, nil},
	} {
		for _, moment := range []embedded.Moment{embedded.Received, embedded.Answered} {
			again := slices.Contains(of.again, moment)
			t.Run(fmt.Sprint(of.request, " ", moment), func(t *testing.T) {
				t.Parallel()
				var armed atomic.Bool
				var sent, cut atomic.Int32
				b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
					if !armed.Load() || e.Request != of.request || e.TransactionalID == "" {
						return embedded.Pass
					}
					if e.Moment == embedded.Received {
						sent.Add(1)
					}
					if e.Moment == moment && cut.Add(1) == 1 {
						return embedded.Drop
					}
					return embedded.Pass
				}})
				c := cluster1(t, b)
				newTopic(t, c, "t", 1)
				tp := record.TopicPartition{Topic: "t"}
				p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: 20 * time.Second})
				must(t, whole(t, p, tp, "0", 1))
				armed.Store(true)
				err := whole(t, p, tp, "1", 2)
				switch {
				case again && (err != nil || sent.Load() != 2):
					t.Errorf("sent %d times: %v", sent.Load(), err)
				case !again && (!errors.Is(err, kafka.ErrIndefinite) || sent.Load() != 1):
					t.Errorf("sent %d times: %v", sent.Load(), err)
				case again:
					numbered(t, c, tp, 2)
				}
			})
		}
	}
}

// A request that is sent again for as long as an answer may take is given up then.
func TestGivesUpWhatIsNeverAnswered(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if e.Request == embedded.AddPartitionsToTxn {
			return embedded.Drop
		}
		return embedded.Pass
	}})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: 300 * time.Millisecond})
	began := time.Now()
	err := whole(t, p, record.TopicPartition{Topic: "t"}, "0", 1)
	if took := time.Since(began); !errors.Is(err, kafka.ErrIndefinite) || took < 300*time.Millisecond {
		t.Errorf("after %v: %v", took, err)
	}
}

// copies sends what adds a partition and a group to the transaction of a producer once
// more, as if it came out of a buffer only now.
func copies(t *testing.T, p kafka.Producer, tp record.TopicPartition) {
	t.Helper()
	own := p.(*producer)
	k := &coordinator{route: own.route, kind: sarama.CoordinatorTransaction, key: own.opts.TransactionalID}
	for _, send := range []func(c *conn) (sarama.KError, error){
		func(c *conn) (sarama.KError, error) {
			a, err := ask(t.Context(), c, (*sarama.Broker).AddPartitionsToTxn, &sarama.AddPartitionsToTxnRequest{
				Version: 2, TransactionalID: own.opts.TransactionalID, ProducerID: own.id.ID, ProducerEpoch: own.id.Epoch,
				TopicPartitions: map[string][]int32{tp.Topic: {tp.Partition}},
			})
			if err != nil {
				return 0, err
			}
			return a.Errors[tp.Topic][0].Err, nil
		},
		func(c *conn) (sarama.KError, error) {
			a, err := ask(t.Context(), c, (*sarama.Broker).AddOffsetsToTxn, &sarama.AddOffsetsToTxnRequest{
				Version: 2, TransactionalID: own.opts.TransactionalID, ProducerID: own.id.ID, ProducerEpoch: own.id.Epoch, GroupID: "g",
			})
			if err != nil {
				return 0, err
			}
			return a.Err, nil
		},
	} {
		var b backoff
		for {
			c, err := k.find(t.Context())
			must(t, err)
			code, err := send(c)
			must(t, err)
			if transient(code) { // the markers of the last transaction
				must(t, own.route.wait(t.Context(), &b))
				continue
			}
			if code != sarama.ErrNoError {
				t.Fatal(code)
			}
			break
		}
	}
}

// What adds to a transaction may be handled behind its end: the next transaction goes on
// with what it opened, committed, aborted or cut off by Init.
func TestWhatIsAddedLateDoesNoHarm(t *testing.T) {
	t.Parallel()
	c := cluster1(t, start(t, embedded.Options{}))
	newTopic(t, c, "t", 1)
	newTopic(t, c, "other", 1)
	tp, other := record.TopicPartition{Topic: "t"}, record.TopicPartition{Topic: "other"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	must(t, whole(t, p, tp, "0", 1))
	copies(t, p, other) // between two transactions
	must(t, whole(t, p, tp, "1", 2))
	copies(t, p, other) // and one that is aborted
	must(t, p.Begin())
	must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("aborted")}})))
	copies(t, p, other) // inside of one
	must(t, p.End(t.Context(), false))
	copies(t, p, other) // and a new epoch
	_, err := p.Init(t.Context())
	must(t, err)
	must(t, whole(t, p, tp, "2", 3))
	numbered(t, c, tp, 3)
	numbered(t, c, other, 0)
	a, err := c.Admin()
	must(t, err)
	defer a.Close()
	got, err := a.Committed(t.Context(), "g", []record.TopicPartition{tp}, true)
	must(t, err)
	if got[tp].Offset != 3 {
		t.Errorf("committed %+v, want offset 3", got[tp])
	}
}
