package runner

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

const maxWait = 2 * time.Second

// ordered is concat behind an order: the value of an event is its sequence number.
func ordered(t *testing.T) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	numbers := serde.Of(serde.String(), serde.Int64())
	str := serde.Of(serde.String(), serde.String())
	events := reorder.BySequence(topology.Source(b, "events", numbers), "order", policies.Contract{
		EventsFor: "a key", Because: "the test says so",
		MaxWait: maxWait, OnTimeout: policies.OnTimeoutSkip, MaxHeld: 3, OnOverflow: policies.OnOverflowPause,
		Class: policies.Class{Late: policies.LateDrop},
	}, func(v int64) int64 { return v })
	table := processors.Aggregate(events, statestore.KeyValue("states", str), func(_ string, value int64, state string) (string, error) {
		return fmt.Sprintf("%s%d,", state, value), nil
	})
	topology.SinkTable(table, "table")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func (x *bench) sequence(numbers ...int64) {
	x.Helper()
	var outputs []record.Output
	for _, n := range numbers {
		value, err := serde.Int64().Append(nil, n)
		x.must(err)
		outputs = append(outputs, record.Output{TopicPartition: at(0), Timestamp: 1, Key: []byte("k"), Value: value})
		x.input[0]++
	}
	x.write(outputs)
}

func (x *bench) state() string {
	all := x.records("table")
	if len(all) == 0 {
		return ""
	}
	return string(all[len(all)-1].Value)
}

func orderBench(t *testing.T) *bench {
	t.Helper()
	x := newBench(t, 1, mem.Options{MarkerDelay: 5 * time.Millisecond})
	x.topology = ordered(t)
	return x
}

func TestNoWaitEndsWhileTheAppIsDown(t *testing.T) {
	for _, kill := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := orderBench(t)
			x.sequence(1, 3)
			p := x.start(Config{Instance: "a"}, nil)
			x.drained() // 3 waits for 2
			if kill {
				p.kill()
			} else {
				p.stop()
			}
			<-time.After(time.Hour)
			x.sequence(5, 6)
			p = x.start(Config{Instance: "a"}, nil)
			<-time.After(maxWait / 2)
			x.sequence(2, 4)
			x.eventually("in order after all", func() bool { return x.state() == "1,2,3,4,5,6," })
			p.stop()
		})
	}
}

func TestAWaitEndsWhileTheAppIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		p := x.start(Config{Instance: "a"}, nil)
		x.sequence(1, 3)
		x.drained()
		began := time.Now()
		m, err := task.ParseMetadata(x.offsets()[at(0)].Metadata)
		x.must(err)
		if behind := began.UnixMilli() - m.Clock; behind < 0 || behind > 1000 {
			t.Errorf("the task clock of a new task is %d ms behind", behind)
		}
		x.eventually("2 was given up", func() bool { return x.state() == "1,3," })
		if took := time.Since(began); took < maxWait-500*time.Millisecond || took > maxWait+500*time.Millisecond {
			t.Errorf("it was waited for %v, the contract says %v", took, maxWait)
		}
		p.stop()
	})
}

func TestAWaitThatBeganBeforeTheDowntimeEndsAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		x.sequence(1, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		<-time.After(time.Hour)
		p = x.start(Config{Instance: "a"}, nil)
		began := time.Now()
		x.eventually("2 was given up", func() bool { return x.state() == "1,3," })
		if took := time.Since(began); took > maxWait+500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		p.stop()
	})
}

func TestAWaitEndsWhileItsPartitionIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		p := x.start(Config{Instance: "a"}, nil)
		x.eventually("running", p.running(1))
		x.sequence(1, 3, 4, 5, 6, 7, 8) // 6 does not fit, and what is behind it is not read
		began := time.Now()
		x.eventually("2 was given up", func() bool { return x.state() == "1,3,4,5,6,7,8," })
		if took := time.Since(began); took < maxWait-500*time.Millisecond || took > maxWait+time.Second {
			t.Errorf("it took %v", took)
		}
		p.stop()
	})
}

// A backlog is read before any wait ends, however long that takes: fetches stall.
func TestNoWaitEndsBeforeTheBacklogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		x.sequence(1, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		for n := int64(100); n < 130; n++ { // of other keys: a long way to 2
			x.write([]record.Output{{TopicPartition: at(0), Timestamp: 1, Key: fmt.Appendf(nil, "other-%d", n), Value: []byte{0, 0, 0, 0, 0, 0, 0, 1}}})
		}
		x.sequence(2)
		p = x.start(Config{Instance: "a"}, func(c kafka.Cluster) kafka.Cluster { return &slow{c} })
		x.eventually("all is read", func() bool { return len(x.records("table")) >= 32 })
		p.stop()
		var states []string
		for _, r := range x.records("table") {
			if string(r.Key) == "k" {
				states = append(states, string(r.Value))
			}
		}
		if got := strings.Join(states, " "); got != "1, 1,2,3," {
			t.Errorf("the states of k: %s", got)
		}
	})
}

// slow is a cluster whose fetches bring a record a second.
type slow struct{ kafka.Cluster }

func (s *slow) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	opts.PartitionMaxBytes = 1
	f, err := s.Cluster.Fetcher(opts)
	return &slowFetcher{f}, err
}

type slowFetcher struct{ kafka.Fetcher }

func (f *slowFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	if positions[0].Topic == "events" {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f.Fetcher.Fetch(ctx, positions)
}

// What nobody answers for may hold the event that is waited for.
func TestNoWaitEndsWhileNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := orderBench(t)
		x.sequence(1, 3)
		s := &silent{}
		p := x.start(Config{Instance: "a"}, func(c kafka.Cluster) kafka.Cluster { s.Cluster = c; return s })
		x.drained() // 3 waits for 2
		s.shut.Store(true)
		<-time.After(maxWait / 4) // what was asked before is answered
		x.sequence(2)
		<-time.After(5 * maxWait)
		s.shut.Store(false)
		x.eventually("3 is applied", func() bool { return strings.Contains(x.state(), "3") })
		p.stop()
		if got := x.state(); got != "1,2,3," {
			t.Errorf("the state of k: %s", got)
		}
	})
}

// silent is a cluster in which nobody answers for events while it is shut.
type silent struct {
	kafka.Cluster
	shut atomic.Bool
}

func (s *silent) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := s.Cluster.Fetcher(opts)
	return &silentFetcher{Fetcher: f, s: s}, err
}

type silentFetcher struct {
	kafka.Fetcher
	s     *silent
	asked []record.TopicPartition
}

func (f *silentFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	if f.asked = nil; !f.s.shut.Load() || positions[0].Topic != "events" {
		return f.Fetcher.Fetch(ctx, positions)
	}
	for _, p := range positions {
		f.asked = append(f.asked, p.TopicPartition)
	}
	select {
	case <-time.After(10 * time.Millisecond):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *silentFetcher) Unanswered() []record.TopicPartition { return f.asked }
