package mem_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// diary writes down what a handler is told.
type diary struct {
	mu      sync.Mutex
	lines   []string
	member  kafka.Member
	revoked func()
}

func (d *diary) note(what string, parts []record.TopicPartition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var nums []string
	for _, p := range parts {
		nums = append(nums, fmt.Sprint(p.Partition))
	}
	d.lines = append(d.lines, what+" "+strings.Join(nums, ","))
}

func (d *diary) Assigned(m kafka.Member, parts []record.TopicPartition) {
	d.mu.Lock()
	d.member = m
	d.mu.Unlock()
	d.note(fmt.Sprintf("%d:", m.Generation), parts)
}

func (d *diary) Revoked(parts []record.TopicPartition) {
	d.note("revoked", parts)
	if d.revoked != nil {
		d.revoked()
	}
}

func (d *diary) State() map[int32]int64 { return nil }

func (d *diary) Standby(numbers []int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(numbers) > 0 {
		d.lines = append(d.lines, fmt.Sprintf("stands by %v", numbers))
	}
}

func (d *diary) Lost(parts []record.TopicPartition) { d.note("lost", parts) }

// tells fails unless the diary has just these lines, and empties it.
func (d *diary) tells(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Fatalf("told %q, want %q", d.lines, want)
	}
	d.lines = nil
}

// join runs a member in a process; stop ends its context and returns what Run
// returned.
func (x *process) join(opts kafka.GroupOptions, d *diary) (stop func() error) {
	x.Helper()
	opts.Group, opts.Topics = "g", []string{"t"}
	g, err := x.cluster.Group(opts)
	x.ok(err)
	ctx, cancel := context.WithCancel(x.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, d) }()
	return func() error {
		cancel()
		return <-done
	}
}

func TestPartitionsMoveInTwoGenerations(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 3)
		var a, b diary
		stopA := x.join(kafka.GroupOptions{}, &a)
		a.tells(x.T, "1: 0,1,2")
		stopB := x.join(kafka.GroupOptions{}, &b)
		a.tells(x.T, "2: 0,1", "revoked 2", "3: 0,1")
		b.tells(x.T, "2: ", "3: 2")
		x.ok(stopA())
		a.tells(x.T, "revoked 0,1")
		b.tells(x.T, "4: 0,1,2")
		x.ok(stopB())
		b.tells(x.T, "revoked 0,1,2")
	})
}

func TestMemberThatDoesNotRejoinInTimeIsOut(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 2)
		leave := make(chan struct{})
		a, b, c := diary{revoked: func() { <-leave }}, diary{}, diary{}
		opts := kafka.GroupOptions{RebalanceTimeout: 20 * time.Second}
		stopA := x.join(opts, &a)
		a.tells(x.T, "1: 0,1")
		stopB := x.join(opts, &b)
		a.tells(x.T, "2: 0", "revoked 1") // and there it stays
		b.tells(x.T, "2: ")
		stopC := x.join(opts, &c) // a rebalance that waits for a
		timer := time.NewTimer(19 * time.Second)
		<-timer.C
		b.tells(x.T)
		timer.Reset(2 * time.Second)
		<-timer.C
		b.tells(x.T, "3: 0")
		c.tells(x.T, "3: 1")
		close(leave)
		a.tells(x.T, "lost 0", "4: ")
		b.tells(x.T, "4: 0")
		c.tells(x.T, "4: 1")
		for _, stop := range []func() error{stopA, stopB, stopC} {
			x.ok(stop())
		}
	})
}

func TestCrashedProcessIsInTheGroupUntilItsSessionIsOver(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 2)
		var a, b diary
		crashing := connect(x.T, x.broker)
		p, _ := crashing.producer(kafka.ProducerOptions{TransactionalID: "p", TransactionTimeout: time.Minute})
		stopA := crashing.join(kafka.GroupOptions{SessionTimeout: 10 * time.Second}, &a)
		a.tells(x.T, "1: 0,1")
		stopB := x.join(kafka.GroupOptions{}, &b)
		a.tells(x.T, "2: 0", "revoked 1", "3: 0")
		b.tells(x.T, "2: ", "3: 1")
		x.ok(p.Begin())
		x.ok(crashing.write(p, "t", "open"))

		x.ok(crashing.cluster.Close())
		if err := stopA(); err == nil {
			x.Error("Run returned nil when its cluster was closed")
		}
		a.tells(x.T) // nobody is there to be told
		timer := time.NewTimer(9 * time.Second)
		<-timer.C
		b.tells(x.T)
		if m := x.marks(tp("t", 0)); m.LastStable != 0 {
			x.Errorf("the dead process's transaction is not open: %+v", m)
		}
		timer.Reset(2 * time.Second)
		<-timer.C
		b.tells(x.T, "4: 0,1")
		// The next process of that name ends it at once.
		x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		if m := x.marks(tp("t", 0)); m.LastStable != 2 {
			x.Errorf("Init left the transaction open: %+v", m)
		}
		if err := crashing.write(p, "t", "x"); err == nil {
			x.Error("a closed connection wrote")
		}
		x.ok(stopB())
	})
}

func TestStaticMembers(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 2)
		var a, b, again, thief diary
		static := func(i string) kafka.GroupOptions {
			return kafka.GroupOptions{InstanceID: i, SessionTimeout: 10 * time.Second}
		}
		crashing := connect(x.T, x.broker)
		crashing.join(static("a"), &a)
		a.tells(x.T, "1: 0,1")
		stopB := x.join(static("b"), &b)
		a.tells(x.T, "2: 0", "revoked 1", "3: 0")
		b.tells(x.T, "2: ", "3: 1")

		// Back in its place, in the same generation, as another member.
		x.ok(crashing.cluster.Close())
		stopAgain := x.join(static("a"), &again)
		again.tells(x.T, "3: 0")
		b.tells(x.T)
		if again.member.ID == a.member.ID || again.member.InstanceID != "a" {
			x.Errorf("was %+v, is %+v", a.member, again.member)
		}

		// A second process with its name throws it out for good.
		stopThief := x.join(static("a"), &thief)
		thief.tells(x.T, "3: 0")
		again.tells(x.T, "lost 0")
		x.is(stopAgain(), kafka.ErrUnknownMember)

		// One that left keeps its place for a session.
		x.ok(stopThief())
		thief.tells(x.T, "revoked 0")
		timer := time.NewTimer(9 * time.Second)
		<-timer.C
		b.tells(x.T)
		timer.Reset(2 * time.Second)
		<-timer.C
		b.tells(x.T, "4: 0,1")
		x.ok(stopB())
	})
}

// A static member that dies while it gives something up leaves nothing behind
// that nobody can have.
func TestStaticMemberThatDiesInRevoked(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 2)
		crashing := connect(x.T, x.broker)
		a, b := diary{revoked: func() { x.ok(crashing.cluster.Close()) }}, diary{}
		crashing.join(kafka.GroupOptions{InstanceID: "a", SessionTimeout: time.Minute}, &a)
		a.tells(x.T, "1: 0,1")
		stopB := x.join(kafka.GroupOptions{}, &b)
		a.tells(x.T, "2: 0", "revoked 1")
		b.tells(x.T, "2: ")
		var again diary
		stopAgain := x.join(kafka.GroupOptions{InstanceID: "a"}, &again)
		again.tells(x.T, "2: 0", "3: 0")
		b.tells(x.T, "3: 1")
		x.ok(stopAgain())
		x.ok(stopB())
	})
}

func TestGroupRefuses(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		x.topic("u", 1)
		run := func(topics ...string) error {
			g, err := x.cluster.Group(kafka.GroupOptions{Group: "g", Topics: topics})
			x.ok(err)
			return g.Run(x.Context(), &diary{})
		}
		x.is(run("no-such-topic"), kafka.ErrUnknownTopic)
		stop := x.join(kafka.GroupOptions{}, &diary{})
		synctest.Wait()
		if err := run("u"); err == nil {
			x.Error("a member with other topics was let in")
		}
		x.ok(stop())

		g, err := x.cluster.Group(kafka.GroupOptions{Group: "h", Topics: []string{"t"}})
		x.ok(err)
		ctx, cancel := context.WithCancel(x.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, &diary{}) }()
		synctest.Wait()
		if err := g.Run(x.Context(), &diary{}); err == nil {
			x.Error("a second Run beside the first is nil")
		}
		cancel()
		x.ok(<-done)
	})
}
