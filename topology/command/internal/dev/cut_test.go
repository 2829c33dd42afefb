package dev

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/command/internal/feed"
)

func TestCutLosesNothingAndLeavesWorkForEveryKill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 2000).Draw(t, "events")
		window := rapid.IntRange(0, 60).Draw(t, "window")
		kills := rapid.IntRange(0, 6).Draw(t, "kills")
		plan, err := feed.NewPlan(n, feed.Options{Shuffle: window, DuplicatePercent: 10, LosePercent: 1, Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		segments, err := cut(plan.Deliveries, window, kills)
		if few := kills > 0 && len(plan.Deliveries) < kills*killChunks+tailChunks; few != (err != nil) {
			t.Fatalf("%d deliveries: error %v", len(plan.Deliveries), err)
		}
		if err != nil {
			return
		}
		if len(segments) != kills+1 {
			t.Fatalf("%d segments for %d kills", len(segments), kills)
		}
		at := 0
		for i, s := range segments {
			if kills > 0 && i < kills && len(s) != killChunks {
				t.Fatalf("segment %d has %d chunks", i, len(s))
			}
			for _, chunk := range s {
				if kills > 0 && len(chunk) == 0 {
					t.Fatalf("segment %d has an empty chunk", i)
				}
				for _, d := range chunk {
					if d != plan.Deliveries[at] {
						t.Fatalf("delivery %d is %v, want %v", at, d, plan.Deliveries[at])
					}
					at++
				}
			}
		}
		if at != len(plan.Deliveries) {
			t.Fatalf("%d of %d deliveries", at, len(plan.Deliveries))
		}
	})
}

// In a long feed nothing waits across a cut: all that is before a window was
// delivered before it, but for what is lost.
func TestCutsLieBetweenWindows(t *testing.T) {
	t.Parallel()
	plan, err := feed.NewPlan(8577, feed.Options{Shuffle: 50, DuplicatePercent: 10, LosePercent: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	segments, err := cut(plan.Deliveries, 50, 4)
	if err != nil {
		t.Fatal(err)
	}
	highest := -1
	for _, s := range segments {
		for _, chunk := range s {
			lowest := 1 << 30
			for _, d := range chunk {
				if !d.Copy {
					lowest = min(lowest, d.Event/50)
				}
			}
			if lowest <= highest {
				t.Errorf("a chunk begins in window %d, the one before it ends in %d", lowest, highest)
			}
			for _, d := range chunk {
				if !d.Copy {
					highest = max(highest, d.Event/50)
				}
			}
			if size := len(chunk); size < 300 || size > 1100 {
				t.Errorf("a chunk of %d deliveries", size)
			}
		}
	}
}
