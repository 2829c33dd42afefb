package runner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/simulation"
)

// A requestFault is a fault that a call can pass into.
type requestFault struct {
	call string // in the gate
	mem.Fault
}

func (f requestFault) String() string {
	what := []string{"refused", "lost, never handled", "lost, handled", "lost, handled later"}[f.Outcome]
	if f.Outcome == mem.Answered {
		what = fmt.Sprintf("%s with %d", what, f.Code)
	}
	return fmt.Sprintf("%s %s", f.Request, what)
}

// requestFaults returns the faults of all kinds of request: each may be lost in three
// ways, and refused with the codes that it can have for an answer.
func requestFaults() (all []requestFault) {
	for _, r := range []struct {
		call    string
		request mem.Request
		codes   []int16
	}{
		{"Init", mem.InitProducerID, []int16{14, 15, 51}},
		{"Produce", mem.AddPartitions, []int16{14, 16, 47, 51, 90}},
		{"Produce", mem.Produce, []int16{6, 47}},
		{"SendOffsets", mem.AddOffsets, []int16{15, 47, 51}},
		{"SendOffsets", mem.TxnOffsetCommit, []int16{14, 22, 25, 47}},
		{"End", mem.EndTxn, []int16{14, 16, 47, 51}},
		{"Committed", mem.OffsetFetch, []int16{14, 88}},
		{"EndOffsets", mem.ListOffsets, []int16{6}},
		{"Fetch", mem.Fetch, []int16{5, 6}},
	} {
		for _, o := range []mem.Outcome{mem.LostNever, mem.LostApplied, mem.LostLater} {
			all = append(all, requestFault{r.call, mem.Fault{Request: r.request, Outcome: o}})
		}
		for _, c := range r.codes {
			all = append(all, requestFault{r.call, mem.Fault{Request: r.request, Outcome: mem.Answered, Code: c}})
		}
	}
	return all
}

// simKinds returns every kind of thing that a simulation does to an app.
func simKinds() []string {
	kinds := []string{
		"clock jumps", "delay", "event late", "event lost", "event twice", "instance joins", "kicked out of the group",
		"kill", "markers held", "standby takes over", "stop", "zombie",
	}
	for _, f := range requestFaults() {
		kinds = append(kinds, f.String())
	}
	slices.Sort(kinds)
	return kinds
}

// tooFew says what was attacked too seldom by a number of seeds: each kind is to have
// happened once in ten of 10,000 seeds, and to have happened at all in 1,000; of a
// hundred traces 99 are to differ.
func tooFew(seeds int, fired map[string]int, traces int) (problems []string) {
	floor := 0
	switch {
	case seeds >= 10_000:
		floor = seeds / 10
	case seeds >= 1000:
		floor = 1
	}
	for _, kind := range simKinds() {
		if fired[kind] < floor {
			problems = append(problems, fmt.Sprintf("%s: happened %d times in %d seeds, want %d", kind, fired[kind], seeds, floor))
		}
	}
	if floor > 0 && traces < seeds/100*99 {
		problems = append(problems, fmt.Sprintf("%d distinct traces of %d seeds, want %d", traces, seeds, seeds/100*99))
	}
	return problems
}

// fault reports whether a fault that was drawn is to happen in this step.
func (s *sim) fault(kind string) bool {
	if s.planned.Fault != simulation.AnyFault && s.planned.Fault != kind {
		return false
	}
	s.went().Fault = kind
	s.say("fault: %s", kind)
	return true
}

// note counts a fault that took effect.
func (s *sim) note(kind string) { s.verdict.fired[kind]++ }

// prefer draws the two faults that a simulation prefers, so that those happen often too
// that only few calls can meet: of a transaction, and most of all of its offsets.
func prefer(rnd *rand.Rand) (two [2]requestFault) {
	var of []requestFault
	for _, f := range requestFaults() {
		for range map[mem.Request]int{mem.AddPartitions: 2, mem.Produce: 2, mem.AddOffsets: 6, mem.TxnOffsetCommit: 9, mem.EndTxn: 4}[f.Request] {
			of = append(of, f)
		}
	}
	for i := range two {
		two[i] = of[rnd.IntN(len(of))]
	}
	return two
}

// draw draws a fault for what passes the gate, if it is to have one.
func (s *sim) draw(p *passage) (f requestFault, struck bool) {
	if p.answer {
		return f, false
	}
	one := func(n int) bool { return s.rnd.IntN(n) == 0 }
	for _, f := range s.preferred {
		if f.call == p.call && !one(3) {
			return f, s.fault(f.String())
		}
	}
	rate := map[string]int{"Fetch": 36, "Init": 9, "Committed": 7, "EndOffsets": 14, "Produce": 8, "SendOffsets": 3, "End": 5}[p.call]
	if rate == 0 || !one(rate) {
		return f, false
	}
	all := slices.DeleteFunc(requestFaults(), func(f requestFault) bool { return f.call != p.call })
	f = all[s.rnd.IntN(len(all))]
	return f, s.fault(f.String())
}

// strike lets a request pass into a fault.
func (s *sim) strike(p *passage, f requestFault) {
	f.Met = func() { s.note(f.String()) }
	remove := s.broker.Inject(f.Fault)
	s.let(p)
	s.rest()
	answered := slices.ContainsFunc(s.list(), func(o *passage) bool { return o.who == p.who && o.call == p.call && o.about == p.about && o.answer })
	if f.Outcome == mem.LostLater && !answered {
		s.removers = append(s.removers, remove)
		return
	}
	remove()
}

// holdMarkers keeps markers from landing until they are released.
func (s *sim) holdMarkers() (release func()) {
	land := s.broker.HoldMarkers()
	return func() {
		if len(s.broker.Markers()) > 0 {
			s.note("markers held")
		}
		land()
	}
}

// settleFaults ends what goes on.
func (s *sim) settleFaults() {
	for _, remove := range s.removers {
		remove()
	}
	s.removers = nil
	if s.release != nil {
		s.release()
		s.release = nil
	}
	for _, i := range s.instances {
		if i != nil {
			i.asleep = time.Time{}
		}
	}
}

// A kind of fault that never takes effect, or seldom, fails a long run.
func TestSimulationSeesWhatHappensTooSeldom(t *testing.T) {
	enough := func(n int) map[string]int {
		fired := map[string]int{}
		for _, kind := range simKinds() {
			fired[kind] = n
		}
		return fired
	}
	for _, c := range []struct {
		seeds, fired, traces int
		want                 string
	}{
		{10_000, 1000, 9900, ""},
		{10_000, 999, 9900, "EndTxn refused with 51: happened 999 times in 10000 seeds, want 1000"},
		{10_000, 1000, 9899, "9899 distinct traces of 10000 seeds, want 9900"},
		{1000, 1, 990, ""},
		{1000, 0, 990, "zombie: happened 0 times in 1000 seeds, want 1"},
		{60, 0, 1, ""},
	} {
		got := strings.Join(tooFew(c.seeds, enough(c.fired), c.traces), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%d seeds, %d of each kind, %d traces: %q, want %q", c.seeds, c.fired, c.traces, got, c.want)
		}
	}
}
