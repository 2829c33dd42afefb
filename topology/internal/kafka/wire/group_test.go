package wire

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// While Revoked runs, for longer than a session, the member stays alive and can
// commit.
func TestStaysAliveInRevoked(t *testing.T) {
	t.Parallel()
	var beats atomic.Int64
	b := start(t, embedded.Options{MinSessionTimeout: 100 * time.Millisecond, Tap: func(e embedded.Event) embedded.Verdict {
		if e.Request == embedded.Heartbeat && e.Moment == embedded.Answered && e.ClientID == "a" {
			beats.Add(1)
		}
		return embedded.Pass
	}})
	newTopic(t, cluster1(t, b), "t", 2)
	ctx, cancel := context.WithCancel(t.Context())
	run := func(id string, h kafka.GroupHandler) (kafka.Cluster, chan error) {
		c, err := New(Options{Brokers: b.Addrs(), ClientID: id})
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		g, err := c.Group(kafka.GroupOptions{Group: "g", Topics: []string{"t"}, SessionTimeout: 2 * time.Second})
		must(t, err)
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, h) }()
		return c, done
	}
	first := &slow{told: make(chan string, 100), in: make(chan kafka.Member, 10), out: make(chan struct{})}
	c, doneA := run("a", first)
	if got := <-first.told; got != "assigned 2" {
		t.Fatalf("told %q", got)
	}
	_, doneB := run("b", handler(make(chan string, 100)))
	member := <-first.in
	_, doneC := run("c", handler(make(chan string, 100))) // the next rebalance begins
	from := beats.Load()
	eventually(t, func() bool { return beats.Load() > from+25 }) // more than a session
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	must(t, p.Begin())
	must(t, p.SendOffsets(t.Context(), "g", member, []kafka.CommittedOffset{{TopicPartition: record.TopicPartition{Topic: "t"}, Offset: 1}}))
	must(t, p.End(t.Context(), true))
	close(first.out)
	for i, want := range []string{"assigned 1", "revoked 1", "assigned"} {
		if got := <-first.told; !strings.HasPrefix(got, want) {
			t.Fatalf("told %q at %d, want %q", got, i, want)
		}
	}
	cancel()
	must(t, <-doneA)
	must(t, <-doneB)
	must(t, <-doneC)
}

// slow is a handler whose first Revoked takes its time.
type slow struct {
	told   chan string
	member kafka.Member
	in     chan kafka.Member
	out    chan struct{}
}

func (s *slow) Assigned(m kafka.Member, parts []record.TopicPartition) {
	s.member = m
	handler(s.told).Assigned(m, parts)
}

func (s *slow) Revoked(parts []record.TopicPartition) {
	s.in <- s.member
	<-s.out
	handler(s.told).Revoked(parts)
}

func (s *slow) State() map[int32]int64 { return nil }

func (s *slow) Standby([]int32) {}

func (s *slow) Lost(parts []record.TopicPartition) { handler(s.told).Lost(parts) }

// A member whose heartbeats do not arrive is told Lost when its session is over, and
// joins again.
func TestLosesItsSessionWhenHeartbeatsDoNotArrive(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{MinSessionTimeout: 100 * time.Millisecond})
	c := cluster1(t, b)
	newTopic(t, c, "t", 2)
	g, err := c.Group(kafka.GroupOptions{Group: "g", Topics: []string{"t"}, SessionTimeout: 2 * time.Second})
	must(t, err)
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, handler(told)) }()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("not told %q", want)
		}
	}
	next("assigned 2")
	fault := b.Fault(embedded.Fault{Request: embedded.Heartbeat, Group: "g", Lose: embedded.LoseRequest, Count: -1})
	next("lost 2")
	fault.Remove()
	next("assigned 2")
	cancel()
	next("revoked 2")
	must(t, <-done)
}

// handler writes down what it is told.
type handler chan string

func (h handler) Assigned(_ kafka.Member, parts []record.TopicPartition) {
	h <- fmt.Sprint("assigned ", len(parts))
}

func (h handler) Revoked(parts []record.TopicPartition) { h <- fmt.Sprint("revoked ", len(parts)) }

func (h handler) Lost(parts []record.TopicPartition) { h <- fmt.Sprint("lost ", len(parts)) }

func (h handler) State() map[int32]int64 { return nil }

func (h handler) Standby([]int32) {}

// Somebody else's consumers in the group are named as what they are.
func TestConsumersOfAnotherKindInTheGroupAreNamed(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	b.Fault(embedded.Fault{Request: embedded.JoinGroup, Group: "g", Code: 23, Count: -1})
	g, err := c.Group(kafka.GroupOptions{Group: "g", Topics: []string{"t"}})
	must(t, err)
	err = g.Run(t.Context(), handler(make(chan string, 9)))
	if err == nil || !strings.Contains(err.Error(), "consumers of another kind are in the group") || !strings.Contains(err.Error(), "code 23") {
		t.Errorf("it ended with %v", err)
	}
}
