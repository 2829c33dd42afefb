package runner

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

func TestProcessesAllInputOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{MarkerDelay: 30 * time.Millisecond, Seed: 1})
		x.feed(500, 20)
		p := x.start(Config{Instance: "a", Workers: 2}, nil)
		x.drained()
		x.feed(500, 20)
		x.drained()
		p.stop()
		x.check()
		want := []Phase{Created, Rebalancing, Restoring, Running, Stopping}
		if got := p.phases(); !slices.Equal(got[:min(5, len(got))], want) {
			t.Errorf("phases %v, want %v first", got, want)
		}
	})
}

// A context with a deadline ends a runner as one that is cancelled does, wherever the
// start stands.
func TestADeadlineEndsItWhereverItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{MarkerDelay: 30 * time.Millisecond, Seed: 1})
		for _, wait := range []mem.Request{mem.Metadata, mem.CreateTopics, mem.InitProducerID, mem.JoinGroup} {
			remove := x.broker.Inject(mem.Fault{Request: wait, Outcome: mem.LostNever, Times: 1000})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			r, err := NewOn(x.topology, x.connect(), Config{})
			x.must(err)
			if err := r.Run(ctx); err != nil || !r.Health().Live.OK {
				t.Errorf("in %v: %v, %+v", wait, err, r.Health().Live)
			}
			cancel()
			remove()
		}
	})
}
