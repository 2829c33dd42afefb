package decide_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

func TestClockStandsUntilWhatWasThereIsRead(t *testing.T) {
	c := decide.NewClock(1000, []int64{10})
	if got := c.Advance(5000, 0, false); got != 1000 {
		t.Fatalf("before any answer: %d, want 1000", got)
	}
	c.Mark(0, 4900, 20)
	c.Read(0, 19)
	if got := c.Advance(5000, 0, false); got != 1000 {
		t.Fatalf("one record is not read: %d, want 1000", got)
	}
	c.Read(0, 20)
	if got := c.Advance(5000, 0, false); got != 4900 {
		t.Fatalf("all is read: %d, want 4900", got)
	}
}

func TestClockWaitsForItsSlowestSource(t *testing.T) {
	c := decide.NewClock(0, []int64{0, 0})
	c.Mark(0, 100, 0)
	c.Mark(1, 100, 5)
	if got := c.Advance(200, 0, false); got != 0 {
		t.Fatalf("source 1 is not read: %d, want 0", got)
	}
	c.Read(1, 5)
	c.Mark(0, 150, 0)
	if got := c.Advance(200, 0, false); got != 100 {
		t.Fatalf("got %d, want 100", got)
	}
}

func TestClockIsExactWhileTheTaskIsBehind(t *testing.T) {
	c := decide.NewClock(0, []int64{0})
	for i := range int64(10) {
		c.Mark(0, 100*i, 10*(i+1))
	}
	for i := range int64(10) {
		c.Read(0, 10*(i+1))
		if got := c.Advance(5000, 0, false); got != 100*i {
			t.Fatalf("having read up to %d: %d, want %d", 10*(i+1), got, 100*i)
		}
	}
}

func TestDowntimeEndsNoWait(t *testing.T) {
	// The task stopped at 1000 with a timer due at 1500, and comes back an hour later.
	const hour = 3_600_000
	c := decide.NewClock(1000, []int64{0})
	c.Mark(0, hour, 100)
	c.Read(0, 100)
	if got := c.Advance(hour, 1500, true); got != 1000 {
		t.Fatalf("the backlog is read: %d, want 1000", got)
	}
	c.Mark(0, hour+499, 100)
	if got := c.Advance(hour+499, 1500, true); got != 1499 {
		t.Fatalf("499 ms later: %d, want 1499", got)
	}
	c.Mark(0, hour+500, 100)
	if got := c.Advance(hour+500, 1500, true); got != 1500 {
		t.Fatalf("500 ms later: %d, want 1500", got)
	}
	if got := c.Advance(hour+500, 0, false); got != hour+500 {
		t.Fatalf("nothing waits any more: %d, want %d", got, hour+500)
	}
}

func TestClockGoesOnWhileASourceIsBlocked(t *testing.T) {
	c := decide.NewClock(0, []int64{0})
	c.Mark(0, 1000, 0)
	c.Advance(1000, 0, false)
	c.Mark(0, 1100, 50) // what follows cannot be consumed
	c.Block(0, 1200)
	if got := c.Advance(1700, 1500, true); got != 1500 {
		t.Fatalf("500 ms of blocking: %d, want 1500", got)
	}
	c.Unblock(0, 1700)
	if got := c.Advance(9000, 0, false); got != 1500 {
		t.Fatalf("not blocked any more, and not read: %d, want 1500", got)
	}
}

func TestABlockedBacklogJumpsNowhere(t *testing.T) {
	c := decide.NewClock(1000, []int64{0})
	c.Block(0, 500_000)
	if got := c.Advance(500_000, 1300, true); got != 1000 {
		t.Fatalf("at once: %d, want 1000", got)
	}
	if got := c.Advance(500_400, 1300, true); got != 1400 {
		t.Fatalf("got %d, want 1400", got)
	}
}

// D1 against what the partitions held at every time.
func TestClockNeverPassesUnreadRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type held struct{ at, end int64 }
		const sources = 2
		history := make([][]held, sources)
		ends := make([]int64, sources)
		read := make([]int64, sources)
		c := decide.NewClock(0, read)
		wall, last := int64(0), int64(0)
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			s := rapid.IntRange(0, sources-1).Draw(t, "source")
			wall += rapid.Int64Range(0, 20).Draw(t, "passes")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				ends[s] += rapid.Int64Range(1, 5).Draw(t, "written")
				history[s] = append(history[s], held{wall, ends[s]})
			case 1:
				c.Mark(s, wall, ends[s])
			case 2:
				read[s] = rapid.Int64Range(read[s], ends[s]).Draw(t, "read")
				c.Read(s, read[s])
			case 3:
				armed := rapid.Bool().Draw(t, "armed")
				now := c.Advance(wall, last+rapid.Int64Range(0, 50).Draw(t, "due"), armed)
				if now < last {
					t.Fatalf("back from %d to %d", last, now)
				}
				for i := range history {
					for _, h := range history[i] {
						if h.at < now && h.end > read[i] {
							t.Fatalf("clock %d, but source %d held %d at %d, and %d is read", now, i, h.end, h.at, read[i])
						}
					}
				}
				last = now
			}
		}
	})
}
