package task

import (
	"fmt"
	"hash/maphash"
	"unsafe"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
)

// A slot is one key in a task: the order row of the entity and the values of every
// store under that key. It is the overlay of uncommitted writes and the read cache
// at once; it owns its bytes.
type slot struct {
	topology.Entity
	one      cell   // of the first store
	more     []cell // of the others
	dirty    bool   // listed in slots.dirty
	rowDirty bool   // the order row changed
	place    place
	stored   bool   // the backend has a row, or will have one when the batches in flight are applied
	logged   bool   // the changelog has an order row
	used     bool   // since the hand passed last
	number   uint32 // in the index
	taken    int64  // number of the last batch that has the row
	size     int    // as it is counted in slots.bytes

	// Where ID is if it fits: what is used together is together, in three lines of the
	// cache. Who has the string may keep it, so a slot that may be another key's one day
	// does not have it.
	name [32]byte
}

// slotOf returns the slot that an entity is the beginning of.
func slotOf(e *topology.Entity) *slot { return (*slot)(unsafe.Pointer(e)) }

var _ [0]struct{} = [unsafe.Offsetof(slot{}.Entity)]struct{}{}

// cell returns what the slot has of a store.
func (sl *slot) cell(store int) *cell {
	if store == 0 {
		return &sl.one
	}
	return &sl.more[store-1]
}

// slotBytes is about what a slot takes besides its bytes, with what a machine decodes,
// and its part of shelves that have room.
const slotBytes = 512

// A cell is the value of one store.
type cell struct {
	value     []byte
	ok        bool
	dirty     bool
	event     uint64 // the event that wrote it last, for the savepoint
	timestamp int64  // of that event's record
}

// slots finds the slots of a task.
type slots struct {
	backend statestore.Backend
	stores  int
	index   index
	last    *slot   // of the last key that was looked for
	failure error   // of the first read that failed; the task ends with it
	dirty   []*slot // in the order of their first change since the last batch

	limit  int    // of bytes; 0: none
	bytes  int    // of all slots
	hand   uint32 // number of a slot
	loaded int    // since the last forget

	key   []byte   // scratch
	parts [][]byte // scratch

	event uint64 // number of the event in hand
	undo  []undo
	saved []byte // bytes of undo entries
}

// undo is the value that a cell had before the event in hand.
type undo struct {
	cell      *cell
	from, to  int // in saved
	ok        bool
	dirty     bool
	timestamp int64
}

func newSlots(backend statestore.Backend, stores, limit int) *slots {
	return &slots{backend: backend, stores: stores, limit: limit, index: newIndex(), parts: make([][]byte, 1+stores)}
}

// known returns the slot of a key if it is loaded.
func (s *slots) known(key []byte) *slot {
	if s.last != nil && s.last.ID == string(key) {
		s.last.used = true
		return s.last
	}
	sl := s.index.find(key, s.index.hash(key))
	if sl != nil {
		sl.used, s.last = true, sl
	}
	return sl
}

// get returns the slot of a key, loaded or new.
func (s *slots) get(key []byte) (*slot, error) {
	if sl := s.known(key); sl != nil {
		return sl, nil
	}
	return s.load(string(key))
}

func (s *slots) load(id string) (*slot, error) {
	s.key = append(append(s.key[:0], statestore.KindSlot), id...)
	row, err := s.backend.Get(s.key)
	if err == nil {
		err = statestore.DecodeRow(row, s.parts)
	}
	if err != nil {
		err = &StateError{Err: err}
		if s.failure == nil {
			s.failure = err
		}
		return nil, err
	}
	sl := s.index.add(maphash.String(s.index.seed, id))
	sl.used = true
	if s.limit == 0 && len(id) <= len(sl.name) {
		id = unsafe.String(&sl.name[0], copy(sl.name[:], id))
	}
	sl.ID = id
	if s.stores > 1 {
		sl.more = make([]cell, s.stores-1)
	}
	if row != nil {
		sl.stored = true
		if s.parts[0] != nil {
			sl.Stored, sl.logged = append([]byte(nil), s.parts[0]...), true
		}
		for i := range s.stores {
			if p := s.parts[1+i]; p != nil {
				*sl.cell(i) = cell{value: append([]byte(nil), p...), ok: true}
			}
		}
	}
	if s.limit > 0 {
		s.loaded++
		s.resize(sl)
	}
	return sl, nil
}

// resize counts the bytes of a slot again.
func (s *slots) resize(sl *slot) {
	size := slotBytes + 2*len(sl.ID) + cap(sl.Stored)
	for i := range s.stores {
		size += cap(sl.cell(i).value)
	}
	s.bytes += size - sl.size
	sl.size = size
}

// forget lets go of slots, those first that were not used lately (a clock with one
// hand), until the others keep the limit. A slot stays whose row the backend does not
// have yet, and one that is not idle. applied is the number of the last batch whose
// rows the backend has.
func (s *slots) forget(applied int64, idle func(*topology.Entity) bool) {
	// What stays is not looked at with every batch.
	looks := 1000 + 4*s.loaded
	s.loaded, s.last = 0, nil
	for ; s.bytes > s.limit && s.index.used > 0 && looks > 0; looks-- {
		var sl *slot
		sl, s.hand = s.index.next(s.hand)
		switch {
		case sl.used:
			sl.used = false
		case sl.dirty || sl.taken > applied || !idle(&sl.Entity):
		default:
			s.bytes -= sl.size
			s.index.remove(sl, maphash.String(s.index.seed, sl.ID))
		}
	}
}

func (s *slots) mark(sl *slot) {
	if !sl.dirty {
		sl.dirty = true
		s.dirty = append(s.dirty, sl)
	}
}

// set writes a cell; the value before it comes back if the event in hand fails.
func (s *slots) set(sl *slot, store int, value []byte, ok bool, timestamp int64) {
	c := sl.cell(store)
	if c.event != s.event {
		from := len(s.saved)
		s.saved = append(s.saved, c.value...)
		s.undo = append(s.undo, undo{c, from, len(s.saved), c.ok, c.dirty, c.timestamp})
		c.event = s.event
	}
	c.value = append(c.value[:0], value...)
	c.ok, c.dirty, c.timestamp = ok, true, timestamp
	s.mark(sl)
}

// begin starts the savepoint of an event.
func (s *slots) begin() {
	s.event++
	s.undo, s.saved = s.undo[:0], s.saved[:0]
}

// rollback takes back what the event in hand wrote.
func (s *slots) rollback() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		u := s.undo[i]
		u.cell.value = append(u.cell.value[:0], s.saved[u.from:u.to]...)
		u.cell.ok, u.cell.dirty, u.cell.timestamp, u.cell.event = u.ok, u.dirty, u.timestamp, 0
	}
	s.undo = s.undo[:0]
}

// store is one node's view of one store: graph.Store and statestore.Raw.
type store struct {
	task  *Task
	index int
}

// Of a row, what values may take: beside them is the order row, which its contract
// bounds.
const maxValues = statestore.MaxRow - 64<<10

// maxKey is the size of the largest key: rows of the order have more in theirs.
const maxKey = statestore.MaxKey - 64

func tooLong(key []byte) error {
	return fmt.Errorf("a key of %d bytes (%q...); at most %d can be kept", len(key), key[:32], maxKey)
}

// slot finds the slot of the key; the entity in hand is the usual one.
func (s *store) slot(key []byte) (*slot, error) {
	if sl := s.task.hand; sl != nil && sl.ID == string(key) {
		return sl, nil
	}
	if len(key) > maxKey {
		return nil, tooLong(key)
	}
	return s.task.slots.get(key)
}

// Get implements statestore.Raw.
func (s *store) Get(key []byte) ([]byte, bool, error) {
	sl, err := s.slot(key)
	if err != nil {
		return nil, false, err
	}
	c := sl.cell(s.index)
	return c.value, c.ok, nil
}

// Put implements statestore.Raw. What would not fit into a row is the event's failure,
// not the task's.
func (s *store) Put(key, value []byte) error {
	sl, err := s.slot(key)
	if err != nil {
		return err
	}
	size := len(value)
	for i := range s.task.slots.stores {
		if i != s.index {
			size += len(sl.cell(i).value)
		}
	}
	if size > maxValues {
		return fmt.Errorf("store %s: the values under key %q would be %d bytes; at most %d can be kept: spread them over several keys",
			s.task.plan.Sub.Stores[s.index], key[:min(len(key), 64)], size, maxValues)
	}
	s.task.slots.set(sl, s.index, value, true, s.task.raw.Timestamp)
	return nil
}

// Delete implements statestore.Raw.
func (s *store) Delete(key []byte) error {
	sl, err := s.slot(key)
	if err != nil || !sl.cell(s.index).ok {
		return err
	}
	s.task.slots.set(sl, s.index, nil, false, s.task.raw.Timestamp)
	return nil
}
