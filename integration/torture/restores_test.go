//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

// grown are the looks of a minute, every 50 ms: 10 records are committed each time, and 10
// more are on their way.
func grown(begin time.Time, crowd float64) (looks []look) {
	for n := range int64(1200) {
		at := begin.Add(time.Duration(n) * growthEvery)
		looks = append(looks, look{from: at, to: at.Add(time.Millisecond), stable: []int64{10 * n}, ends: []int64{10*n + 10}, crowd: crowd})
	}
	return looks
}

func TestJudgesWhatIsRestoredByWhatCanHaveBeenInMemory(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_000_000, 0)
	stopped := begin.Add(30 * time.Second)
	for _, c := range []struct {
		what       string
		crowd      float64
		restored   time.Duration // by the life before, after begin
		checkpoint string
		records    int64
		fits       string
	}{
		// 1.1 s and a look before it, and what was on its way: 23 * 10 and 10 and 10
		{"a second, and the writing", 1, 0, "d-0@5", 240, "yes"},
		{"more than was written since", 1, 0, "d-0@5", 280, "TOO MUCH"},
		{"as much, where ten threads wait for a processor", 10, 0, "d-0@5", 280, "yes"},
		{"more than was written since there, too", 10, 0, "d-0@5", 480, "TOO MUCH"},
		{"what the life before had restored just now", 1, 29 * time.Second, "d-0@5", 280, "yes"},
		{"no directory, long after the first commits", 1, 0, "", 1000, "TOO MUCH"},
		{"no directory, of what was never committed", 1, 0, "", 0, "yes"},
		{"no directory, after a life that had no time for one", 1, 29 * time.Second, "", 280, "yes"},
	} {
		before := &process{restores: []restore{{restored{Task: "t_0", Records: 100}, begin.Add(c.restored)}}}
		d := &drill{options: &options{store: string(runner.Badger)}, growth: growth{looks: grown(begin, c.crowd)}}
		l := &life{fault: 1, before: before, frozen: stopped, killed: stopped.Add(10 * time.Millisecond)}
		said, fits := d.judgeRestore(l, &restore{restored{Task: "t_0", Records: c.records, Checkpoint: c.checkpoint}, stopped.Add(time.Second)})
		if fits != (c.fits == "yes") || !fits && !strings.Contains(said, c.fits) {
			t.Errorf("%s: %s", c.what, said)
		}
	}
}

func TestJudgesNothingThatWasNotLookedAt(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_000_000, 0)
	d := &drill{options: &options{store: string(runner.Badger)}, growth: growth{looks: grown(begin, 1)}}
	l := &life{fault: 1, before: &process{}, frozen: begin.Add(2 * time.Minute), killed: begin.Add(2 * time.Minute)}
	if said, fits := d.judgeRestore(l, &restore{restored{Task: "t_0", Checkpoint: "d-0@5"}, begin}); fits {
		t.Error(said)
	}
}
