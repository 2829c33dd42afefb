//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/streamrun/streamrun/integration/history"
)

const (
	// writeBehind is how long an instance may have a committed row in memory alone.
	writeBehind = time.Second
	// writing is how long it may take an instance to hear of a commit, to begin to write
	// when it is time, and to write, where it has a processor for it.
	writing = 100 * time.Millisecond
	// growthEvery is how often growth looks.
	growthEvery = 50 * time.Millisecond
)

// growth knows how the topics of which state is restored grew, and how busy the machine
// was. It is safe for concurrent use.
type growth struct {
	mu    sync.Mutex // guards looks
	looks []look
}

// look is what was seen between two times: the sums of the ends of these topics, per
// partition, those that are decided and those that are not, and how many threads
// there were for each processor.
type look struct {
	from, to     time.Time
	stable, ends []int64
	crowd        float64
}

// watch looks until ctx ends; wait returns when it has ended.
func (g *growth) watch(ctx context.Context, brokers []string, app history.App) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		r, err := history.Open(brokers)
		if err != nil {
			return // there are no looks then, and the summary says so
		}
		defer r.Close()
		for ctx.Err() == nil {
			l := look{from: time.Now(), crowd: crowd()}
			var failed error
			for _, topic := range []string{app.Changelog, app.Order} {
				stable, err := r.Stable(ctx, topic, app.Partitions)
				failed = errors.Join(failed, err)
				ends, err := r.Ends(ctx, topic, app.Partitions)
				failed = errors.Join(failed, err)
				l.stable, l.ends = plus(l.stable, stable), plus(l.ends, ends)
			}
			if l.to = time.Now(); failed == nil { // else a node is away: the next look is longer
				g.mu.Lock()
				g.looks = append(g.looks, l)
				g.mu.Unlock()
			}
			_ = pause(ctx, growthEvery) // the loop sees the end
		}
	})
	return all.Wait
}

// plus adds numbers to a sum of them, which may be nil.
func plus(sum, n []int64) []int64 {
	if sum == nil {
		return n
	}
	for i := range n {
		sum[i] += n[i]
	}
	return sum
}

// crowd returns how many threads want to run now for each processor, or 1 if there is
// no such number.
func crowd() float64 {
	text, err := os.ReadFile("/proc/loadavg") // three averages, running/all, ...
	var average float64
	var running int
	if _, failed := fmt.Sscanf(string(text), "%f %f %f %d/", &average, &average, &average, &running); failed != nil || err != nil {
		return 1
	}
	return max(1, float64(running)/float64(runtime.NumCPU()))
}

// committed returns the time before which everything that was committed is on disk if
// the instance stops at a time. Writing takes longer where threads wait for a
// processor: as many times as there are of them in the seconds before.
func (g *growth) committed(stopped time.Time) time.Time {
	const before = 5 * time.Second
	g.mu.Lock()
	defer g.mu.Unlock()
	sum, n := 0.0, 0
	for _, l := range g.looks {
		if l.from.After(stopped.Add(-before)) && l.from.Before(stopped) {
			sum += l.crowd
			n++
		}
	}
	share := 1.0
	if n > 0 {
		share = sum / float64(n)
	}
	return stopped.Add(-writeBehind - time.Duration(share*float64(writing)))
}

// between returns how much came into a partition, at most, of what was not committed by
// a time, until another one; false: it was not looked at.
func (g *growth) between(partition int, from, to time.Time) (int64, bool) {
	before := g.had(partition, from)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.looks {
		if l.from.After(to) {
			return l.ends[partition] - before, true
		}
	}
	return 0, false
}

// had returns what was committed of a partition at a time, at least.
func (g *growth) had(partition int, at time.Time) (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.looks {
		if l.to.After(at) {
			break
		}
		n = l.stable[partition]
	}
	return n
}
