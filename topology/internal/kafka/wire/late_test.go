package wire

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A lateness makes requests of one producer late: its connections break while some are
// in a buffer, and these are handled right before a later request of its.
type lateness struct {
	reset func()                                  // breaks the connections
	seen  map[embedded.Request]*embedded.Injected // counts what is handled

	mu    sync.Mutex // guards what follows
	draw  *rand.Rand // nil: not now
	count int
	held  []*lateRequest
	late  int // requests that were handled late
}

// A lateRequest waits in its buffer.
type lateRequest struct {
	embedded.Event
	before int // the number of the request that it is handled before
	free   chan struct{}
}

func (l *lateness) tap(e embedded.Event) embedded.Verdict {
	if e.TransactionalID == "" {
		return embedded.Pass
	}
	l.mu.Lock()
	if e.Moment == embedded.Answered {
		lose := l.draw != nil && l.draw.IntN(12) == 0
		l.mu.Unlock()
		if lose {
			return embedded.Drop
		}
		return embedded.Pass
	}
	l.count++
	var own *lateRequest
	if l.draw != nil && l.draw.IntN(12) == 0 {
		own = &lateRequest{Event: e, before: l.count + 1 + l.draw.IntN(12), free: make(chan struct{})}
		l.held = append(l.held, own)
	}
	due := l.take(l.count)
	l.mu.Unlock()
	l.handle(due)
	if own != nil {
		l.reset()
		<-own.free
	}
	return embedded.Pass
}

// take removes the requests that are handled before the one of a number.
func (l *lateness) take(number int) []*lateRequest {
	var due, left []*lateRequest
	for _, h := range l.held {
		if h.before <= number {
			due = append(due, h)
		} else {
			left = append(left, h)
		}
	}
	l.held = left
	return due
}

// handle lets requests out of their buffers, and waits until they are handled.
func (l *lateness) handle(due []*lateRequest) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for _, h := range due {
		want, limit := l.seen[h.Request].Hits()+1, time.Now().Add(100*time.Millisecond)
		close(h.free)
		for l.seen[h.Request].Hits() < want && time.Now().Before(limit) {
			<-tick.C
		}
		if l.seen[h.Request].Hits() < want {
			continue // it came behind another one on its connection, and has gone with that
		}
		l.mu.Lock()
		l.late++
		l.mu.Unlock()
	}
}

// calm ends the lateness; what is held is handled.
func (l *lateness) calm() {
	l.mu.Lock()
	l.draw = nil
	due := l.take(math.MaxInt)
	l.mu.Unlock()
	l.handle(due)
}

// Whatever request of a producer is handled late, or loses its answer: a transaction is
// committed whole, once, and only if that was asked for, and the group never goes back.
func TestNoRequestDoesHarmWhenItIsLate(t *testing.T) {
	t.Parallel()
	const transactions = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l := &lateness{}
	b := start(t, embedded.Options{Tap: l.tap})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	tp := record.TopicPartition{Topic: "t"}
	a, err := c.Admin()
	must(t, err)
	defer a.Close()
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: 20 * time.Second})
	l.reset = p.(*producer).route.reset
	l.seen = map[embedded.Request]*embedded.Injected{}
	for _, request := range []embedded.Request{
		embedded.InitProducerID, embedded.AddPartitionsToTxn, embedded.AddOffsetsToTxn,
		embedded.Produce, embedded.TxnOffsetCommit, embedded.EndTxn,
	} {
		l.seen[request] = b.Fault(embedded.Fault{Request: request, Count: -1})
	}
	l.mu.Lock()
	l.draw = rand.New(rand.NewPCG(seed, 0))
	l.mu.Unlock()
	defer l.calm()
	lost := 0
	for at := 0; at < transactions; {
		asked, failed := attempt(t, p, tp, at)
		if failed != nil {
			lost++
			for _, err = p.Init(t.Context()); err != nil; _, err = p.Init(t.Context()) {
				if !errors.Is(err, kafka.ErrIndefinite) && !errors.Is(err, kafka.ErrUnreachable) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		got, unread := a.Committed(t.Context(), "g", []record.TopicPartition{tp}, true)
		must(t, unread)
		switch next := max(0, got[tp].Offset); {
		case next == int64(at)+1 && asked:
			at++
		case next != int64(at) || failed == nil:
			t.Fatalf("seed %d: transaction %d, asked to commit %v, %v: the group is at %d", seed, at, asked, failed, next)
		}
	}
	l.calm()
	numbered(t, c, tp, transactions)
	if lost == 0 || l.late == 0 {
		t.Errorf("seed %d: %d transactions without an answer, %d requests were late", seed, lost, l.late)
	}
	t.Logf("%d transactions without an answer, %d requests were late", lost, l.late)
}

// attempt writes a number and the offset behind it in a transaction, and tells whether it
// asked for the commit.
func attempt(t *testing.T, p kafka.Producer, tp record.TopicPartition, number int) (asked bool, err error) {
	t.Helper()
	must(t, p.Begin())
	if number%2 == 0 {
		if err := p.Open(t.Context()); err != nil {
			return false, err
		}
	}
	if err := p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte(fmt.Sprint(number))}})); err != nil {
		return false, err
	}
	if _, err := p.Flush(t.Context()); err != nil {
		return false, err
	}
	if err := offsetsAt(t.Context(), p, tp, int64(number)+1); err != nil {
		return false, err
	}
	return true, p.End(t.Context(), true)
}
