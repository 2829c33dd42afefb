package reorder

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
)

func TestWaitBuckets(t *testing.T) {
	t.Parallel()
	for ms := int64(0); ms < 1<<20; ms++ {
		i := waitBucket(ms)
		if waitBound(i) < ms || i > 0 && waitBound(i-1) >= ms {
			t.Fatalf("%d ms is in bucket %d, up to %d", ms, i, waitBound(i))
		}
	}
	if b := waitBound(waitBuckets - 1); b < waitLimit.Milliseconds() {
		t.Fatalf("the last bucket ends at %d", b)
	}
	if i := waitBucket(math.MaxInt64); i != waitBuckets-1 {
		t.Fatalf("what is longer is in bucket %d", i)
	}
}

func auto(least, most time.Duration) *waits {
	c := policies.Contract{AutoWait: true, MinWait: least, MaxWait: most}.WithDefaults()
	return newWaits(&c)
}

// cheapestOf is the same in floating point, straight from the definition: for every
// wait, the expected time that a hole is open until then, and the price of those that
// are still open.
func cheapestOf(w *waits) (best int64, costs map[int64]float64) {
	survives := func(until int64) float64 { // Kaplan and Meier
		s, atRisk := 1.0, float64(w.total)
		for i := range w.filled {
			if waitBound(i) > until {
				break
			}
			if atRisk > 0 {
				s *= 1 - float64(w.filled[i])/atRisk
			}
			atRisk -= float64(w.filled[i] + w.open[i])
		}
		return s
	}
	costs = map[int64]float64{}
	for i := 0; i < waitBuckets && waitBound(i) <= w.most; i++ {
		until := waitBound(i)
		cost := waitPrice * float64(w.most) * survives(until)
		for j := 1; j <= i; j++ {
			cost += survives(waitBound(j-1)) * float64(waitBound(j)-waitBound(j-1))
		}
		costs[until] = cost
		if c, ok := costs[best]; !ok || cost < c {
			best = until
		}
	}
	return best, costs
}

func TestTheWaitIsTheCheapest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := auto(time.Millisecond, time.Duration(rapid.IntRange(10, 5000).Draw(t, "most"))*time.Millisecond)
		for range rapid.IntRange(waitFew/waitWeight, 200).Draw(t, "holes") {
			ms := rapid.Int64Range(0, w.most).Draw(t, "ms")
			if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
				w.giveUp(ms)
			} else {
				w.fill(ms)
			}
		}
		got := w.cheapest()
		best, costs := cheapestOf(w)
		if cost, ok := costs[got]; !ok || cost > costs[best]*1.0001+0.01 {
			t.Fatalf("wait %d costs %f, wait %d costs %f", got, cost, best, costs[best])
		}
	})
}

func TestTheWaitStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Int64Range(1, 1000).Draw(t, "least")
		most := least + rapid.Int64Range(0, 1<<40).Draw(t, "more")
		w := auto(time.Duration(least)*time.Millisecond, time.Duration(min(most, 1<<42))*time.Millisecond)
		for range rapid.IntRange(0, 300).Draw(t, "holes") {
			switch ms := rapid.Int64Range(-1, math.MaxInt64).Draw(t, "ms"); rapid.IntRange(0, 2).Draw(t, "end") {
			case 0:
				w.fill(ms)
			case 1:
				w.giveUp(ms)
			default:
				w.late()
			}
			if w.wait < w.least || w.wait > w.most || w.total > waitMemory || w.total < 0 {
				t.Fatalf("wait %d of %d to %d, weight %d", w.wait, w.least, w.most, w.total)
			}
		}
	})
}

// What is stored goes on as what was not.
func TestStoredWaitsGoOn(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	w := auto(time.Millisecond, time.Minute)
	for i := range 1000 {
		switch rnd.IntN(8) {
		case 0:
			w.giveUp(rnd.Int64N(60_000))
		case 1:
			w.late()
		default:
			w.fill(rnd.Int64N(500))
		}
		again := auto(time.Millisecond, time.Minute)
		in := &reader{b: w.append(nil)}
		again.read(in)
		if err := in.end(); err != nil {
			t.Fatal(i, err)
		}
		again.changed = w.changed
		if *again != *w {
			t.Fatalf("after %d: %+v\nis not %+v", i, again, w)
		}
	}
}

func TestAHoleIsWaitedForAsLongAsOthersTook(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.AutoWait, c.MinWait, c.MaxWait, c.OnTimeout = true, time.Millisecond, 10*time.Second, policies.OnTimeoutSkip
	r := newRig(t, c)
	for n := int64(1); n <= 60; n += 2 { // thirty holes, each filled after 50 ms
		r.seq("A", n+1)
		r.tick(r.now + 50)
		r.seq("A", n)
	}
	r.commit()
	r.start() // what was learned is state
	last := func(want int64) {
		t.Helper()
		if got := r.row("A").Last(); got != want {
			t.Fatalf("at %d last is %d, not %d", r.now, got, want)
		}
	}
	r.seq("A", 62)
	opened := r.now
	r.tick(opened + 50)
	last(60)
	r.tick(opened + 55) // what lasts 50 ms is in the bucket up to 52
	last(62)
	r.seq("A", 61, 64) // so the wait was too short: the next is twice as long
	opened = r.now
	r.tick(opened + 100)
	last(62)
	r.tick(opened + 110)
	last(64)
}

// A hole of a trace opens at a time, and its event comes so long after; ms.
type hole struct{ opened, delay int64 }

// lost is the delay of an event that never comes.
const lost = math.MaxInt64

// play waits for the holes of a trace: so long, or as an estimator says, that learns
// what became of each when it is known. It returns the wait that they added, in ms on
// average, and the share of the events that come at all which came in time.
func play(trace []hole, fixed int64, learn *waits) (added, complete float64) {
	type lesson struct {
		at   int64
		tell func()
	}
	var lessons []lesson // that lie ahead, by time
	learned := func(at int64, tell func()) {
		i, _ := slices.BinarySearchFunc(lessons, at, func(l lesson, at int64) int {
			if l.at <= at {
				return -1
			}
			return 1
		})
		lessons = slices.Insert(lessons, i, lesson{at, tell})
	}
	came, inTime := 0, 0
	for _, h := range trace {
		for len(lessons) > 0 && lessons[0].at <= h.opened {
			lessons[0].tell()
			lessons = lessons[1:]
		}
		w := fixed
		if learn != nil {
			w = learn.wait
		}
		added += float64(min(h.delay, w)) / float64(len(trace))
		if h.delay != lost {
			came++
		}
		if h.delay <= w {
			inTime++
		}
		switch {
		case learn == nil:
		case h.delay <= w:
			learned(h.opened+h.delay, func() { learn.fill(h.delay) })
		default:
			learned(h.opened+w, func() { learn.giveUp(w) })
			if h.delay != lost {
				learned(h.opened+h.delay, learn.late)
			}
		}
	}
	return added, float64(inTime) / float64(came)
}

// A race is a trace, waited for as an estimator says, for the fixed wait that is as
// complete, chosen by who knows the whole trace, and for the largest delay. Waits are
// in ms on average.
type race struct {
	added, fixedAdded, largestAdded float64
	complete, fixedComplete         float64
}

// run plays a trace three times and prints what came of it.
func run(t *testing.T, name string, trace []hole, learn *waits) (r race) {
	t.Helper()
	var came []int64
	for _, h := range trace {
		if h.delay != lost {
			came = append(came, h.delay)
		}
	}
	slices.Sort(came)
	r.added, r.complete = play(trace, 0, learn)
	fixed := came[max(int(math.Round(r.complete*float64(len(came))))-1, 0)]
	r.fixedAdded, r.fixedComplete = play(trace, fixed, nil)
	largest := came[len(came)-1]
	r.largestAdded, _ = play(trace, largest, nil)
	t.Logf("%-15s estimated %6.1f ms, complete %.4f; fixed %5d: %6.1f ms, %.4f; largest %5d: %6.1f ms",
		name, r.added, r.complete, fixed, r.fixedAdded, r.fixedComplete, largest, r.largestAdded)
	if math.Abs(r.complete-r.fixedComplete) > 0.002 {
		t.Errorf("%s: complete to %f, the fixed wait to %f", name, r.complete, r.fixedComplete)
	}
	return r
}

// On traces whose delays change, the estimated wait costs less than the one fixed
// wait that is as complete, although that one is chosen by who knows the whole trace,
// and less than waiting for the largest delay. Where nothing changes, that fixed wait
// cannot be beaten: there the estimate costs little more.
func TestAnEstimatedWaitBeatsEveryFixedOne(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	for _, trace := range []struct {
		name   string
		median func(i int) float64 // ms
		lost   float64
		most   float64 // of what the fixed wait costs
	}{
		{"a slow quarter", func(i int) float64 { return []float64{20, 20, 2000, 20}[i/5000] }, 0.05, 0.9},
		{"slow spells", func(i int) float64 { return []float64{30, 30, 30, 1500}[i/1000%4] }, 0.05, 0.95},
		{"drift", func(i int) float64 { return 10 * math.Pow(200, float64(i)/20_000) }, 0.05, 0.95},
		{"half lost", func(i int) float64 { return []float64{50, 50, 1000}[i/2000%3] }, 0.5, 0.8},
		{"steady", func(int) float64 { return 40 }, 0.05, 1.1}, // 1.02 of it, with a deviation of 0.01
		{"nothing lost", func(i int) float64 { return []float64{30, 900}[i/4000%2] }, 0, 1.05},
	} {
		holes := make([]hole, 20_000) // one is decided before the next one opens
		for i := range holes {
			holes[i] = hole{int64(i) * 1e5, lost}
			if rnd.Float64() >= trace.lost {
				holes[i].delay = int64(trace.median(i) * math.Exp(0.4*rnd.NormFloat64()))
			}
		}
		r := run(t, trace.name, holes, auto(10*time.Millisecond, 10*time.Second))
		if r.complete < 0.98 {
			t.Errorf("%s: complete to %f", trace.name, r.complete)
		}
		if r.added > trace.most*r.fixedAdded || trace.lost > 0 && r.added >= max(1, trace.most)*r.largestAdded {
			t.Errorf("%s: the estimated wait adds %f ms, the fixed one %f, the largest delay %f", trace.name, r.added, r.fixedAdded, r.largestAdded)
		}
	}
}

// recorded reads the trace of testdata/delays.txt, which says how it was made.
func recorded(t *testing.T) (trace []hole) {
	t.Helper()
	text, err := os.ReadFile("testdata/delays.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var h hole
		opened, delay, _ := strings.Cut(strings.TrimSpace(line), " ")
		if h.opened, err = strconv.ParseInt(opened, 10, 64); err != nil {
			t.Fatal(err)
		}
		if h.delay = lost; delay != "lost" {
			if h.delay, err = strconv.ParseInt(delay, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		trace = append(trace, h)
	}
	return trace
}

// Of producers that were killed and started again: most holes are of the bursts in which
// they send again what was not acknowledged, and nothing foretells a burst. The wait
// that failed in one is multiplied once, not once for each of its events.
func TestAnEstimatedWaitOnARecordedTrace(t *testing.T) {
	t.Parallel()
	for _, most := range []time.Duration{time.Second, 10 * time.Second} {
		r := run(t, "to "+most.String(), recorded(t), auto(time.Millisecond, most))
		if r.added >= r.fixedAdded || r.added >= r.largestAdded {
			t.Errorf("to %v: the estimated wait adds %f ms, the fixed one %f, the largest delay %f", most, r.added, r.fixedAdded, r.largestAdded)
		}
	}
}
