package generate

import (
	"bytes"
	"errors"
	"flag"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// event is what the invariants are about.
type event struct {
	entity string
	number int
	id, at string
	last   bool
}

// kinds of events, brought to the same form.
func kinds() map[string]func(Options) (iter.Seq[event], error) {
	return map[string]func(Options) (iter.Seq[event], error){
		"orders": func(o Options) (iter.Seq[event], error) {
			return as(Orders, func(e Order) event { return event{e.OrderID, e.Seq, e.EventID, e.At, e.Last} })(o)
		},
		"permits": func(o Options) (iter.Seq[event], error) {
			return as(Permits, func(e Permit) event { return event{e.CaseID, e.Sequence, e.EventID, e.EventTime, e.Last} })(o)
		},
	}
}

func as[E any](of func(Options) (iter.Seq[E], error), f func(E) event) func(Options) (iter.Seq[event], error) {
	return func(o Options) (iter.Seq[event], error) {
		events, err := of(o)
		if err != nil {
			return nil, err
		}
		return func(yield func(event) bool) {
			for e := range events {
				if !yield(f(e)) {
					return
				}
			}
		}, nil
	}
}

func TestEventsKeepTheirInvariants(t *testing.T) {
	t.Parallel()
	for kind, generate := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				o := Options{Seed: rapid.Uint64().Draw(t, "seed"), Entities: rapid.IntRange(1, 40).Draw(t, "entities")}
				o.Events = o.Entities + rapid.IntRange(0, 400).Draw(t, "more")
				events, err := generate(o)
				if err != nil {
					t.Fatal(err)
				}
				checkEvents(t, o, events)
			})
		})
	}
}

func checkEvents(t *rapid.T, o Options, events iter.Seq[event]) {
	got := slices.Collect(events)
	if len(got) != o.Events {
		t.Fatalf("invariant 2: %d events, want %d", len(got), o.Events)
	}
	last := map[string]event{}
	ids := map[string]bool{}
	before := timestamp(o.withDefaults().Start)
	for _, e := range got {
		previous := last[e.entity]
		if e.number != previous.number+1 || previous.last {
			t.Fatalf("invariant 3: %+v follows %+v", e, previous)
		}
		if previous.number > 0 && e.at <= previous.at {
			t.Fatalf("invariant 3: %+v is not later than %+v", e, previous)
		}
		if e.at < before || ids[e.id] {
			t.Fatalf("invariant 4: %+v comes after %s, or its id is taken", e, before)
		}
		last[e.entity], ids[e.id], before = e, true, e.at
	}
	if len(last) != o.Entities {
		t.Fatalf("invariant 2: %d entities, want %d", len(last), o.Entities)
	}
	for _, e := range last {
		if !e.last {
			t.Fatalf("invariant 3: nothing follows %+v", e)
		}
	}
	if again := slices.Collect(events); !slices.Equal(again, got) {
		t.Fatalf("invariant 1: a second run gives\n%v\nafter\n%v", again, got)
	}
}

func TestEventsMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 1, Events: 60, Entities: 10}
	orders, err := Orders(o)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "orders.ndjson", orders)
	permits, err := Permits(o)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "permits.ndjson", permits)
}

func compareGolden[E any](t *testing.T, name string, events iter.Seq[E]) {
	t.Helper()
	var got bytes.Buffer
	if err := Write(&got, events); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestSeedsDiffer(t *testing.T) {
	t.Parallel()
	for kind, generate := range kinds() {
		one, err := generate(Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		two, err := generate(Options{Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(slices.Collect(one), slices.Collect(two)) {
			t.Errorf("%s: seeds 1 and 2 give the same events", kind)
		}
	}
}

func TestOrdersAreShippedOnlyWhenPaid(t *testing.T) {
	t.Parallel()
	orders, err := Orders(Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	balance := map[string]int{} // what the shop holds of the customer's money
	total := map[string]int{}
	ends := map[string]int{}
	for o := range orders {
		switch o.Type {
		case "created":
			total[o.OrderID] = o.Amount
		case "paid":
			balance[o.OrderID] += o.Amount
		case "shipped":
			if balance[o.OrderID] != total[o.OrderID] {
				t.Errorf("%s is shipped with %d paid of %d", o.OrderID, balance[o.OrderID], total[o.OrderID])
			}
		case "cancelled":
			if balance[o.OrderID] != o.Amount {
				t.Errorf("%s is cancelled with %d paid, %d given back", o.OrderID, balance[o.OrderID], o.Amount)
			}
		}
		if o.Last {
			ends[o.Type]++
		}
	}
	if ends["viewed"]+ends["paid"] > 0 || ends["shipped"] < 2*ends["cancelled"] || ends["cancelled"] == 0 {
		t.Errorf("orders end in %v", ends)
	}
}

func TestPermitsAreInterleavedAndTakeDifferentCourses(t *testing.T) {
	t.Parallel()
	permits, err := Permits(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]int{}
	switches, previous := 0, ""
	for p := range permits {
		if p.CaseID != previous {
			switches++
		}
		previous = p.CaseID
		if p.Last {
			ends[p.Activity]++
		}
		at, err := time.Parse(time.RFC3339, p.EventTime)
		if err != nil {
			t.Fatal(err)
		}
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday || at.Hour() < 8 || at.Hour() >= 17 {
			t.Fatalf("%s is not in working time", p.EventTime)
		}
	}
	if switches < 8_000 {
		t.Errorf("the case changes only %d times in 10,000 events", switches)
	}
	if len(ends) < 3 || ends["Send decision"] < 1_000 {
		t.Errorf("cases end with %v", ends)
	}
}

func TestWorkingTimeCountsDaysOneByOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 14*24*60).Draw(t, "start")) * time.Minute)
		passed := time.Duration(rapid.Int64Range(0, 200*60).Draw(t, "passed")) * time.Minute
		at := working(start, passed)
		if at.Before(start) {
			t.Fatalf("%v after %v is %v", passed, start, at)
		}
		// The twin walks there minute by minute.
		minutes := time.Duration(0)
		for m := start; m.Before(at); m = m.Add(time.Minute) {
			if day := m.Weekday(); day != time.Saturday && day != time.Sunday && m.Hour() >= 8 && m.Hour() < 17 {
				minutes += time.Minute
			}
		}
		opened := start.Weekday() != time.Saturday && start.Weekday() != time.Sunday && start.Hour() < 17
		if opened && minutes != passed {
			t.Fatalf("%v after %v is %v, which is %v of work", passed, start, at, minutes)
		}
	})
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Events: -1}, "-1 events"},
		{Options{Entities: -3}, "-3 entities"},
		{Options{Events: 4, Entities: 5}, "5 entities in 4 events"},
	} {
		for kind, generate := range kinds() {
			if _, err := generate(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %+v: error %v, want one with %q", kind, c.options, err, c.want)
			}
		}
	}
}

func TestWriteStopsAtAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	pulled := 0
	err := Write(failing{broken}, func(yield func(string) bool) {
		for pulled < 1_000_000 && yield("an event of some length that fills the buffer") {
			pulled++
		}
	})
	if !errors.Is(err, broken) || pulled == 1_000_000 {
		t.Errorf("error %v after %d events", err, pulled)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
