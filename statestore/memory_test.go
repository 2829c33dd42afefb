package statestore

import (
	"bytes"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The twin is a map that is copied at every Apply.
func TestMemoryIsAMap(t *testing.T) {
	t.Parallel()
	key := rapid.StringMatching(`[so][a-c]{0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		m, twin := NewMemory(), map[string]string{}
		for range rapid.IntRange(1, 20).Draw(t, "applies") {
			var puts []Put
			for range rapid.IntRange(0, 5).Draw(t, "puts") {
				k := key.Draw(t, "key")
				p := Put{Key: []byte(k)}
				if rapid.Bool().Draw(t, "put") {
					p.Row = rapid.SliceOf(rapid.Byte()).Draw(t, "row")
					if p.Row == nil {
						p.Row = []byte{}
					}
					twin[k] = string(p.Row)
				} else {
					delete(twin, k)
				}
				puts = append(puts, p)
			}
			if err := m.Apply(puts, []Position{{"t", 0, int64(len(puts))}, {"t", 1, 7}}); err != nil {
				t.Fatal(err)
			}
			for _, p := range puts { // it keeps none of the slices
				clear(p.Key)
				clear(p.Row)
			}
			got := map[string]string{}
			last := []byte(nil)
			_ = m.Scan([]byte("s"), func(k, row []byte) error {
				if bytes.Compare(last, k) >= 0 && last != nil {
					t.Fatalf("key %q after %q", k, last)
				}
				last = bytes.Clone(k)
				got[string(k)] = string(row)
				return nil
			})
			want := maps.Clone(twin)
			maps.DeleteFunc(want, func(k, _ string) bool { return k[0] != 's' })
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
			size := int64(0)
			for k, row := range twin {
				size += int64(len(k) + len(row))
			}
			if m.Bytes() != size {
				t.Fatalf("%d bytes, want %d", m.Bytes(), size)
			}
			if d := cmp.Diff([]Position{{"t", 0, int64(len(puts))}, {"t", 1, 7}}, m.Positions()); d != "" {
				t.Fatal(d)
			}
		}
	})
}
