package task

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// The index keeps what a map keeps, also where many keys have one hash, and hashes
// stand at the end of the table.
func TestAnIndexIsAMap(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const keys = 3 * shelfSlots
	for _, hashes := range []uint64{1, 3, 1 << 60} {
		x, want := newIndex(), map[string]*slot{}
		hash := func(i int) uint64 { return ^(uint64(i) * 0x9e3779b97f4a7c15 % hashes) }
		for range 20_000 {
			i := random.IntN(keys)
			id := fmt.Sprint(i)
			switch sl := want[id]; {
			case sl == nil:
				want[id] = x.add(hash(i))
				want[id].ID = id
			case random.IntN(2) == 0:
				x.remove(sl, hash(i))
				delete(want, id)
			}
			i = random.IntN(keys)
			if id = fmt.Sprint(i); x.find([]byte(id), hash(i)) != want[id] {
				t.Fatalf("%d hashes: key %s: %p is found, not %p", hashes, id, x.find([]byte(id), hash(i)), want[id])
			}
			if sl := x.likely(hash(i)); hashes == 1<<60 && sl != want[id] {
				t.Fatalf("key %s: %p is likely, not %p", id, sl, want[id])
			}
		}
		if x.used != len(want) {
			t.Errorf("%d slots, %d places are used", len(want), x.used)
		}
		round, n := map[string]*slot{}, uint32(0)
		for range want {
			var sl *slot
			sl, n = x.next(n)
			round[sl.ID] = sl
		}
		if !maps.Equal(round, want) {
			t.Errorf("%d hashes: once round there are %d slots, not the %d that are used", hashes, len(round), len(want))
		}
		for i := range keys {
			if sl := want[fmt.Sprint(i)]; sl != nil {
				x.remove(sl, hash(i))
			}
		}
		for at := range x.shelves {
			if x.shelves[at].slots != nil {
				t.Errorf("shelf %d of nothing is kept", at)
			}
		}
	}
}
