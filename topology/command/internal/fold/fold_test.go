package fold

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deliveries reads "a1 a2 b1@50": entity, number and clock, which is else that of the
// one before.
func deliveries(text string) []Event {
	var events []Event
	at := int64(0)
	for word := range strings.FieldsSeq(text) {
		e := Event{Entity: word[:1], HasSequence: true, ID: word}
		word, clock, _ := strings.Cut(word, "@")
		e.ID, e.Clock = word, at
		if _, err := fmt.Sscan(word[1:], &e.Sequence); err != nil {
			panic(err)
		}
		if clock != "" {
			if _, err := fmt.Sscan(clock, &e.Clock); err != nil {
				panic(err)
			}
		}
		at = e.Clock
		events = append(events, e)
	}
	return events
}

// path is the apply of most tests: the state is the numbers applied; 66 fails.
func path(events []Event) Apply {
	return func(i int, state any) (any, error) {
		if events[i].Sequence == 66 {
			return nil, errors.New("fails for good")
		}
		if state == nil {
			state = ""
		}
		return fmt.Sprint(state, " ", events[i].Sequence), nil
	}
}

func text(r *Result) string {
	if r.Unknown != "" {
		return "unknown: " + r.Unknown
	}
	s := "nothing"
	if r.State != nil {
		s = strings.TrimSpace(r.State.(string))
	}
	for _, part := range []struct {
		name string
		list any
		n    int
	}{{"refused", r.Refused, len(r.Refused)}, {"waiting", r.Waiting, len(r.Waiting)}, {"missing", r.Missing, len(r.Missing)}, {"holes", r.Holes, len(r.Holes)}, {"dropped", r.Dropped, len(r.Dropped)}, {"given up", r.GivenUp, len(r.GivenUp)}} {
		if part.n > 0 {
			s += fmt.Sprintf("; %s %v", part.name, part.list)
		}
	}
	if r.Parked {
		s += "; parked"
	}
	return s
}

func TestSequence(t *testing.T) {
	t.Parallel()
	pass := func(string) bool { return true }
	for _, c := range []struct {
		name   string
		events string
		rules  Rules
		want   string
	}{
		{"any order gives the order of numbers", "a3 a1 a2", Rules{Start: 1}, "1 2 3"},
		{"a repetition counts once", "a2 a1 a1 a2 a3 a1", Rules{Start: 1}, "1 2 3"},
		{"a gap stops the entity", "a1 a3 a4 a3", Rules{Start: 1}, "1; refused [1 2]; missing [2]; parked"},
		{"every gap is listed", "a1 a3 a6", Rules{Start: 1}, "1; refused [1 2]; missing [2 4 to 5]; parked"},
		{"a gap at the start stops it too", "a3", Rules{Start: 1}, "nothing; refused [0]; missing [1 to 2]; parked"},
		{"a gap is passed", "a1 a3 a6", Rules{Start: 1, AtGap: Pass}, "1 3 6; missing [2 4 to 5]; holes [2 4 to 5]"},
		{"a gap as wide as numbers are", "a1 a4611686018427387904", Rules{Start: 1, AtGap: Pass}, "1 4611686018427387904; missing [2 to 4611686018427387903]; holes [2 to 4611686018427387903]"},
		{"a gap is waited for", "a1 a3", Rules{Start: 1, AtGap: Wait}, "1; waiting [1]; missing [2]"},
		{"numbers before the start are refused", "a1 a5 a6 a1", Rules{Start: 5}, "5 6; refused [0]"},
		{"the first seen is the start", "a5 a4 a6", Rules{FirstSeen: true}, "5 6; refused [1]"},
		{"a failure stops the entity", "a65 a66 a67", Rules{Start: 65}, "65; refused [1 2]; parked"},
		{"what a failure ends has no holes behind it", "a64 a66 a68", Rules{Start: 64, AtGap: Pass}, "64; refused [1 2]; missing [65 67]; holes [65]; parked"},
		{"a failure is passed", "a67 a66 a65", Rules{Start: 65, Passes: pass}, "65 67; refused [1]; holes [66]"},
		{"a jump too far is refused and leaves no gap", "a1 a9 a2 a10", Rules{Start: 1, MaxJump: 6}, "1 2; refused [1 3]"},
		{"a jump from nothing", "a9", Rules{Start: 1, MaxJump: 8}, "nothing; refused [0]"},
		{"a jump that may be", "a1 a4", Rules{Start: 1, AtGap: Pass, MaxJump: 4}, "1 4; missing [2 to 3]; holes [2 to 3]"},
		{"a jump that depends on what came before", "a1 a4 a7", Rules{Start: 1, AtGap: Pass, MaxJump: 4}, "unknown: its number 7 is a jump, or is none, as the others arrive"},
		{"no gap, no jump", "a1 a2 a3 a4 a5", Rules{Start: 1, MaxJump: 2}, "1 2 3 4 5"},
		{"more events wait than may", "a1 a3 a5 a4 a2", Rules{Start: 1, MaxHeld: 2}, "unknown: 3 of its events had to wait at a time, and only 2 may"},
		{"more wait for what never comes than may", "a1 a3 a4 a5", Rules{Start: 1, MaxHeld: 2}, "unknown: 3 of its events had to wait at a time, and only 2 may"},
		{"what is before the start does not wait", "a1 a2 a3 a5 a6 a4", Rules{Start: 4, MaxHeld: 2}, "4 5 6; refused [0 1 2]"},
		{"as many events wait as may", "a3 a2 a3 a1 a6 a5 a4 a7", Rules{Start: 1, MaxHeld: 2}, "1 2 3 4 5 6 7"},
	} {
		events := deliveries(c.events)
		if got := text(Sequence(events, c.rules, path(events))["a"]); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.events, got, c.want)
		}
	}
}

// A number is given up when its wait is over, also if its event comes later.
func TestSequenceWithWaits(t *testing.T) {
	t.Parallel()
	drops := func(string) bool { return true }
	park, skip := Rules{Start: 1, MaxWait: 100}, Rules{Start: 1, MaxWait: 100, AtGap: Pass}
	for _, c := range []struct {
		name   string
		events string
		rules  Rules
		want   string
	}{
		{"one millisecond earlier is in time", "a1 a3@10 a2@109", park, "1 2 3"},
		{"when the wait is over it is late", "a1 a3@10 a2@110 a4", park, "1; refused [2 1 3]; given up [{2 110 100}]; parked"},
		{"a hole, and what follows is applied", "a1 a3@10 a2@110 a4", skip, "1 3 4; refused [2]; given up [{2 110 100}]"},
		{"a late event that is dropped", "a1 a3@10 a2@999 a4", Rules{Start: 1, MaxWait: 100, AtGap: Pass, Drops: drops}, "1 3 4; dropped [2]; given up [{2 110 989}]"},
		{"a repetition of a late event", "a1 a3@10 a2@999 a2 a4", skip, "1 3 4; refused [2]; given up [{2 110 989}]"},
		{"a wait goes on when more events come", "a1 a3@10 a4@60 a2@110", park, "1; refused [3 1 2]; given up [{3 110 100}]; parked"},
		{"a wait begins anew for the next number", "a1 a3@10 a5@60 a2@105 a4@204", skip, "1 2 3 4 5"},
		{"and is over when that is due", "a1 a3@10 a5@60 a2@105 a4@205", skip, "1 2 3 5; refused [4]; given up [{4 205 100}]"},
		{"the next wait begins when the one before is over", "a1 a3@10 a5@60 a2@150 a4@209", skip, "1 3 4 5; refused [3]; given up [{3 110 140}]"},
		{"both are over", "a1 a3@10 a5@60 a4@210 a2@300", skip, "1 3 5; refused [4 3]; given up [{4 110 290} {3 210 100}]"},
		{"a wait that is never over", "a1 a3@10 a2@999", Rules{Start: 1, AtGap: Wait}, "1 2 3"},
		{"one that never comes is not late", "a1 a3@10 a4@500", skip, "1 3 4; missing [2]; holes [2]"},
		{"nor where it ends the entity", "a1 a3@10 a4@500", park, "1; refused [1 2]; missing [2]; parked"},
		{"a wide gap of which one comes late", "a1 a9@10 a5@200", skip, "1 9; refused [2]; missing [2 to 4 6 to 8]; holes [2 to 4 6 to 8]; given up [{2 110 190}]"},
		{"what may not wait stops all until the wait is over", "a1 a3@10 a4@20 a5@110 a6@110", Rules{Start: 1, MaxWait: 100, AtGap: Pass, MaxHeld: 2}, "1 3 4 5 6; missing [2]; holes [2]"},
		{"more holes than may be", "a1 a3@10 a5@500 a7@999", Rules{Start: 1, MaxWait: 100, AtGap: Pass, MaxHoles: 2}, "unknown: it has up to 3 holes at a time, and only 2 may be"},
		{"as many holes as may be", "a1 a3@10 a5@500 a7@999", Rules{Start: 1, MaxWait: 100, AtGap: Pass, MaxHoles: 3}, "1 3 5 7; missing [2 4 6]; holes [2 4 6]"},
		{"a failure behind a late event", "a64 a66@10 a65@200", Rules{Start: 64, MaxWait: 100, AtGap: Pass}, "unknown: an event failed for good, and whether that was before others came too late is not known"},
		{"a failure before what would be late", "a66 a68@10 a67@200", Rules{Start: 66, MaxWait: 100, AtGap: Pass}, "nothing; refused [0 2 1]; parked"},
		{"a wait at the start", "a2 a1@100", skip, "2; refused [1]; given up [{1 100 100}]"},
	} {
		events := deliveries(c.events)
		if got := text(Sequence(events, c.rules, path(events))["a"]); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.events, got, c.want)
		}
	}
}

func TestSequenceSaysWhatItCannotKnow(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Event){
		`its events are of the producer epochs 0 and 1`:    func(e *Event) { e.Epoch = 1 },
		`the events "a2" and "x" have the same number 2`:   func(e *Event) { e.ID, e.Sequence = "x", 2 },
		`event "a1" has the numbers 1 and 3`:               func(e *Event) { e.ID = "a1" },
		`the events "a2" and "a3" have the same number 2`:  func(e *Event) { e.Sequence = 2 },
		`its events are of the producer epochs 0 and 7`:    func(e *Event) { e.Epoch, e.ID = 7, "" },
		`the events "a1" and "" have the same number 1`:    func(e *Event) { e.ID, e.Sequence = "", 1 },
		`its events are of the producer epochs 0 and -1`:   func(e *Event) { e.Epoch = -1 },
		`the events "a1" and "a1b" have the same number 1`: func(e *Event) { e.ID, e.Sequence = "a1b", 1 },
	} {
		events := deliveries("a1 a2 a3 b1")
		change(&events[2])
		results := Sequence(events, Rules{Start: 1}, path(events))
		if got := results["a"].Unknown; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := text(results["b"]); got != "1" {
			t.Errorf("%s: b is %s", want, got)
		}
	}
}

func TestUnusableMetadataIsRefusedEachTime(t *testing.T) {
	t.Parallel()
	events := deliveries("a1 a2 a3 a4 a5")
	events[1].Invalid = true
	events[2].HasSequence = false
	events[3].Sequence = -1
	events[4].Sequence = 1<<63 - 1
	r := Sequence(events, Rules{Start: 1}, path(events))["a"]
	if got, want := text(r), "1; refused [1 2 3 4]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAVersionThatGoesBackIsRefused(t *testing.T) {
	t.Parallel()
	events := deliveries("a1 a2 a3 a4")
	events[0].Version, events[1].Version, events[3].Version = 5, 4, 6 // a3 has none
	pass := func(string) bool { return true }
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{Start: 1}, "1 2 3 4"},
		{Rules{Start: 1, NoStepBack: true, Passes: pass}, "1 3 4; refused [1]; holes [2]"},
		{Rules{Start: 1, NoStepBack: true}, "1; refused [1 2 3]; parked"},
	} {
		if got := text(Sequence(events, c.rules, path(events))["a"]); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.rules, got, c.want)
		}
	}
}

func TestAnyDeliveryGivesTheSameSequence(t *testing.T) {
	t.Parallel()
	const all = "a1 a2 a3 a4 a6 a66 b1 b3 b4 c2 c3"
	events := deliveries(all)
	want := map[string]string{}
	for entity, r := range Sequence(events, Rules{Start: 1, AtGap: Pass}, path(events)) {
		want[entity] = r.State.(string)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		shuffled := append(deliveries(all), deliveries(all)[rng.IntN(11)])
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := map[string]string{}
		for entity, r := range Sequence(shuffled, Rules{Start: 1, AtGap: Pass}, path(shuffled)) {
			got[entity] = r.State.(string)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%v (-sorted +shuffled):\n%s", shuffled, diff)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	e := func(version, time int64, id string) Event {
		return Event{Entity: "a", Version: version, Time: time, ID: id}
	}
	last := func(events []Event) Apply {
		return func(i int, state any) (any, error) {
			if events[i].ID == "bad" {
				return nil, errors.New("fails for good")
			}
			return events[i].ID, nil
		}
	}
	pass := func(string) bool { return true }
	for _, c := range []struct {
		name   string
		events []Event
		rules  Rules
		want   string
	}{
		{"the greatest version", []Event{e(2, 0, "x"), e(3, 0, "y"), e(1, 0, "z")}, Rules{}, "y"},
		{"then the latest time", []Event{e(2, 9, "x"), e(2, 8, "y")}, Rules{}, "x"},
		{"then the greatest id", []Event{e(2, 8, "x"), e(2, 8, "y"), e(2, 8, "x")}, Rules{}, "y"},
		{"one that fails is passed", []Event{e(1, 0, "x"), e(2, 0, "bad"), e(2, 0, "bad")}, Rules{Passes: pass}, "x; refused [1]"},
		{"one that fails stops the entity", []Event{e(1, 0, "x"), e(2, 0, "bad"), e(2, 0, "bad")}, Rules{}, "x; refused [1]; parked"},
		{"what follows such a one is for others to judge", []Event{e(2, 0, "bad"), e(3, 0, "y")}, Rules{}, "unknown: events came after one that failed for good"},
		{"unusable metadata", []Event{{Entity: "a", Invalid: true}, e(1, 0, "x")}, Rules{}, "x; refused [0]"},
	} {
		if got := text(Latest(c.events, c.rules, last(c.events))["a"]); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
