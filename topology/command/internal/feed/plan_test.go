package feed

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestZeroOptionsDeliverTheInput(t *testing.T) {
	t.Parallel()
	plan, err := NewPlan(3, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Plan{Deliveries: []Delivery{{Event: 0}, {Event: 1}, {Event: 2}}, Lost: []int{}, Duplicates: []int{}}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestSharesAreExact(t *testing.T) {
	t.Parallel()
	plan, err := NewPlan(8577, Options{Shuffle: 50, DuplicatePercent: 10, LosePercent: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(len(plan.Deliveries), len(plan.Lost), len(plan.Duplicates))
	if want := "9340 86 849"; got != want { // 85.77 of 8577, 849.1 of 8491
		t.Errorf("deliveries, lost, duplicates = %s, want %s", got, want)
	}
}

func TestPlanKeepsItsInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "events")
		o := Options{
			Shuffle:          rapid.IntRange(0, 60).Draw(t, "shuffle"),
			DuplicatePercent: rapid.Float64Range(0, 100).Draw(t, "duplicate"),
			LosePercent:      rapid.Float64Range(0, 100).Draw(t, "lose"),
			Seed:             rapid.Uint64().Draw(t, "seed"),
		}
		plan, err := NewPlan(n, o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := NewPlan(n, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan, again); diff != "" {
			t.Fatalf("invariant 1: a second plan differs:\n%s", diff)
		}
		checkCounts(t, n, o, plan)
		checkDeliveries(t, n, plan)
		checkWindows(t, o.Shuffle, plan)
	})
}

func checkCounts(t *rapid.T, n int, o Options, plan *Plan) {
	if got, want := len(plan.Lost), share(n, o.LosePercent); got != want {
		t.Fatalf("invariant 2: %d lost, want %d", got, want)
	}
	delivered := n - len(plan.Lost)
	if got, want := len(plan.Duplicates), share(delivered, o.DuplicatePercent); got != want {
		t.Fatalf("invariant 2: %d duplicates, want %d", got, want)
	}
	if got, want := len(plan.Deliveries), delivered+len(plan.Duplicates); got != want {
		t.Fatalf("invariant 2: %d deliveries, want %d", got, want)
	}
}

// share rounds half up in whole steps, unlike the code under test.
func share(n int, percent float64) int {
	count := 0
	for count < n && float64(count+1)-float64(n)*percent/100 <= 0.5 {
		count++
	}
	return count
}

func checkDeliveries(t *rapid.T, n int, plan *Plan) {
	times := make([]int, n)
	for _, d := range plan.Deliveries {
		if d.Copy != (times[d.Event] == 1) {
			t.Fatalf("invariant 3: event %d is marked copy=%v after %d deliveries", d.Event, d.Copy, times[d.Event])
		}
		times[d.Event]++
	}
	for event, got := range times {
		want := 1
		switch {
		case slices.Contains(plan.Lost, event):
			want = 0
		case slices.Contains(plan.Duplicates, event):
			want = 2
		}
		if got != want {
			t.Fatalf("invariant 3: event %d is delivered %d times, want %d", event, got, want)
		}
	}
	if !slices.IsSorted(plan.Lost) || !slices.IsSorted(plan.Duplicates) {
		t.Fatalf("lost or duplicates are not sorted: %v, %v", plan.Lost, plan.Duplicates)
	}
}

func checkWindows(t *rapid.T, window int, plan *Plan) {
	window = max(window, 1)
	reached := 0
	for _, d := range plan.Deliveries {
		if d.Copy {
			continue
		}
		w := d.Event / window
		if w < reached {
			t.Fatalf("invariant 4: event %d of window %d comes after window %d", d.Event, w, reached)
		}
		reached = w
	}
}

func TestShuffleUsesTheWholeWindow(t *testing.T) {
	t.Parallel()
	// Every event of the first window is first for some seed, so that neither the
	// order nor a rotation of it stands for a shuffle.
	first := map[int]bool{}
	second := map[string]bool{}
	for seed := range uint64(400) {
		plan, err := NewPlan(12, Options{Shuffle: 4, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		first[plan.Deliveries[0].Event] = true
		second[fmt.Sprint(plan.Deliveries[:4])] = true
	}
	if len(first) != 4 || len(second) != 24 {
		t.Errorf("%d first events of 4, %d orders of 24 were seen", len(first), len(second))
	}
}

func TestLossLeavesTheOrderAlone(t *testing.T) {
	t.Parallel()
	all, err := NewPlan(500, Options{Shuffle: 50, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	some, err := NewPlan(500, Options{Shuffle: 50, LosePercent: 5, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(all.Deliveries), func(d Delivery) bool {
		return slices.Contains(some.Lost, d.Event)
	})
	if diff := cmp.Diff(want, some.Deliveries); diff != "" {
		t.Errorf("order of what is left (-without loss +with loss):\n%s", diff)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Shuffle: -1}, "shuffle window is -1"},
		{Options{DuplicatePercent: 101}, "share of duplicates is 101%"},
		{Options{DuplicatePercent: math.NaN()}, "share of duplicates is NaN%"},
		{Options{LosePercent: -0.5}, "share of lost events is -0.5%"},
	} {
		if _, err := NewPlan(10, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.options, err, c.want)
		}
	}
}
