package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

// calls notes what workers ask their producers.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) note(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call)
}

func (c *calls) count(call string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, is := range c.all {
		if is == call {
			n++
		}
	}
	return n
}

// load feeds for a time, so that there is always work and a commit that is not due.
func (x *bench) load(d time.Duration) {
	x.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		x.feed(1, 1)
	}
}

// Under load a transaction is open before its commit is due; where commits are rare, or
// there are none, it is not.
func TestATransactionIsOpenedAhead(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		is   bool
	}{
		{"auto", Config{CommitInterval: AutoInterval}, true},
		{"at an interval", Config{}, false},
		{"at_least_once", Config{CommitInterval: AutoInterval, Guarantee: AtLeastOnce}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				var asked calls
				c.cfg.Workers = 1
				p := x.start(c.cfg, func(c kafka.Cluster) kafka.Cluster { return &script{Cluster: c, before: asked.note} })
				x.load(2 * time.Second)
				x.drained()
				p.stop()
				x.check()
				if opens, ends := asked.count("Open"), asked.count("End(true)"); (opens > 0) != c.is || c.is && opens < ends-3 {
					t.Errorf("%d of %d transactions were opened ahead", opens, ends)
				}
				asked.mu.Lock()
				defer asked.mu.Unlock()
				for i, call := range asked.all {
					if next := asked.all[i+1:]; call == "Open" && (len(next) < 2 || next[0] != "Produce" || !slices.Contains(next, "End(true)")) {
						t.Fatalf("behind Open comes %v", next[:min(len(next), 3)])
					}
				}
			})
		})
	}
}

// What goes wrong while a transaction is opened is as if it had gone wrong in its commit.
func TestAnOpeningThatFails(t *testing.T) {
	for _, request := range []mem.Request{mem.AddPartitions, mem.AddOffsets} {
		for _, f := range []mem.Fault{
			{Outcome: mem.LostNever}, {Outcome: mem.LostApplied}, {Outcome: mem.LostLater}, // no answer
			{Outcome: mem.Answered, Code: 51}, // concurrent transactions: passes
			{Outcome: mem.Answered, Code: 90}, // fenced
			{Outcome: mem.Answered, Code: 48}, // invalid transaction state
		} {
			f.Request, f.Times = request, 1
			t.Run(fmt.Sprintf("%v, %v, code %d", request, f.Outcome, f.Code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newBench(t, 2, mem.Options{})
					var once sync.Once
					met := false
					f.Met = func() { met = true }
					p := x.start(Config{Workers: 1, CommitInterval: AutoInterval}, func(c kafka.Cluster) kafka.Cluster {
						return &script{Cluster: c, answer: func(call string, do func() error) error {
							if call == "Open" {
								once.Do(func() {
									remove := x.broker.Inject(f)
									time.AfterFunc(20*time.Second, remove)
								})
							}
							return do()
						}}
					})
					x.load(time.Second)
					x.drained()
					<-time.After(time.Minute)
					x.load(time.Second)
					x.drained()
					p.stop()
					x.check()
					if !met {
						t.Error("no request met the fault")
					}
				})
			})
		}
	}
}

// A transaction that was opened long ago, for work that was lost, would have little of
// its time left.
func TestAnOldOpeningIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		var asked calls
		var once sync.Once
		p := x.start(Config{Workers: 1, CommitInterval: AutoInterval, TransactionTimeout: 10 * time.Second}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, before: asked.note, answer: func(call string, do func() error) error {
				err := do()
				if call == "Open" {
					once.Do(func() { <-time.After(9 * time.Second) })
				}
				return err
			}}
		})
		x.load(time.Second)
		x.drained()
		p.stop()
		x.check()
		if inits, aborts := asked.count("Init"), asked.count("End(false)"); inits != 2 || aborts != 0 {
			t.Errorf("the producer was initialised %d times, %d transactions were aborted; want 2 and 0", inits, aborts)
		}
	})
}

// A commit that is given up does not wait for the transaction to be opened.
func TestAnOpeningIsGivenUpWithItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := make(chan struct{})
		o := &opening{done: make(chan struct{})}
		o.cancel = func() { close(given) }
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-given
			o.err = context.Canceled
			close(o.done)
		}()
		time.AfterFunc(time.Second, cancel)
		if err := o.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("waited for: %v", err)
		}
	})
}
