package storetest

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/statestore"
)

func sorted(p []statestore.Position) []statestore.Position {
	return slices.SortedFunc(slices.Values(p), func(a, b statestore.Position) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
}

func fold(m map[string]string, puts []statestore.Put) {
	for _, p := range puts {
		if p.Row == nil {
			delete(m, string(p.Key))
		} else {
			m[string(p.Key)] = string(p.Row)
		}
	}
}

// contents returns all rows, and checks their order.
func contents(t tester, b statestore.Backend) map[string]string {
	t.Helper()
	m := make(map[string]string)
	var last []byte
	must(t, "Scan has no error of its own", b.Scan(nil, func(k, row []byte) error {
		if last != nil && bytes.Compare(last, k) >= 0 {
			t.Fatalf("Scan visits the keys in their order: %q after %q", k, last)
		}
		last = append([]byte{}, k...)
		m[string(k)] = string(row)
		return nil
	}))
	return m
}

// twin does at random what a task does, and compares with a map. A crash takes back
// what came after some position at or behind the last flush.
func twin(t *testing.T, p Place) {
	key := rapid.StringMatching(`[so][a-d]{0,3}`)
	acts := slices.Concat( // closes and crashes are slow
		slices.Repeat([]string{"apply"}, 20), slices.Repeat([]string{"get", "scan", "flush"}, 6), []string{"reopen", "crash"})
	b := open(t, p)
	var history [][]statestore.Put // by offset
	rapid.Check(t, func(t *rapid.T) {
		// The place is as the case before has left it; the first act empties it.
		var clear []statestore.Put
		for k := range contents(t, b) {
			clear = append(clear, remove(k))
		}
		want := make(map[string]string)
		flushed := 0
		apply := func(puts []statestore.Put) {
			history = append(history, puts)
			must(t, "Apply writes", b.Apply(puts, []statestore.Position{{Topic: "t", Offset: int64(len(history))}}))
			fold(want, puts)
		}
		apply(clear)
		for range rapid.IntRange(1, 30).Draw(t, "acts") {
			act := acts[rapid.IntRange(0, len(acts)-1).Draw(t, "act")]
			switch {
			case act == "apply":
				var puts []statestore.Put
				for range rapid.IntRange(0, 6).Draw(t, "puts") {
					k := key.Draw(t, "key")
					if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
						puts = append(puts, remove(k))
						continue
					}
					puts = append(puts, put(k, string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "row"))))
				}
				apply(puts)
			case act == "get":
				k := key.Draw(t, "key")
				row, there := want[k]
				expect(t, b, "Get says what the map says", k, row, there)
			case act == "scan":
				prefix := key.Draw(t, "prefix")
				got := make(map[string]string)
				must(t, "Scan has no error of its own", b.Scan([]byte(prefix), func(k, row []byte) error {
					got[string(k)] = string(row)
					return nil
				}))
				some := maps.Clone(want)
				maps.DeleteFunc(some, func(k, _ string) bool { return !strings.HasPrefix(k, prefix) })
				if d := cmp.Diff(some, got); d != "" {
					t.Fatalf("Scan says what the map says (-want +got): %s", d)
				}
			case act == "flush" && p.Flush != nil:
				must(t, "Flush has no error", p.Flush(b))
				flushed = len(history)
			case act == "reopen" && p.Flush != nil:
				must(t, "Close has no error", b.Close())
				b = open(t, p)
				flushed = len(history)
				if d := cmp.Diff([]statestore.Position{{Topic: "t", Offset: int64(len(history))}}, b.Positions()); d != "" {
					t.Fatalf("positions outlive a Close: %s", d)
				}
			case act == "crash" && p.Crash != nil:
				p.Crash(b)
				b = open(t, p)
				from := 0
				for _, p := range b.Positions() {
					from = int(p.Offset)
				}
				if from < flushed || from > len(history) {
					t.Fatalf("a position is that of a flush or newer, and never ahead: flushed %d, applied %d, found %d", flushed, len(history), from)
				}
				for ; from < len(history); from++ { // as a restore does
					must(t, "Apply writes", b.Apply(history[from], []statestore.Position{{Topic: "t", Offset: int64(from) + 1}}))
				}
			}
			if d := cmp.Diff(want, contents(t, b)); d != "" {
				t.Fatalf("rows are those of the map after %s (-want +got): %s", act, d)
			}
		}
	})
	must(t, "Close has no error", b.Close())
}
