package statestore

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
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

// The twin is a map; hashes are few, so that keys meet.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, twin := newTable(), map[string]string{}
		spread := rapid.SampledFrom([]uint64{1, 7, 1 << 20}).Draw(t, "hashes")
		hash := func(key string) uint64 {
			h := uint64(len(key)) * 1_000_003
			for _, c := range key {
				h = h*31 + uint64(c)
			}
			h %= spread
			return h<<tagBits | h%5
		}
		size := rapid.SampledFrom([]int{0, 1, 20, 90, 110, 1000, pageBytes / 8, pageBytes})
		for i := range rapid.IntRange(1, 300).Draw(t, "writes") {
			key := rapid.StringMatching(`[a-h]{1,2}`).Draw(t, "key")
			h := hash(key)
			n := x.find([]byte(key), h)
			if _, ok := twin[key]; ok != (n != none) {
				t.Fatalf("%q is found: %v, want %v", key, n != none, ok)
			}
			row := bytes.Repeat([]byte{byte(i)}, size.Draw(t, "size"))
			switch {
			case n == none:
				x.add([]byte(key), row, h)
				twin[key] = string(row)
			case rapid.Bool().Draw(t, "remove"):
				x.remove(n)
				delete(twin, key)
			default:
				x.write(n, row)
				twin[key] = string(row)
			}
		}
		got := map[string]string{}
		for n := range x.all() {
			if found := x.find(x.key(n), hash(string(x.key(n)))); found != n {
				t.Fatalf("%q is entry %d and found as %d", x.key(n), n, found)
			}
			got[string(x.key(n))] = string(x.row(n))
		}
		if d := cmp.Diff(twin, got); d != "" {
			t.Fatal(d)
		}
		if x.used != len(twin) {
			t.Fatalf("%d places are used by %d keys", x.used, len(twin))
		}
	})
}

// What rows leave behind is used by others.
func TestMemoryTakesItsBlocksAgain(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for round := range 200 {
		var puts []Put
		for i := range 500 {
			p := Put{Key: fmt.Appendf(nil, "key-%d", i)}
			if round%4 != 3 {
				p.Row = make([]byte, 50+round%3*400)
			}
			puts = append(puts, p)
		}
		if err := m.Apply(puts, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.table.blocks.pages); n > 8 {
		t.Errorf("%d pages of %d bytes for 500 rows of at most 850", n, pageBytes)
	}
	if n := len(m.table.entries); n > 500 {
		t.Errorf("%d entries for 500 keys", n)
	}
}

func BenchmarkMemoryApply(b *testing.B) {
	const keys = 1_000_000
	m := NewMemory()
	rnd := rand.New(rand.NewPCG(1, 2))
	row := make([]byte, 110)
	for i := range keys {
		_ = m.Apply([]Put{{fmt.Appendf(nil, "key-%012d", i), row}}, nil)
	}
	puts := make([]Put, 5000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range puts {
			puts[i] = Put{fmt.Appendf(nil, "key-%012d", rnd.IntN(keys)), row}
		}
		b.StartTimer()
		_ = m.Apply(puts, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(puts)), "ns/row")
}
