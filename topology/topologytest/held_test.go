//go:build unix

package topologytest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// heldBudget is that of a runner's steps.
const heldBudget = 4096

// number is an event that is its sequence alone.
type number struct{}

func (number) Append(dst []byte, n int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(n)), nil
}

func (number) Decode(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, errors.New("a number has 8 bytes")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// hole is a task whose entity "late" waits for its first event.
type hole struct {
	tb      testing.TB
	plan    *task.Plan
	backend *statestore.Memory
	task    *task.Task
	offset  int64
	applied int64 // of late
	steps   []time.Duration
}

func newHole(tb testing.TB, held int) *hole {
	tb.Helper()
	h := &hole{tb: tb, backend: statestore.NewMemory()}
	c := policies.Contract{EventsFor: "an entity", Because: "a hole is waited for", MaxHeld: held, MaxDLQ: held + 1, MaxWait: time.Hour, OnTimeout: policies.OnTimeoutPark}
	b := topology.New("app")
	events := serde.Of(serde.String(), number{})
	in := reorder.BySequence(topology.Source(b, "events", events), "in-order", c, func(n int64) int64 { return n })
	state := statestore.KeyValue("state", events)
	out := topology.Update(in, "fold", state, func(_ topology.Context, st *statestore.Store[string, int64], r topology.Record[string, int64], emit func(topology.Record[string, int64])) error {
		if r.Key == "late" {
			if h.applied++; r.Value != h.applied {
				return fmt.Errorf("%d was applied after %d", r.Value, h.applied-1)
			}
		}
		emit(r)
		return st.Put(r.Key, r.Value)
	})
	topology.Sink(out, "out", events)
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	h.plan = task.Plans(topo)[0]
	if h.task, err = task.Open(h.plan, 0, h.backend, task.Options{Partitions: func(string) int32 { return 1 }}, []task.Start{{None: true}}); err != nil {
		tb.Fatal(err)
	}
	return h
}

// records are events of one entity, from first on.
func (h *hole) records(key string, first int64, n int) []record.Record {
	all := make([]record.Record, n)
	for i := range all {
		value, _ := number{}.Append(nil, first+int64(i))
		all[i] = record.Record{Offset: h.offset, Timestamp: 1, Key: []byte(key), Value: value}
		h.offset++
	}
	return all
}

// step steps the task on what it is offered and commits; it returns what it left of that.
func (h *hole) step(in []record.Record) (rest []record.Record, more bool) {
	h.tb.Helper()
	s := task.Step{Kind: task.StepMore, Clock: 1, Wall: 1, Budget: heldBudget}
	if len(in) > 0 {
		s.Kind, s.Inputs = task.StepRecords, []task.Input{{Records: in, Next: h.offset}}
	}
	begin := cpu()
	res, err := h.task.Step(s)
	h.steps = append(h.steps, cpu()-begin)
	if err != nil {
		h.tb.Fatal(err)
	}
	if b := h.task.Take(); b != nil {
		if err := h.backend.Apply(b.Puts, nil); err != nil {
			h.tb.Fatal(err)
		}
		h.task.Recycle(b)
	}
	return in[res.Consumed[0]:], res.More
}

// offer steps the task until it has taken everything and has nothing more to do.
func (h *hole) offer(in []record.Record) {
	h.tb.Helper()
	for more := true; more || len(in) > 0; {
		in, more = h.step(in)
	}
}

// hold lets n events wait behind the first one.
func (h *hole) hold(n int) {
	h.tb.Helper()
	for first := int64(2); n > 0; {
		some := min(n, heldBudget)
		h.offer(h.records("late", first, some))
		first, n = first+int64(some), n-some
	}
}

// cpu is the time that the process has used, the collection of garbage included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other fault than wrong arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkDrain fills the hole that many events wait behind, commits included. ns/event
// is the CPU time of the drain, hold-ns/event of the holding, B/event what one takes while
// it waits, longest-ms the CPU time of the longest step of the drain, other-ms after how much of it
// the event of another entity, which came at once behind the missing one, is applied.
func BenchmarkDrain(b *testing.B) {
	for _, held := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			var ns, hold, bytes, longest, other []float64
			for range b.N {
				b.StopTimer()
				h := newHole(b, held)
				before, begin := heap(), cpu()
				h.hold(held)
				hold = append(hold, float64(cpu()-begin)/float64(held))
				bytes = append(bytes, float64(heap()-before)/float64(held))
				h.steps = nil
				b.StartTimer()
				begin = cpu()
				in := append(h.records("late", 1, 1), h.records("other", 1, 1)...)
				for more := true; more || len(in) > 0; {
					waits := len(in) > 0
					if in, more = h.step(in); waits && len(in) == 0 {
						other = append(other, float64(cpu()-begin)/1e6)
					}
				}
				ns = append(ns, float64(cpu()-begin)/float64(held))
				longest = append(longest, float64(slices.Max(h.steps))/1e6)
				if h.applied != int64(held)+1 {
					b.Fatalf("%d of %d events were applied", h.applied, held+1)
				}
			}
			for unit, values := range map[string][]float64{"ns/event": ns, "hold-ns/event": hold, "B/event": bytes, "longest-ms": longest, "other-ms": other} {
				slices.Sort(values)
				b.ReportMetric(values[len(values)/2], unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// However many events wait, a step of the drain is cut by its budget, and a commit
// follows it.
func TestADrainIsCutIntoSteps(t *testing.T) {
	t.Parallel()
	const held = 5 * heldBudget
	h := newHole(t, held)
	h.hold(held)
	if h.applied != 0 {
		t.Fatalf("%d events were applied before the first one", h.applied)
	}
	in := h.records("late", 1, 1)
	for more := true; more; {
		before := h.applied
		in, more = h.step(in)
		if n := h.applied - before; n > heldBudget+1 {
			t.Errorf("a step applied %d events; its budget is %d", n, heldBudget)
		}
	}
	if h.applied != held+1 {
		t.Errorf("%d of %d events were applied", h.applied, held+1)
	}
}
