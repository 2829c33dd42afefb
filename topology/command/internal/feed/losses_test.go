package feed

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLossesSayWhatAReaderCanKnow(t *testing.T) {
	t.Parallel()
	places := []Place{
		{Entity: "a", Sequence: 1},
		{Entity: "a", Sequence: 2}, // lost: 3 follows
		{Entity: "a", Sequence: 3},
		{Entity: "a", Sequence: 4}, // lost: the last
		{Entity: "b", Sequence: 1}, // lost: all of b is lost
		{Entity: "b", Sequence: 2}, // lost
		{Entity: "c", Sequence: 9},
		{Entity: "c", Epoch: 1, Sequence: 1}, // lost: a later epoch than 9
		{Entity: "d", Sequence: 1},
		{Entity: "d", Sequence: 1}, // lost: the same event once more
		{},                         // lost: no metadata
	}
	got := Losses(len(places), []int{1, 3, 4, 5, 7, 9, 10}, func(event int) (Place, bool) {
		return places[event], places[event].Entity != ""
	})
	want := []Loss{
		{1, places[1], Followed},
		{3, places[3], Tail},
		{4, places[4], Whole},
		{5, places[5], Whole},
		{7, places[7], Tail},
		{9, places[9], Covered},
		{10, Place{}, Unplaced},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

// The twin asks every delivered event in turn.
func TestLossesMatchTheirTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Place {
			return Place{
				Entity:   rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "entity"),
				Epoch:    rapid.Int64Range(0, 1).Draw(t, "epoch"),
				Sequence: rapid.Int64Range(1, 6).Draw(t, "sequence"),
			}
		}), 0, 30).Draw(t, "places")
		plan, err := NewPlan(len(places), Options{LosePercent: 40, Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		got := Losses(len(places), plan.Lost, func(event int) (Place, bool) {
			return places[event], places[event].Entity != ""
		})
		var want []Loss
		for _, lost := range plan.Lost {
			want = append(want, Loss{lost, places[lost], obviousKind(places, plan, places[lost])})
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("nil", func(l []Loss) []Loss { return append([]Loss{}, l...) })); diff != "" {
			t.Fatalf("losses (-twin +got):\n%s", diff)
		}
	})
}

func obviousKind(places []Place, plan *Plan, lost Place) LossKind {
	if lost.Entity == "" {
		return Unplaced
	}
	same, later, earlier := false, false, false
	for _, d := range plan.Deliveries {
		at := places[d.Event]
		if at.Entity != lost.Entity {
			continue
		}
		switch {
		case at == lost:
			same = true
		case at.Epoch > lost.Epoch || at.Epoch == lost.Epoch && at.Sequence > lost.Sequence:
			later = true
		default:
			earlier = true
		}
	}
	switch {
	case same:
		return Covered
	case later:
		return Followed
	case earlier:
		return Tail
	}
	return Whole
}
