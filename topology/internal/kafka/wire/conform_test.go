package wire

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/kafkatest"
)

func TestConformsOnTheEmbeddedBroker(t *testing.T) {
	kafkatest.Run(t, func(t *testing.T) kafkatest.Harness {
		h := &harness{t: t}
		b, err := embedded.Start(embedded.Options{Tap: h.tap})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		h.broker = b
		c := cluster1(t, b)
		h.cluster = c
		return kafkatest.Harness{
			Cluster: c,
			Inject:  h.inject,
			Kick:    h.kick,
			Without: map[kafkatest.Feature]string{
				kafkatest.HoldMarkers: "the embedded broker has written the markers before it answers EndTxn",
			},
		}
	})
}

// cluster1 returns the driver under test.
func cluster1(t testing.TB, b *embedded.Broker) kafka.Cluster {
	t.Helper()
	c, err := New(Options{Brokers: b.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return c
}

// harness gives the suite the embedded broker's faults.
type harness struct {
	t       *testing.T
	broker  *embedded.Broker
	cluster kafka.Cluster

	mu   sync.Mutex
	held map[embedded.Request]*hold
}

// hold keeps requests from the broker until they are let go.
type hold struct {
	left   int
	free   chan struct{}
	number int
}

// tap holds the requests that are to be handled later.
func (h *harness) tap(e embedded.Event) embedded.Verdict {
	if e.Moment != embedded.Received {
		return embedded.Pass
	}
	h.mu.Lock()
	x := h.held[e.Request]
	if x == nil || x.left == 0 {
		h.mu.Unlock()
		return embedded.Pass
	}
	x.left--
	x.number++
	h.mu.Unlock()
	<-x.free
	return embedded.Pass
}

func (h *harness) inject(f kafkatest.Fault) (remove func()) {
	req := embedded.Request(f.Request)
	count := f.Times
	if f.Times == kafkatest.Always {
		count = -1
	}
	switch f.Outcome {
	case kafkatest.Answered:
		return h.broker.Fault(embedded.Fault{Request: req, Code: f.Code, Count: count}).Remove
	case kafkatest.LostNever:
		return h.broker.Fault(embedded.Fault{Request: req, Lose: embedded.LoseRequest, Count: count}).Remove
	case kafkatest.LostApplied:
		return h.broker.Fault(embedded.Fault{Request: req, Lose: embedded.LoseAnswer, Count: count}).Remove
	default:
	}
	x := &hold{left: f.Times, free: make(chan struct{})}
	seen := h.broker.Fault(embedded.Fault{Request: req, Count: -1}) // code 0: counts what is handled
	h.mu.Lock()
	if h.held == nil {
		h.held = map[embedded.Request]*hold{}
	}
	h.held[req] = x
	h.mu.Unlock()
	remove = sync.OnceFunc(func() {
		h.mu.Lock()
		delete(h.held, req)
		want := seen.Hits() + x.number
		h.mu.Unlock()
		close(x.free)
		eventually(h.t, func() bool { return seen.Hits() >= want })
		seen.Remove()
	})
	h.t.Cleanup(remove)
	return remove
}

func (h *harness) kick(group string, member kafka.Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := h.cluster.(*cluster).router(nil)
	defer r.Close()
	k := &coordinator{route: r, kind: sarama.CoordinatorGroup, key: group}
	c, err := k.find(ctx)
	if err != nil {
		return err
	}
	a, err := ask(ctx, c, (*sarama.Broker).LeaveGroup, &sarama.LeaveGroupRequest{
		Version: 3, GroupId: group, Members: []sarama.MemberIdentity{{MemberId: member.ID}},
	})
	if err == nil && a.Err != sarama.ErrNoError {
		err = a.Err
	}
	return err
}

// eventually waits until a condition holds.
func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("still not, after 30 s")
		}
	}
}
