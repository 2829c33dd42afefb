package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// With AutoInterval what comes alone is committed at once, what comes all the time 20
// times a second, and where a transaction takes long, one follows the other.
func TestAutoIntervalCommitsAsSoonAsItMay(t *testing.T) {
	for _, c := range []struct {
		name      string
		guarantee Guarantee
		markers   time.Duration // what a transaction takes
		alone     time.Duration // at most, from a record to its commit
		least     int64         // commits in 2 s of load
		most      int64
	}{
		{"exactly_once", ExactlyOnce, 0, 10 * time.Millisecond, 36, 41},
		{"at_least_once", AtLeastOnce, 0, 10 * time.Millisecond, 36, 41},
		{"long transactions", ExactlyOnce, 100 * time.Millisecond, 110 * time.Millisecond, 20, 38},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 1, mem.Options{MarkerDelay: c.markers})
				p := x.start(Config{Workers: 1, Guarantee: c.guarantee, CommitInterval: AutoInterval}, nil)
				x.feed(1, 1)
				x.drained()
				<-time.After(5 * time.Second)
				began := time.Now()
				x.feed(1, 1)
				for !x.allCommitted() {
					<-time.After(time.Millisecond)
				}
				if took := time.Since(began) - c.markers; took > c.alone { // but for the writer's own
					t.Errorf("it took %v from a record to its commit", took)
				}
				before := x.commits()
				for end := time.Now().Add(2 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
					x.feed(1, 1)
				}
				if n := x.commits() - before; n < c.least || n > c.most {
					t.Errorf("%d commits in 2 s, want %d to %d", n, c.least, c.most)
				}
				x.drained()
				p.stop()
				x.check()
			})
		})
	}
}

// commits returns how often the task of the first partition was committed.
func (x *bench) commits() int64 {
	x.Helper()
	m, err := task.ParseMetadata(x.offsets()[record.TopicPartition{Topic: "events"}].Metadata)
	x.must(err)
	return m.Commit
}
