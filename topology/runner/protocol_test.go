package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// script is a cluster whose producers do what a test says around their calls.
type script struct {
	kafka.Cluster
	before  func(call string)                               // may wait
	offsets func(m kafka.Member, o []kafka.CommittedOffset) // of SendOffsets
	answer  func(call string, do func() error) error        // nil: do
}

func (s *script) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := s.Cluster.Producer(opts)
	if opts.TransactionalID == (topology.Names{App: app}).Meta() {
		return p, err // the scripts are about workers
	}
	return &scripted{p, s}, err
}

func (s *script) Group(opts kafka.GroupOptions) (kafka.Group, error) {
	if s.before != nil {
		s.before("Group")
	}
	return s.Cluster.Group(opts)
}

type scripted struct {
	kafka.Producer
	s *script
}

func (p *scripted) call(name string, do func() error) error {
	if p.s.before != nil {
		p.s.before(name)
	}
	if p.s.answer != nil {
		return p.s.answer(name, do)
	}
	return do()
}

func (p *scripted) Init(ctx context.Context) (id kafka.ProducerID, err error) {
	err = p.call("Init", func() (err error) { id, err = p.Producer.Init(ctx); return err })
	return id, err
}

func (p *scripted) Open(ctx context.Context) error {
	return p.call("Open", func() error { return p.Producer.Open(ctx) })
}

func (p *scripted) Produce(ctx context.Context, e kafka.Encoding) error {
	return p.call("Produce", func() error { return p.Producer.Produce(ctx, e) })
}

func (p *scripted) Flush(ctx context.Context) (acked map[record.TopicPartition]int64, err error) {
	err = p.call("Flush", func() (err error) { acked, err = p.Producer.Flush(ctx); return err })
	return acked, err
}

func (p *scripted) SendOffsets(ctx context.Context, group string, m kafka.Member, o []kafka.CommittedOffset) error {
	if p.s.offsets != nil {
		p.s.offsets(m, o)
	}
	return p.call("SendOffsets", func() error { return p.Producer.SendOffsets(ctx, group, m, o) })
}

func (p *scripted) End(ctx context.Context, commit bool) error {
	return p.call(fmt.Sprintf("End(%v)", commit), func() error { return p.Producer.End(ctx, commit) })
}

func TestEveryTransactionHasTheOffsetsOfEveryTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		x.feed(100, 20)
		var mu sync.Mutex
		var last []kafka.CommittedOffset
		p := x.start(Config{Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, offsets: func(_ kafka.Member, o []kafka.CommittedOffset) {
				mu.Lock()
				defer mu.Unlock()
				last = o
			}}
		})
		x.drained()
		before := x.offsets()
		var outputs []record.Output
		x.add(&outputs, "key-0", "only,")
		changed := outputs[0].TopicPartition
		x.write(outputs)
		x.drained()
		p.stop()
		mu.Lock()
		defer mu.Unlock()
		if len(last) != 4 {
			t.Fatalf("the last transaction had the offsets of %d partitions", len(last))
		}
		for _, o := range last {
			if was := before[o.TopicPartition]; (o == was) != (o.TopicPartition != changed) {
				t.Errorf("%v: sent %+v, was %+v", o.TopicPartition, o, was)
			}
		}
	})
}

// What fences a zombie whose first act after waking is a timer.
func TestATransactionOfTimersAloneHasItsOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		var mu sync.Mutex
		var sent [][]kafka.CommittedOffset
		p := x.start(Config{Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, offsets: func(_ kafka.Member, o []kafka.CommittedOffset) {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, o)
			}}
		})
		x.sequence(1, 3)
		x.drained()
		x.eventually("2 was given up", func() bool { return x.state() == "1,3," })
		p.stop()
		mu.Lock()
		defer mu.Unlock()
		for i, o := range sent {
			if len(o) != 1 {
				t.Fatalf("transaction %d of %d has the offsets of %d partitions, want 1", i+1, len(sent), len(o))
			}
		}
		if n := len(sent); n < 2 || sent[n-1][0].Offset != sent[n-2][0].Offset {
			t.Errorf("no transaction of timers alone: %+v", sent)
		}
	})
}

func TestABatchDoesNotSpeakForATaskThatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.feed(20, 4)
		reached, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		p := x.start(Config{Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, before: func(call string) {
				if call == "Produce" {
					once.Do(func() { close(reached); <-goOn })
				}
			}}
		})
		<-reached // a batch is under way, nothing of it is sent
		if !x.broker.Kick(app, "member-1") {
			t.Fatal("nobody to kick")
		}
		lost := func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			n := 0
			for _, s := range p.states {
				if s.Phase == Rebalancing && s.Tasks == 0 {
					n++
				}
			}
			return n >= 2
		}
		x.eventually("lost, assigned again and restored", func() bool { return lost() && p.running(2)() })
		<-time.After(300 * time.Millisecond) // and stepped
		close(goOn)
		x.drained()
		p.stop()
		x.check()
	})
}

func TestASecondProcessIsNotFencedByTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		x.feed(200, 10)
		a := x.start(Config{Instance: "a", Workers: 2}, nil)
		x.drained()
		x.feed(200, 10)
		var mu sync.Mutex
		inits := 0
		b := x.start(Config{Instance: "a", Workers: 2}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, before: func(call string) {
				mu.Lock()
				defer mu.Unlock()
				switch call {
				case "Init":
					inits++
				case "Group":
					<-time.After(time.Second) // the first goes on meanwhile, and is fenced
				}
			}}
		})
		for range 50 {
			x.feed(10, 10)
			<-time.After(20 * time.Millisecond)
		}
		<-a.done
		x.drained()
		b.stop()
		x.check()
		if inits != 2 {
			t.Errorf("its 2 producers were initialised %d times", inits)
		}
	})
}

func TestAFateThatStaysUnknownIsReadFromTheTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.feed(20, 6)
		var mu sync.Mutex
		deaf, unknown := false, false
		a := x.start(Config{Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, answer: func(call string, do func() error) error {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case deaf && call == "End(true)":
					unknown = true
					return errors.Join(do(), kafka.ErrIndefinite) // it is committed
				case deaf && call == "Init":
					return kafka.ErrIndefinite
				}
				return do()
			}}
		})
		x.drained()
		mu.Lock()
		deaf = true
		mu.Unlock()
		x.feed(20, 6)
		x.eventually("a transaction ended unheard", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return unknown
		})
		b := x.start(Config{Workers: 1}, nil)
		x.eventually("b has its half, when a has given up", b.running(1))
		mu.Lock()
		deaf = false
		mu.Unlock()
		x.drained()
		x.feed(20, 6)
		x.drained()
		a.stop()
		b.stop()
		x.check()
	})
}

func TestStoppingDoesNotWaitForTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		p := x.start(Config{Workers: 1, CommitInterval: time.Minute, TransactionTimeout: 2 * time.Minute}, nil)
		x.eventually("running", p.running(2))
		x.feed(20, 6)
		<-time.After(time.Second) // stepped, not committed
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		x.drained()
		x.check()
	})
}

func TestStoppingIsBoundedWhenNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.feed(20, 6)
		p := x.start(Config{Workers: 1}, nil)
		x.drained()
		x.feed(20, 6)
		defer x.broker.Inject(mem.Fault{Request: mem.EndTxn, Outcome: mem.LostNever, Times: 1 << 20})()
		defer x.broker.Inject(mem.Fault{Request: mem.InitProducerID, Outcome: mem.LostNever, Times: 1 << 20})()
		<-time.After(time.Second)
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestProcessingGoesOnWhileATransactionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 6)
		ending, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		p := x.start(Config{Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, before: func(call string) {
				if call == "End(true)" {
					once.Do(func() { close(ending); <-goOn })
				}
			}}
		})
		<-ending
		x.feed(20, 6)
		<-time.After(300 * time.Millisecond) // fetched and stepped meanwhile
		close(goOn)
		began := time.Now()
		x.drained()
		if took := time.Since(began); took > 20*time.Millisecond {
			t.Errorf("what was stepped meanwhile was committed %v after the transaction before it", took)
		}
		p.stop()
		x.check()
	})
}

// Producers fail in every way, at any time, while records keep coming.
func TestATrickleThroughProducersThatFail(t *testing.T) {
	failures := map[string]int{}
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 3, mem.Options{MarkerDelay: 10 * time.Millisecond, Seed: seed})
				var mu sync.Mutex
				rnd := rand.New(rand.NewPCG(seed, 2))
				failing := true
				p := x.start(Config{Workers: 2, CommitInterval: 20 * time.Millisecond}, func(c kafka.Cluster) kafka.Cluster {
					return &script{Cluster: c, answer: func(call string, do func() error) error {
						mu.Lock()
						roll := rnd.IntN(10)
						if !failing {
							roll = 9
						}
						if roll < 3 {
							failures[call]++
						}
						mu.Unlock()
						switch {
						case roll == 0:
							return kafka.ErrIndefinite
						case roll == 1 && call != "Init":
							return errors.Join(do(), kafka.ErrIndefinite)
						case roll == 2 && call != "End(true)" && call != "Init":
							return errors.New("refused")
						}
						return do()
					}}
				})
				for range 300 {
					x.feed(3, 11)
					<-time.After(7 * time.Millisecond)
				}
				mu.Lock()
				failing = false
				mu.Unlock()
				x.drained()
				p.stop()
				x.check()
			})
		})
	}
	for _, call := range []string{"Produce", "Flush", "SendOffsets", "End(true)"} {
		if failures[call] == 0 {
			t.Errorf("%s never failed: %v", call, failures)
		}
	}
}
