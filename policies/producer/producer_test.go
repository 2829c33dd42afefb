package producer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/policies/producer"
)

// flaky is a Source that fails before or after a call takes effect.
type flaky struct {
	producer.Source
	fail func(call string) (before, after bool)
}

var errFlaky = errors.New("flaky")

func (f flaky) OpenEpoch(ctx context.Context, epoch int64) error {
	return f.call("open", func() error { return f.Source.OpenEpoch(ctx, epoch) })
}

func (f flaky) Lookup(ctx context.Context, entity, id string) (last, own producer.Position, err error) {
	err = f.call("lookup", func() error {
		last, own, err = f.Source.Lookup(ctx, entity, id)
		return err
	})
	return last, own, err
}

func (f flaky) Record(ctx context.Context, entity, id string, p producer.Position) error {
	return f.call("record", func() error { return f.Source.Record(ctx, entity, id, p) })
}

func (f flaky) call(name string, do func() error) error {
	before, after := f.fail(name)
	if before {
		return errFlaky
	}
	err := do()
	if after && err == nil {
		return errFlaky
	}
	return err
}

// TestNumbersAreGaplessUnderRetriesAndCrashes drives a producer that crashes within
// any call, with and without its source, and sends again whatever is in doubt.
func TestNumbersAreGaplessUnderRetriesAndCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		type place struct {
			entity string
			epoch  int64
		}
		var (
			source  = producer.NewMemory(1000)
			numbers = map[place]map[int64]string{}   // what was given out, by number
			ids     = map[place]map[string]int64{}   // and by id
			stamped = map[string]producer.Position{} // what the living source gave each event
			sent    []policies.Metadata              // every event so far
			clock   = int64(100)
			n       *producer.Numberer
		)
		fail := func(call string) (before, after bool) {
			switch rapid.IntRange(0, 9).Draw(t, call) {
			case 0:
				return true, false
			case 1:
				return false, true
			}
			return false, false
		}
		restart := func() {
			for n = nil; n == nil; {
				clock++
				n, _ = producer.Open(ctx, flaky{source, fail}, clock)
			}
		}
		stamp := func(m policies.Metadata) bool {
			got, err := n.Stamp(ctx, m)
			if err != nil {
				if !errors.Is(err, errFlaky) {
					t.Fatal(err)
				}
				return false
			}
			if got.ID != m.ID || got.Entity != m.Entity || !got.HasSequence {
				t.Fatalf("%+v became %+v", m, got)
			}
			key := m.Entity + "/" + m.ID
			at := producer.Position{Epoch: got.Epoch, Sequence: got.Sequence}
			if was, again := stamped[key]; again && was != at {
				t.Fatalf("%s was at %v, is at %v", key, was, at)
			}
			stamped[key] = at
			p := place{m.Entity, got.Epoch}
			if numbers[p] == nil {
				numbers[p], ids[p] = map[int64]string{}, map[string]int64{}
			}
			if id, taken := numbers[p][got.Sequence]; taken && id != m.ID {
				t.Fatalf("%v: number %d is of %s and of %s", p, got.Sequence, id, m.ID)
			}
			if number, has := ids[p][m.ID]; has && number != got.Sequence {
				t.Fatalf("%v: %s has the numbers %d and %d", p, m.ID, number, got.Sequence)
			}
			numbers[p][got.Sequence], ids[p][m.ID] = m.ID, got.Sequence
			return true
		}
		lose := func() { source, stamped = producer.NewMemory(1000), map[string]producer.Position{} }
		// owed stamps what is in doubt until it has its number, as a producer must.
		owed := func(m policies.Metadata) {
			for !stamp(m) {
				switch rapid.IntRange(0, 5).Draw(t, "crash") {
				case 0, 1:
					restart()
				case 2:
					lose()
					restart()
				}
			}
		}
		restart()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				m := policies.Metadata{Entity: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "entity"), ID: fmt.Sprint("id-", len(sent))}
				sent = append(sent, m)
				owed(m)
			case 3:
				if len(sent) > 0 {
					owed(rapid.SampledFrom(sent).Draw(t, "retry"))
				}
			case 4:
				restart()
			default:
				lose()
				restart()
			}
		}
		for p, given := range numbers {
			for i := range int64(len(given)) {
				if given[producer.Start+i] == "" {
					t.Fatalf("%v: no number %d among %v", p, producer.Start+i, given)
				}
			}
		}
	})
}

func TestANewEpochOnlyWithoutTheSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	source := producer.NewMemory(10)
	for _, c := range []struct {
		fresh, want int64
		source      producer.Source
	}{{5, 5, source}, {9, 5, source}, {9, 9, producer.NewMemory(10)}} {
		n, err := producer.Open(ctx, c.source, c.fresh)
		if err != nil || n.Epoch() != c.want {
			t.Fatalf("want epoch %d, got %v, %v", c.want, n, err)
		}
	}
	if _, err := producer.Open(ctx, producer.NewMemory(10), 0); err == nil {
		t.Error("epoch 0 was opened")
	}
}

func TestAnOpenedEpochStartsAgainAndKeepsOldIDs(t *testing.T) {
	t.Parallel()
	ctx, source := t.Context(), producer.NewMemory(10)
	old, err := producer.Open(ctx, source, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := func(n *producer.Numberer, id string, epoch, number int64) {
		t.Helper()
		m, err := n.Stamp(ctx, policies.Metadata{Entity: "e", ID: id})
		if err != nil || m.Epoch != epoch || m.Sequence != number {
			t.Errorf("%s: %d/%d, %v", id, m.Epoch, m.Sequence, err)
		}
	}
	want(old, "a", 1, 1)
	want(old, "b", 1, 2)
	if err := source.OpenEpoch(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := source.OpenEpoch(ctx, 2); err == nil {
		t.Error("an epoch was opened twice")
	}
	n, err := producer.Open(ctx, source, 7)
	if err != nil {
		t.Fatal(err)
	}
	want(n, "b", 1, 2)
	want(n, "c", 2, 1)
	want(n, "d", 2, 2)
	for _, entity := range []string{"e", "f"} {
		if m, err := old.Stamp(ctx, policies.Metadata{Entity: entity, ID: "x"}); !errors.Is(err, producer.ErrEpoch) {
			t.Errorf("a producer of the old epoch gave out %+v, %v", m, err)
		}
	}
}

// overtaken is a Source of which another producer makes use between Lookup and Record.
type overtaken struct {
	producer.Source
	overtake func()
}

func (o *overtaken) Lookup(ctx context.Context, entity, id string) (last, own producer.Position, err error) {
	last, own, err = o.Source.Lookup(ctx, entity, id)
	if f := o.overtake; f != nil {
		o.overtake = nil
		f()
	}
	return last, own, err
}

func TestAProducerThatWasOvertakenAsksAgain(t *testing.T) {
	t.Parallel()
	ctx, source := t.Context(), &overtaken{Source: producer.NewMemory(10)}
	n, err := producer.Open(ctx, source, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, other := range []string{"b", "a"} { // another event, the same event
		event := policies.Metadata{Entity: fmt.Sprint("e", i), ID: "a"}
		source.overtake = func() {
			if _, err := n.Stamp(ctx, policies.Metadata{Entity: event.Entity, ID: other}); err != nil {
				t.Error(err)
			}
		}
		m, err := n.Stamp(ctx, event)
		if want := int64(2 - i); err != nil || m.Sequence != want {
			t.Errorf("overtaken by %s: number %d, %v", other, m.Sequence, err)
		}
	}
}

func TestMemoryRefusesTakenPositionsAndIDs(t *testing.T) {
	t.Parallel()
	ctx, source := t.Context(), producer.NewMemory(10)
	if err := source.OpenEpoch(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   string
		at   producer.Position
		want error
	}{
		{"a", producer.Position{Epoch: 1, Sequence: 2}, producer.ErrTaken},
		{"a", producer.Position{Epoch: 2, Sequence: 1}, producer.ErrEpoch},
		{"a", producer.Position{Epoch: 1, Sequence: 1}, nil},
		{"b", producer.Position{Epoch: 1, Sequence: 1}, producer.ErrTaken},
		{"a", producer.Position{Epoch: 1, Sequence: 2}, producer.ErrTaken},
		{"b", producer.Position{Epoch: 1, Sequence: 2}, nil},
	} {
		if err := source.Record(ctx, "e", c.id, c.at); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s at %v: %v", c.id, c.at, err)
		}
	}
}

func TestEventsWithoutIDOrEntityAreRefused(t *testing.T) {
	t.Parallel()
	n, err := producer.Open(t.Context(), producer.NewMemory(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Stamp(t.Context(), policies.Metadata{Entity: "e"}); !errors.Is(err, producer.ErrNoID) {
		t.Error(err)
	}
	if _, err := n.Stamp(t.Context(), policies.Metadata{ID: "i"}); !errors.Is(err, producer.ErrNoEntity) {
		t.Error(err)
	}
}

func TestMemoryForgetsTheOldestID(t *testing.T) {
	t.Parallel()
	ctx, source := t.Context(), producer.NewMemory(2)
	n, err := producer.Open(ctx, source, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"a", "b", "c", "b", "a"} {
		m, err := n.Stamp(ctx, policies.Metadata{Entity: "e", ID: id})
		if want := []int64{1, 2, 3, 2, 4}[i]; err != nil || m.Sequence != want {
			t.Errorf("%s: %d, %v", id, m.Sequence, err)
		}
	}
}

func TestProducersThatShareASourceShareTheNumbers(t *testing.T) {
	t.Parallel()
	ctx, source := t.Context(), producer.NewMemory(1000)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		given = map[int64]string{}
	)
	for i := range 4 {
		wg.Go(func() {
			n, err := producer.Open(ctx, source, 1)
			if err != nil {
				n, err = producer.Open(ctx, source, 1) // another one opened the epoch first
			}
			if err != nil {
				t.Error(err)
				return
			}
			for j := range 50 {
				m, err := n.Stamp(ctx, policies.Metadata{Entity: "e", ID: fmt.Sprint(i, "-", j)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other, taken := given[m.Sequence]; taken {
					t.Errorf("%d is of %s and of %s", m.Sequence, other, m.ID)
				}
				given[m.Sequence] = m.ID
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range int64(200) {
		if given[producer.Start+i] == "" {
			t.Errorf("no number %d", producer.Start+i)
		}
	}
}

func ExampleNumberer_Stamp() {
	ctx := context.Background()
	n, err := producer.Open(ctx, producer.NewMemory(100), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"created-7", "paid-7", "paid-7"} { // the last one is a retry
		m, err := n.Stamp(ctx, policies.Metadata{Entity: "order-7", ID: id})
		fmt.Println(m.ID, m.Epoch, m.Sequence, err)
	}
	// Output:
	// created-7 1 1 <nil>
	// paid-7 1 2 <nil>
	// paid-7 1 2 <nil>
}
