package runner

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// tap is a cluster that counts the calls of its producers, and kills its process at
// one of them.
type tap struct {
	kafka.Cluster
	mu    sync.Mutex // guards what follows
	calls int
	at    int // the call to be killed at; 0: none
	after bool
	kill  func()
	log   []string
}

// call runs a call, unless the process dies before it.
func (t *tap) call(name string, do func() error) error {
	t.mu.Lock()
	t.calls++
	mine := t.calls == t.at
	t.log = append(t.log, name)
	t.mu.Unlock()
	if mine && !t.after {
		t.kill()
	}
	err := do()
	if mine && t.after {
		t.kill()
	}
	return err
}

func (t *tap) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := t.Cluster.Producer(opts)
	return &tappedProducer{p, t}, err
}

func (t *tap) Admin() (kafka.Admin, error) {
	a, err := t.Cluster.Admin()
	return &tappedAdmin{a, t}, err
}

type tappedProducer struct {
	kafka.Producer
	tap *tap
}

func (p *tappedProducer) Init(ctx context.Context) (id kafka.ProducerID, err error) {
	err = p.tap.call("Init", func() (err error) { id, err = p.Producer.Init(ctx); return err })
	return id, err
}

func (p *tappedProducer) Produce(ctx context.Context, e kafka.Encoding) error {
	return p.tap.call("Produce", func() error { return p.Producer.Produce(ctx, e) })
}

func (p *tappedProducer) Flush(ctx context.Context) (acked map[record.TopicPartition]int64, err error) {
	err = p.tap.call("Flush", func() (err error) { acked, err = p.Producer.Flush(ctx); return err })
	return acked, err
}

func (p *tappedProducer) SendOffsets(ctx context.Context, group string, m kafka.Member, o []kafka.CommittedOffset) error {
	return p.tap.call("SendOffsets", func() error { return p.Producer.SendOffsets(ctx, group, m, o) })
}

func (p *tappedProducer) End(ctx context.Context, commit bool) error {
	return p.tap.call("End", func() error { return p.Producer.End(ctx, commit) })
}

type tappedAdmin struct {
	kafka.Admin
	tap *tap
}

func (a *tappedAdmin) Committed(ctx context.Context, group string, parts []record.TopicPartition, stable bool) (got map[record.TopicPartition]kafka.CommittedOffset, err error) {
	err = a.tap.call("Committed", func() (err error) { got, err = a.Admin.Committed(ctx, group, parts, stable); return err })
	return got, err
}

func (a *tappedAdmin) EndOffsets(ctx context.Context, parts []record.TopicPartition) (got map[record.TopicPartition]kafka.Marks, err error) {
	err = a.tap.call("EndOffsets", func() (err error) { got, err = a.Admin.EndOffsets(ctx, parts); return err })
	return got, err
}

// killAt runs an instance that is killed at one call, before or after the broker
// sees it, then another in its place, and checks what came out. It reports whether
// there was such a call, and which.
func killAt(t *testing.T, guarantee Guarantee, at int, after bool, marker time.Duration) (call string, killed bool) {
	x := newBench(t, 2, mem.Options{MarkerDelay: marker, Seed: uint64(at)})
	x.feed(100, 7)
	var tp *tap
	died := make(chan struct{})
	p := x.start(Config{Instance: "a", Workers: 1, Guarantee: guarantee}, func(c kafka.Cluster) kafka.Cluster {
		tp = &tap{Cluster: c, at: at, after: after, kill: sync.OnceFunc(func() { c.Close(); close(died) })}
		return tp
	})
	dead := func() bool {
		select {
		case <-died:
			return true
		default:
			return false
		}
	}
	throughOr := func() bool { return dead() || x.allCommitted() }
	x.eventually("killed, or through", throughOr)
	x.feed(100, 7)
	x.eventually("killed, or through", throughOr)
	if dead() {
		killed = true
		p.kill()
		call = tp.log[at-1]
		began := time.Now()
		p = x.start(Config{Instance: "a", Workers: 1, Guarantee: guarantee}, nil)
		x.drained()
		// A predecessor's open transaction is ended at once, not waited for.
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v after the restart", took)
		}
	}
	p.stop()
	if guarantee == AtLeastOnce {
		x.checkNothingLost()
	} else {
		x.check()
	}
	return call, killed
}

func TestSurvivesAKillAtEveryCall(t *testing.T) {
	for _, marker := range []time.Duration{0, 40 * time.Millisecond} {
		for _, after := range []bool{false, true} {
			killed := map[string]int{}
			for at := 1; ; at++ {
				more := true
				t.Run(fmt.Sprintf("markers=%v/after=%v/call=%d", marker, after, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						call, died := killAt(t, ExactlyOnce, at, after, marker)
						killed[call]++
						more = died
					})
				})
				if !more || t.Failed() {
					break
				}
			}
			for _, call := range []string{"Init", "Committed", "EndOffsets", "Produce", "Flush", "SendOffsets", "End"} {
				if killed[call] == 0 && !t.Failed() {
					t.Errorf("markers=%v after=%v: never killed at %s: %v", marker, after, call, killed)
				}
			}
		}
	}
}

func TestAtLeastOnceSurvivesAKillAtEveryCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		killed := map[string]int{}
		for at := 1; ; at++ {
			more := true
			t.Run(fmt.Sprintf("after=%v/call=%d", after, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					call, died := killAt(t, AtLeastOnce, at, after, 0)
					killed[call]++
					more = died
				})
			})
			if !more || t.Failed() {
				break
			}
		}
		for _, call := range []string{"Init", "Committed", "EndOffsets", "Produce", "Flush", "SendOffsets", "End"} {
			if killed[call] == 0 && !t.Failed() {
				t.Errorf("after=%v: never killed at %s: %v", after, call, killed)
			}
		}
	}
}

func TestAtLeastOnceLosesNothingWithoutAnswers(t *testing.T) {
	for _, req := range []mem.Request{mem.InitProducerID, mem.Produce, mem.OffsetCommit} {
		for _, outcome := range []mem.Outcome{mem.LostNever, mem.LostApplied, mem.LostLater} {
			t.Run(fmt.Sprintf("%s/%d", req, outcome), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newBench(t, 2, mem.Options{Seed: 3})
					x.feed(50, 5)
					p := x.start(Config{Instance: "a", Workers: 1, Guarantee: AtLeastOnce}, nil)
					x.drained()
					x.feed(50, 5)
					if req == mem.InitProducerID { // asked for only after something else was lost
						defer x.broker.Inject(mem.Fault{Request: mem.OffsetCommit, Outcome: mem.LostApplied})()
					}
					remove := x.broker.Inject(mem.Fault{Request: req, Outcome: outcome})
					time.AfterFunc(6*time.Second, remove)
					x.drained()
					x.feed(50, 5)
					x.drained()
					p.stop()
					x.checkNothingLost()
				})
			})
		}
	}
}

func TestAnswersThatDoNotCome(t *testing.T) {
	for _, req := range []mem.Request{mem.InitProducerID, mem.AddPartitions, mem.Produce, mem.AddOffsets, mem.TxnOffsetCommit, mem.EndTxn} {
		for _, o := range []struct {
			name    string
			outcome mem.Outcome
		}{{"never", mem.LostNever}, {"applied", mem.LostApplied}, {"later", mem.LostLater}} {
			t.Run(strings.Join([]string{req.String(), o.name}, "/"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newBench(t, 2, mem.Options{MarkerDelay: 20 * time.Millisecond, Seed: 3})
					x.feed(50, 5)
					p := x.start(Config{Instance: "a", Workers: 1}, nil)
					x.drained()
					x.feed(50, 5)                  // the next request of the kind is the runner's
					if req == mem.InitProducerID { // asked for only after something else was lost
						defer x.broker.Inject(mem.Fault{Request: mem.EndTxn, Outcome: mem.LostApplied})()
					}
					remove := x.broker.Inject(mem.Fault{Request: req, Outcome: o.outcome})
					time.AfterFunc(6*time.Second, remove)
					x.drained()
					x.feed(50, 5)
					x.drained()
					p.stop()
					x.check()
				})
			})
		}
	}
}
