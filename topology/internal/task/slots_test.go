package task

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
)

func TestForgetKeepsTheLimitAndWhatIsNeeded(t *testing.T) {
	t.Parallel()
	backend := statestore.NewMemory()
	s := newSlots(backend, 1, 100*(slotBytes+20))
	get := func(i int) *slot {
		sl, err := s.get(fmt.Appendf(nil, "key-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		return sl
	}
	has := func(i int) bool { // known would say that it is used
		key := fmt.Append(nil, "key-", i)
		return s.index.find(key, s.index.hash(key)) != nil
	}
	const busy, inFlight, dirty = 3, 4, 5
	get(inFlight).taken = 8
	s.mark(get(dirty))
	s.set(get(dirty), 0, []byte("value"), true, 0)
	idle := func(e *topology.Entity) bool { return e.ID != get(busy).ID }
	for i := range 3000 {
		get(i)
		if i%50 == 0 {
			s.forget(7, idle)
			if !has(i) {
				t.Fatalf("the slot of key-%d is forgotten, and was used last", i)
			}
			if s.bytes > s.limit+50*(slotBytes+20) {
				t.Fatalf("%d bytes after %d keys, the limit is %d", s.bytes, i, s.limit)
			}
		}
	}
	s.forget(7, idle)
	for _, i := range []int{busy, inFlight, dirty} {
		if !has(i) {
			t.Errorf("the slot of key-%d is forgotten", i)
		}
	}
	sum, n := 0, uint32(0)
	for range s.index.used {
		var sl *slot
		sl, n = s.index.next(n)
		sum += sl.size
	}
	if sum != s.bytes {
		t.Errorf("%d bytes in %d slots; %d are counted", sum, s.index.used, s.bytes)
	}
	s.limit = 1 // now nothing stays that can go
	for range 10 {
		s.forget(8, idle)
	}
	if s.index.used != 2 || !has(busy) || !has(dirty) {
		t.Errorf("%d slots stay", s.index.used)
	}
}

// A slot has a short key in itself, and a longer one beside it.
func TestASlotIsNamedByItsKey(t *testing.T) {
	t.Parallel()
	s := newSlots(statestore.NewMemory(), 1, 0)
	var names []string
	for n := range 2 * len(slot{}.name) {
		names = append(names, strings.Repeat("k", n))
	}
	for _, name := range names {
		key := []byte(name)
		sl, err := s.get(key)
		if err != nil {
			t.Fatal(err)
		}
		s.set(sl, 0, key, true, 0)
		clear(key) // it is its owner's
	}
	for _, name := range names {
		if sl := s.known([]byte(name)); sl == nil || sl.ID != name {
			t.Errorf("key of %d bytes: slot %+v", len(name), sl)
		}
	}
}

// The name of a slot is in alarms and logs when the slot is another key's.
func TestANameOutlivesItsSlot(t *testing.T) {
	t.Parallel()
	s := newSlots(statestore.NewMemory(), 1, 1)
	get := func(key string) *slot {
		sl, err := s.get([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return sl
	}
	first := get("first")
	s.mark(get("another, which stays"))
	name := first.ID
	for range 2 {
		s.forget(0, func(*topology.Entity) bool { return true })
	}
	if get("second") != first {
		t.Fatal("the slot is not used again")
	}
	if name != "first" {
		t.Errorf("the name became %q", name)
	}
}

// A slot that was looked ahead for is as much in use as one that was searched for.
func TestASlotThatIsLookedAheadForIsUsed(t *testing.T) {
	t.Parallel()
	s := newSlots(statestore.NewMemory(), 1, 1)
	sl, err := s.get([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	sl.used, s.last = false, sl
	if s.known([]byte("key")) != sl || !sl.used {
		t.Error("it is not found, or not marked")
	}
}
