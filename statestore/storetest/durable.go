package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

func reopen(t *testing.T, p Place) {
	b := open(t, p)
	must(t, "Apply writes", b.Apply([]statestore.Put{put("s1", "a"), put("s2", "b"), put("s3", "")}, []statestore.Position{{Topic: "t", Offset: 3}}))
	must(t, "Close has no error", b.Close())
	b = open(t, p)
	expect(t, b, "a row outlives a Close", "s1", "a", true)
	expect(t, b, "an empty row outlives a Close", "s3", "", true)
	if d := cmp.Diff([]statestore.Position{{Topic: "t", Offset: 3}}, b.Positions()); d != "" {
		t.Fatalf("positions outlive a Close: %s", d)
	}
	must(t, "Apply writes", b.Apply([]statestore.Put{remove("s1")}, []statestore.Position{{Topic: "t", Offset: 4}}))
	expect(t, b, "a row from before the Close can be deleted", "s1", "", false)
	must(t, "Flush has no error", p.Flush(b))
	expect(t, b, "a row that was flushed is seen", "s2", "b", true)
	expect(t, b, "a flushed deletion stays", "s1", "", false)
	must(t, "Close has no error", b.Close())
	b = open(t, p)
	defer b.Close()
	expect(t, b, "a deletion outlives a Close", "s1", "", false)
	if d := cmp.Diff([]statestore.Position{{Topic: "t", Offset: 4}}, b.Positions()); d != "" {
		t.Fatalf("positions outlive a Close: %s", d)
	}
}

// changelog is where the tests of crashes have their rows from: the batch at offset n
// is the same whenever it is applied.
type changelog struct{}

func (changelog) puts(n int64) []statestore.Put {
	puts := []statestore.Put{put("s-all", fmt.Sprint(n)), put(fmt.Sprintf("s-%d", n), fmt.Sprintf("row %d", n))}
	if n >= 10 {
		puts = append(puts, remove(fmt.Sprintf("s-%d", n-10)))
	}
	for i := range n % 7 {
		puts = append(puts, put(fmt.Sprintf("s-often-%d", i), fmt.Sprint(n)))
	}
	return puts
}

func (c changelog) apply(b statestore.Backend, n int64) error {
	return b.Apply(c.puts(n), []statestore.Position{{Topic: "t", Offset: n + 1}})
}

// state is what is left of the batches from 0 to end.
func (c changelog) state(end int64) map[string]string {
	m := make(map[string]string)
	for n := range end {
		fold(m, c.puts(n))
	}
	return m
}

// restore does what a restore does: it applies from the position to the end. It
// returns the position.
func (c changelog) restore(t tester, b statestore.Backend, end int64) int64 {
	t.Helper()
	from := int64(0)
	for _, p := range b.Positions() {
		from = p.Offset
	}
	if from > end {
		t.Fatalf("a position is never ahead of what was applied: it is %d, and %d batches were applied", from, end)
	}
	for n := from; n < end; n++ {
		must(t, "Apply writes", c.apply(b, n))
	}
	if d := cmp.Diff(c.state(end), contents(t, b)); d != "" {
		t.Fatalf("rows are complete up to the position: with %d to %d applied again (-want +got) %s", from, end-1, d)
	}
	return from
}

func crash(t *testing.T, p Place) {
	var c changelog
	b := open(t, p)
	end := int64(0)
	for round := range int64(6) {
		flushed := int64(0)
		for i := range 5 + 7*round {
			must(t, "Apply writes", c.apply(b, end))
			end++
			if i == 3*round {
				must(t, "Flush has no error", p.Flush(b))
				flushed = end
			}
		}
		p.Crash(b)
		b = open(t, p)
		if from := c.restore(t, b, end); from < flushed {
			t.Fatalf("what Flush returned for outlives the process: flushed up to %d, found up to %d", flushed, from)
		}
	}
	must(t, "Close has no error", b.Close())
}

func brokenDisk(t *testing.T, p Place) {
	var c changelog
	b := open(t, p)
	for n := range int64(20) {
		must(t, "Apply writes", c.apply(b, n))
	}
	must(t, "Flush has no error", p.Flush(b))
	p.Break(b)
	err := c.apply(b, 20)
	if err == nil {
		err = p.Flush(b)
	}
	if err == nil {
		t.Fatalf("a failed write is told: a Flush to a broken disk has no error")
	}
	if again := errors.Join(c.apply(b, 21), p.Flush(b)); again == nil {
		t.Fatalf("a back end that failed stays failed: it takes rows after %v", err)
	}
	if b.Close() == nil {
		t.Fatalf("a failed write is told: Close of a back end that could not write has no error")
	}
	b = open(t, p)
	if from := c.restore(t, b, 22); from < 20 {
		t.Fatalf("what Flush returned for outlives a broken disk: flushed up to 20, found up to %d", from)
	}
	must(t, "Close has no error", b.Close())
}
