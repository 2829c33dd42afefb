package decide_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

func TestATrailUnderLoadIsCompleteAsOfItsMarks(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	tr := decide.NewTrail(0, at(0))
	for i, c := range []struct{ sent, next, high, stable, asOf, lag int64 }{
		{10, 5, 20, 18, 0, 13},   // 20 is to be reached for 10
		{11, 12, 30, 29, 0, 17},  // not yet
		{12, 20, 40, 38, 10, 18}, // reached; 40 is next, for 12
		{13, 39, 50, 49, 10, 10},
		{14, 60, 60, 60, 14, 0}, // the end itself
	} {
		tr.Read(at(c.sent), c.next, c.high, c.stable)
		if tr.AsOf() != at(c.asOf) || tr.Lag() != c.lag || tr.Next() != c.next {
			t.Errorf("answer %d: as of %d, lag %d, next %d", i, tr.AsOf().Unix(), tr.Lag(), tr.Next())
		}
	}
	tr.Unchanged(at(20))
	if tr.AsOf() != at(20) {
		t.Errorf("nothing new at its end: as of %d", tr.AsOf().Unix())
	}
	tr = decide.NewTrail(7, at(3))
	tr.Unchanged(at(20))
	if tr.AsOf() != at(3) {
		t.Errorf("it has never been told its end: as of %d", tr.AsOf().Unix())
	}
}

// D6 against what the partition held at every time.
func TestATrailIsNeverMoreCompleteThanItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type held struct{ at, end int64 }
		var history []held
		now, end, next, told := int64(0), int64(0), int64(0), int64(-1)
		tr := decide.NewTrail(0, time.Unix(0, 0))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now++
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				end += rapid.Int64Range(1, 5).Draw(t, "written")
				history = append(history, held{now, end})
			case 1:
				sent := now - rapid.Int64Range(0, 3).Draw(t, "on the way")
				next = rapid.Int64Range(next, end).Draw(t, "read")
				tr.Read(time.Unix(sent, 0), next, end, end)
				told = end
			case 2:
				if told == end {
					tr.Unchanged(time.Unix(now-1, 0))
				}
			}
			for _, h := range history {
				if h.at <= tr.AsOf().Unix() && h.end > next {
					t.Fatalf("complete as of %d, but it held %d at %d, and %d is read", tr.AsOf().Unix(), h.end, h.at, next)
				}
			}
		}
	})
}
