package runner

import (
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
