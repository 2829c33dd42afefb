package runner

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

// An instance that was away for longer than its session gets those tasks back whose
// state its directory has most of, and reads what it missed.
func TestAnInstanceThatComesBackGetsTheTasksThatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
		conf := func(name string) Config {
			return Config{Instance: name, Workers: 2, DataDir: dirs[name], SessionTimeout: 10 * time.Second}
		}
		x.feed(200, 40)
		a := x.start(conf("a"), nil)
		x.drained()
		b := x.start(conf("b"), nil)
		x.eventually("each has two", func() bool { return a.running(2)() && b.running(2)() })
		x.feed(200, 40)
		x.drained()
		had := slices.Sorted(maps.Keys(b.restoredTasks()))
		b.stop()
		x.eventually("a has all", a.running(4))
		x.feed(200, 40)
		x.drained()
		b = x.start(conf("b"), nil) // a must give two up: not the two with the largest numbers, but these
		x.eventually("each has two again", func() bool { return a.running(2)() && b.running(2)() })
		x.feed(200, 40)
		x.drained()
		if got := slices.Sorted(maps.Keys(b.restoredTasks())); !slices.Equal(got, had) {
			t.Errorf("b had %v, and got %v", had, got)
		}
		a.stop()
		x.eventually("b has all", b.running(4))
		a = x.start(conf("a"), nil)
		x.eventually("each has two at last", func() bool { return a.running(2)() && b.running(2)() })
		want := []string{"states_0", "states_1", "states_2", "states_3"}
		want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(had, name) })
		if got := slices.Sorted(maps.Keys(a.restoredTasks())); !slices.Equal(got, want) {
			t.Errorf("a had %v, and got %v", want, got)
		}
		for name := range a.restoredTasks() {
			if n := x.fromCheckpoint(a, int32(name[len(name)-1]-'0'), false); n != 0 {
				t.Errorf("%s: %d records were read that nobody wrote while a was away", name, n)
			}
		}
		a.stop()
		b.stop()
		x.check()
	})
}
