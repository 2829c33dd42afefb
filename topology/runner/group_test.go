package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

func (p *process) last() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.states) == 0 {
		return State{}
	}
	return p.states[len(p.states)-1]
}

func (p *process) running(tasks int) func() bool {
	return func() bool { s := p.last(); return s.Phase == Running && s.Tasks == tasks }
}

func TestInstancesJoinAndLeave(t *testing.T) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprintf("named=%v", named), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 6, mem.Options{MarkerDelay: 50 * time.Millisecond, Seed: 7})
				conf := func(name string) Config {
					if !named {
						name = ""
					}
					return Config{Instance: name, Workers: 2, SessionTimeout: 10 * time.Second}
				}
				x.feed(300, 30)
				a := x.start(conf("a"), nil)
				x.eventually("a has all", a.running(6))
				x.feed(300, 30) // still in flight when b comes
				b := x.start(conf("b"), nil)
				x.eventually("a has half", a.running(3))
				x.eventually("b has half", b.running(3))
				x.feed(300, 30)
				x.drained()
				a.stop()
				x.feed(300, 30)
				if named {
					a = x.start(conf("a"), nil) // it takes its place
					x.eventually("a has its half again", a.running(3))
				} else {
					x.eventually("b has all", b.running(6))
				}
				x.drained()
				b.stop()
				if named {
					x.eventually("a has all, when b's session is over", a.running(6))
					x.feed(100, 30)
					x.drained()
					a.stop()
				}
				x.check()
			})
		})
	}
}

// startRestoring starts an instance, and says how long after that it restored.
func (x *bench) startRestoring(cfg Config) (p *process, after time.Duration) {
	x.Helper()
	began := time.Now()
	p = x.start(cfg, nil)
	x.eventually("it restores", func() bool { return slices.Contains(p.phases(), Restoring) })
	return p, time.Since(began)
}

// restart runs an instance on some input, stops it and starts it again; after says how
// long after that start it restored.
func (x *bench) restart(cfg Config) (after time.Duration) {
	x.Helper()
	p := x.start(cfg, nil)
	x.feed(300, 30)
	x.drained()
	p.stop()
	p, after = x.startRestoring(cfg)
	x.eventually("it runs", func() bool { return p.last().Phase == Running })
	if p.last().Records == 0 {
		x.Error("there was nothing to restore")
	}
	p.stop()
	return after
}

// Who is back waits for no session in the group: it has left, or kept its place. Who has
// left and is not alone waits for the heartbeats of others, which there are none of here.
func TestARestartedInstanceRestoresWithinASecond(t *testing.T) {
	for _, c := range []struct{ instance, beside string }{{}, {instance: "a"}, {instance: "a", beside: "b"}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 6, mem.Options{MarkerDelay: 50 * time.Millisecond, Seed: 13})
				if c.beside != "" {
					b := x.start(Config{Instance: c.beside}, nil)
					defer b.stop()
				}
				if after := x.restart(Config{Instance: c.instance}); after > time.Second {
					t.Errorf("it began to restore %v after its start", after)
				} else {
					t.Log(after)
				}
				x.check()
			})
		})
	}
}

func TestALostInstanceCommitsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{MarkerDelay: 20 * time.Millisecond, Seed: 9})
		x.feed(100, 10)
		var sent atomic.Pointer[kafka.Member]
		a := x.start(Config{Workers: 2}, func(c kafka.Cluster) kafka.Cluster { return &memberTap{c, &sent} })
		x.drained()
		for i := range 10 {
			x.feed(100, 10)
			<-time.After(time.Duration(15*i) * time.Millisecond) // somewhere in the middle of it
			kicked := sent.Load().ID
			if !x.broker.Kick(app, kicked) {
				t.Fatal("nobody to kick")
			}
			x.feed(10, 10) // it has something to commit when it is back
			x.eventually("a came back", func() bool { return sent.Load().ID != kicked })
		}
		x.drained()
		a.stop()
		x.check()
	})
}

// memberTap notes which member commits.
type memberTap struct {
	kafka.Cluster
	member *atomic.Pointer[kafka.Member]
}

func (m *memberTap) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := m.Cluster.Producer(opts)
	return &memberProducer{p, m}, err
}

type memberProducer struct {
	kafka.Producer
	tap *memberTap
}

func (p *memberProducer) SendOffsets(ctx context.Context, group string, m kafka.Member, o []kafka.CommittedOffset) error {
	p.tap.member.Store(&m)
	return p.Producer.SendOffsets(ctx, group, m, o)
}

func TestASecondProcessOfOneNameTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{MarkerDelay: 20 * time.Millisecond, Seed: 11})
		x.feed(200, 10)
		a := x.start(Config{Instance: "a", Workers: 2}, nil)
		x.drained()
		x.feed(200, 10)
		b := x.start(Config{Instance: "a", Workers: 2}, nil)
		<-a.done
		if !errors.Is(a.err, ErrInUse) || !errors.Is(a.err, kafka.ErrUnknownMember) || !strings.Contains(a.err.Error(), "the place of instance a in its group was taken") {
			t.Errorf("the first one ended with: %v", a.err)
		}
		x.feed(200, 10)
		x.drained()
		b.stop()
		x.check()
	})
}

func TestARebalanceDoesNotBreakATransactionOfTasksThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.feed(20, 4)
		a := x.start(Config{Workers: 1}, nil)
		x.drained()
		x.feed(20, 4)
		remove := x.broker.Inject(mem.Fault{Request: mem.TxnOffsetCommit, Code: 22, Outcome: mem.Answered, Times: 2})
		defer remove()
		<-time.After(200 * time.Millisecond) // the transaction is open, and waits for a member generation
		b := x.start(Config{Workers: 1}, nil)
		x.eventually("b has its half", b.running(1))
		x.drained()
		a.stop()
		b.stop()
		x.check()
	})
}

func TestAFailedRecordStopsTheAppBehindEverythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		x.feed(50, 20)
		a := x.start(Config{Instance: "a", Workers: 1, CommitInterval: time.Second}, nil)
		x.drained()
		before := x.offsets()
		var outputs []record.Output
		x.add(&outputs, "key-1", "never,") // in the batch that cannot be committed
		x.write(outputs)
		<-time.After(300 * time.Millisecond) // stepped, and not committed for long
		bad := outputs[0].TopicPartition
		outputs = nil
		x.add(&outputs, "key-1", "bad")
		for i := range 40 {
			if key := fmt.Sprintf("key-%d", i%20); topology.Partition([]byte(key), x.partitions, 0) != bad.Partition {
				x.add(&outputs, key, "good,")
			}
		}
		x.write(outputs)
		<-a.done
		var stop *task.StopError
		if !errors.As(a.err, &stop) || stop.At != fmt.Sprintf("events-%d@%d", bad.Partition, lastOffset(x, bad)) {
			t.Fatalf("ended with: %v", a.err)
		}
		x.want["key-1"] = x.want["key-1"][:len(x.want["key-1"])-2]
		x.input[bad.Partition] -= 2
		if got := x.offsets()[bad]; got != before[bad] {
			t.Errorf("the partition's offset was %+v, is %+v", before[bad], got)
		}
		x.check()
	})
}

func lastOffset(x *bench, tp record.TopicPartition) int64 {
	marks, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{tp})
	x.must(err)
	return marks[tp].HighWater - 2 // the last is a marker
}

func TestStormOfInstances(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				x := newBench(t, 5, mem.Options{MarkerDelay: 60 * time.Millisecond, Seed: seed})
				running := map[string]*process{}
				names := []string{"a", "b", "c"}
				requests := []mem.Request{mem.AddPartitions, mem.Produce, mem.AddOffsets, mem.TxnOffsetCommit, mem.EndTxn}
				for range 25 {
					x.feed(20+rnd.IntN(50), 17)
					switch name := names[rnd.IntN(3)]; rnd.IntN(5) {
					case 0, 1:
						if running[name] == nil {
							running[name] = x.start(Config{Instance: name, Workers: 1 + rnd.IntN(3), SessionTimeout: 10 * time.Second}, nil)
						}
					case 2:
						if p := running[name]; p != nil {
							p.kill()
							delete(running, name)
						}
					case 3:
						if p := running[name]; p != nil {
							p.stop()
							delete(running, name)
						}
					case 4:
						remove := x.broker.Inject(mem.Fault{
							Request: requests[rnd.IntN(len(requests))], Outcome: mem.Outcome(1 + rnd.IntN(3)),
						})
						time.AfterFunc(time.Duration(rnd.IntN(300))*time.Millisecond, remove)
						<-time.After(time.Duration(300) * time.Millisecond) // the writer does not meet it
					}
					<-time.After(time.Duration(rnd.IntN(400)) * time.Millisecond)
				}
				if len(running) == 0 {
					running["a"] = x.start(Config{Instance: "a", SessionTimeout: 10 * time.Second}, nil)
				}
				x.drained()
				for _, p := range running {
					p.stop()
				}
				x.check()
			})
		})
	}
}

// Keys of a topic that grows are in other partitions at once, so the app ends before it
// takes them for new entities.
func TestASourceThatGrowsEndsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{Seed: 3})
		x.feed(100, 10)
		a := x.start(Config{Workers: 2}, nil)
		b := x.start(Config{Workers: 2}, nil)
		x.eventually("both run", func() bool { return a.running(1)() && b.running(1)() })
		x.drained()
		began := time.Now()
		x.broker.Grow("events", 3)
		for _, p := range []*process{a, b} { // who has it fails, and leaves; then the other has it
			p.ended()
			var wrong *TopicsError
			if !errors.As(p.err, &wrong) || !strings.Contains(p.err.Error(), "topic events was given more partitions while the app runs, 3 instead of 2") {
				t.Errorf("it ended with %v", p.err)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it went on for %v", took)
		}
		x.check()
	})
}
