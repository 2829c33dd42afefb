//go:build linux

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
	others  int64 // applied of all others
	left    int64 // events that waited and were let go, as the steps say
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
		} else {
			h.others++
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
	h.left += int64(res.Left.Events)
	if res.Left.Bytes < 8*res.Left.Events { // each has its value at least
		h.tb.Fatalf("%d events that waited had %d bytes", res.Left.Events, res.Left.Bytes)
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
func cpu() time.Duration { return used(syscall.RUSAGE_SELF) }

// used is the time that the process, or its present thread, has used.
func used(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
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
// it waits, longest-ms the CPU time of the longest step of the drain.
func BenchmarkDrain(b *testing.B) {
	for _, held := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			var ns, hold, bytes, longest []float64
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
				h.offer(h.records("late", 1, 1))
				ns = append(ns, float64(cpu()-begin)/float64(held))
				longest = append(longest, float64(slices.Max(h.steps))/1e6)
				if h.applied != int64(held)+1 {
					b.Fatalf("%d of %d events were applied", h.applied, held+1)
				}
			}
			for unit, values := range map[string][]float64{"ns/event": ns, "hold-ns/event": hold, "B/event": bytes, "longest-ms": longest} {
				slices.Sort(values)
				b.ReportMetric(values[len(values)/2], unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkOthersOfADrain measures how long the events of other entities wait, from when
// they come to the end of their step, while many events drain and while none do, in CPU
// time of the thread that steps. They come evenly; each tenth is one more of the entity
// that drains.
func BenchmarkOthersOfADrain(b *testing.B) {
	for _, rate := range []int{10_000, 50_000} {
		for _, held := range []int{0, 1_000_000} {
			b.Run(fmt.Sprintf("rate=%d/held=%d", rate, held), func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					h := newHole(b, max(held, 1000))
					h.hold(held)
					runtime.GC()
					b.StartTimer()
					waits := h.waits(held, time.Second/time.Duration(rate))
					slices.Sort(waits)
					for _, q := range []int{50, 99} {
						b.ReportMetric(float64(waits[len(waits)*q/100])/1e6, fmt.Sprintf("p%d-ms", q))
					}
					b.ReportMetric(float64(len(waits)), "others")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// waits fills the hole, has events come so far apart while it drains, or for a second
// where nothing does, and returns how long those of other entities waited.
func (h *hole) waits(held int, apart time.Duration) (waits []time.Duration) {
	h.tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var (
		in      = h.records("late", 1, 1)
		late    = int64(held) + 2
		came    []time.Duration // of in: when; the first is not looked at
		skipped time.Duration   // in which there was nothing to do
		begin   = used(syscall.RUSAGE_THREAD)
		next    time.Duration
		others  = map[string]int64{}
	)
	came = append(came, 0)
	for more := true; h.applied < int64(held)+1 || held == 0 && next < time.Second; {
		now := used(syscall.RUSAGE_THREAD) - begin + skipped
		if !more && len(in) == 0 && now < next {
			skipped += next - now
			now = next
		}
		for ; next <= now; next += apart {
			key := fmt.Sprint("other ", len(waits)%997)
			others[key]++
			n := others[key]
			if len(came)%10 == 9 {
				key, n = "late", late
				late++
			}
			in = append(in, h.records(key, n, 1)...)
			came = append(came, next)
		}
		n := len(in)
		in, more = h.step(in)
		after := used(syscall.RUSAGE_THREAD) - begin + skipped
		for i := range n - len(in) {
			if at := came[i]; at > 0 {
				waits = append(waits, after-at)
			}
		}
		came = came[n-len(in):]
	}
	return waits
}

// However many events wait, a step of the drain is cut by its part of the budget, and a
// commit follows it. Meanwhile the events of other entities are applied in the step that
// they come in, and one of the same entity waits without stopping its partition.
func TestADrainIsCutIntoSteps(t *testing.T) {
	t.Parallel()
	const held, others = 10 * heldBudget, 300
	h := newHole(t, held+100)
	h.hold(held)
	if h.applied != 0 {
		t.Fatalf("%d events were applied before the first one", h.applied)
	}
	in, late := h.records("late", 1, 1), int64(held)+2
	steps := 0
	for more := true; more; steps++ {
		in = append(in, h.records(fmt.Sprint("other ", steps), 1, others)...)
		if more = h.applied < held-heldBudget; more {
			in = append(in, h.records("late", late, 1)...)
			late++
		}
		before, waits := h.applied, h.others
		if in, more = h.step(in); len(in) > 0 {
			t.Fatalf("step %d left %d events of others to the next one", steps, len(in))
		}
		if n := h.others - waits; n != others {
			t.Fatalf("step %d applied %d events of others, not %d", steps, n, others)
		}
		if n := h.applied - before; n > heldBudget/8+64 {
			t.Errorf("a step applied %d events that waited, of a budget of %d", n, heldBudget)
		}
	}
	if h.applied != late-1 {
		t.Errorf("%d of %d events were applied", h.applied, late-1)
	}
	if h.left < held || h.left >= late { // those that came last had nothing to wait for
		t.Errorf("the steps say that %d events that waited were let go, of %d", h.left, late-1)
	}
	if steps < 50 {
		t.Errorf("%d steps", steps)
	}
}

// A drain comes to its end although more of its entity come with every step than its part
// of the budget has room for: each that joins lets others go.
func TestADrainEndsWhileItsEntityIsHot(t *testing.T) {
	t.Parallel()
	const held = 4 * heldBudget
	h := newHole(t, 2*held)
	h.hold(held)
	in, late := h.records("late", 1, 1), int64(held)+2
	for steps := 0; h.applied < late-1-heldBudget; steps++ { // but for what a step has no room for
		if steps > 30 {
			t.Fatalf("after %d steps %d of %d events are applied", steps, h.applied, late-1)
		}
		n := heldBudget/2 - len(in)
		in = append(in, h.records("late", late, n)...)
		late += int64(n)
		in, _ = h.step(in)
	}
}
