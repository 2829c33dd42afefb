package reorder

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
)

// Gaps agrees with a look at every row, whatever was delivered and whenever.
func TestGapsAreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := bySequence()
		c.OnTimeout = policies.OnTimeoutSkip
		c.AutoWait = rapid.Bool().Draw(t, "auto")
		r := newRig(t, c)
		entities := []string{"A", "B", "C", "D", "E"}
		now := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "inputs") {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				r.commit()
				r.start()
			case 1, 2:
				now += rapid.Int64Range(1, 700).Draw(t, "later")
				r.tick(now)
			default:
				r.seq(rapid.SampledFrom(entities).Draw(t, "entity"), rapid.Int64Range(1, 6).Draw(t, "number"))
			}
			open, since := 0, int64(0)
			for _, e := range entities {
				row := r.row(e)
				if row == nil || row.rare == nil || !row.rare.hole.on {
					continue
				}
				if began := row.rare.opened; open == 0 || began < since {
					since = began
				}
				open++
			}
			if n, s := r.m.Gaps(); n != open || s != since {
				t.Fatalf("%d gaps since %d, want %d since %d", n, s, open, since)
			}
		}
	})
}
