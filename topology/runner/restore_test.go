package runner

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// reads is a cluster that notes what is read of offsets and ends, and lets the
// offsets move between two reads, once.
type reads struct {
	kafka.Cluster
	mu    sync.Mutex // guards what follows
	calls []string
}

func (r *reads) Admin() (kafka.Admin, error) {
	a, err := r.Cluster.Admin()
	return &readsAdmin{a, r}, err
}

type readsAdmin struct {
	kafka.Admin
	r *reads
}

func (a *readsAdmin) note(call string) (nth int) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	a.r.calls = append(a.r.calls, call)
	return len(a.r.calls)
}

func (a *readsAdmin) Committed(ctx context.Context, group string, parts []record.TopicPartition, stable bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	nth := a.note(fmt.Sprintf("offsets(stable=%v)", stable))
	got, err := a.Admin.Committed(ctx, group, parts, stable)
	if nth == 3 { // the second read of the first attempt
		got[parts[0]] = offset(0, got[parts[0]].Offset+1, 99, 9, 9)
	}
	return got, err
}

func (a *readsAdmin) EndOffsets(ctx context.Context, parts []record.TopicPartition) (map[record.TopicPartition]kafka.Marks, error) {
	if parts[0].Topic != (topology.Names{App: app}).Meta() {
		a.note("ends")
	}
	return a.Admin.EndOffsets(ctx, parts)
}

func TestRestoreStartsOverWhenOffsetsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		r := &reads{}
		p = x.start(Config{Instance: "a"}, func(c kafka.Cluster) kafka.Cluster { r.Cluster = c; return r })
		x.eventually("running", p.running(1))
		x.feed(20, 3)
		x.drained()
		p.stop()
		x.check()
		const once = "offsets(stable=true) ends offsets(stable=true)"
		if got := strings.Join(r.calls, " "); got != once+" "+once {
			t.Errorf("read %s\nwant %s, twice", got, once)
		}
	})
}
