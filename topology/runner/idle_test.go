package runner

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

// countingCluster counts the fetches of its process.
type countingCluster struct {
	kafka.Cluster
	fetches atomic.Int64
	asked   atomic.Int64 // positions of the last one
}

func (c *countingCluster) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := c.Cluster.Fetcher(opts)
	return &countingFetcher{f, c}, err
}

type countingFetcher struct {
	kafka.Fetcher
	cluster *countingCluster
}

func (f *countingFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	f.cluster.fetches.Add(1)
	f.cluster.asked.Store(int64(len(positions)))
	return f.Fetcher.Fetch(ctx, positions)
}

// An instance with nothing to do asks rarely, and is awake as soon as there is
// something, also for a task that it is given meanwhile.
func TestAnIdleInstanceAsksRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		x.feed(10, 4)
		var count *countingCluster
		p := x.start(Config{Instance: "a", Workers: 1}, func(c kafka.Cluster) kafka.Cluster {
			count = &countingCluster{Cluster: c}
			return count
		})
		x.drained()
		<-time.After(5 * time.Second)
		before := count.fetches.Load()
		<-time.After(time.Minute)
		if n := count.fetches.Load() - before; n > 150 {
			t.Errorf("%d fetches in an idle minute", n)
		}
		quick := func(what string) {
			t.Helper()
			began := time.Now()
			x.feed(8, 4)
			x.drained()
			if took := time.Since(began); took > 300*time.Millisecond {
				t.Errorf("%s: it took %v from a record to its commit", what, took)
			}
		}
		quick("idle")
		<-time.After(5*time.Second + 10*time.Millisecond)
		other := x.start(Config{Workers: 1}, nil) // it leaves when it stops
		x.eventually("b has tasks", func() bool { return other.last().Tasks == 2 && other.last().Phase == Running })
		<-time.After(5 * time.Second)
		other.stop()
		x.eventually("a has all tasks", p.running(4))
		<-time.After(50 * time.Millisecond)
		if n := count.asked.Load(); n != 4 {
			t.Errorf("50 ms after it has all tasks it fetches for %d", n)
		}
		quick("after a rebalance")
		p.stop()
		x.check()
	})
}
