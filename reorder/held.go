package reorder

import (
	"iter"
	"sort"

	"github.com/tidwall/btree"

	"github.com/streamrun/streamrun/policies"
)

// Held keeps the events of one entity that are not decided or that are letters.
// The caller owns it; only the sequencer changes it while it is lent to Step.
type Held interface {
	// Len is the number of waiting events.
	Len() int
	// Min is the waiting event that comes first, nil when none waits.
	Min() *Event
	// Get is the waiting event of a number, or nil.
	Get(number int64) *Event
	// Find is the waiting event of an id, given by its hash, or nil.
	Find(hash uint64) *Event
	// Max is the waiting event that comes last, nil when none waits.
	Max() *Event
	// MinOf is the waiting event of a source that comes first, nil when none waits.
	MinOf(source int) *Event
	// Put and Delete change the waiting events; Number is the key.
	Put(e *Event)
	Delete(e *Event)

	// Letters is the number of letters.
	Letters() int
	// FindLetter is the first letter of an id, or, for hash 0, of an epoch and number without an id.
	FindLetter(hash uint64, epoch, number int64) *Event
	// LetterAt reports whether a letter has the number of the epoch.
	LetterAt(epoch, number int64) bool
	// LetterWith reports whether a letter has the number of the epoch and the reason.
	LetterWith(epoch, number int64, reason policies.Reason) bool
	// NextLetter is the first letter after the given one in the order of re-driving:
	// epoch, then what the contract orders by, then arrival.
	NextLetter(after *Event) *Event
	// AddLetter gives the letter its ordinal and keeps it; RemoveLetter forgets it.
	AddLetter(e *Event)
	RemoveLetter(e *Event)
	// Touch says that a kept event changed.
	Touch(e *Event)
}

// sliceMax is the number of waiting events up to which a sorted slice beats a tree.
const sliceMax = 128

// Memory is a Held in memory: O(log n) per event however many wait. The zero value
// is empty and ordered by number.
type Memory struct {
	byTime  bool // ordered by event time (R17) instead of by number
	byTuple bool // letters are ordered by the tuple of latest-wins (R14)
	small   []*Event
	tree    *btree.BTreeG[*Event]
	hashes  map[uint64]*Event // of the tree's events
	numbers map[int64]*Event  // of the tree's events, where ordered by time
	letters *letters
	changed func(*Event) // nil, or told of every event put, deleted, added, removed or touched
}

// letters finds the letters of one entity by id and in the order of re-driving.
type letters struct {
	byHash  map[uint64][]*Event
	order   *btree.BTreeG[*Event]
	ordinal int64
}

func (m *Memory) less(a, b *Event) bool {
	if m.byTime {
		return earlier(a, b)
	}
	return a.Number < b.Number
}

// Len implements Held.
func (m *Memory) Len() int {
	if m.tree != nil {
		return m.tree.Len()
	}
	return len(m.small)
}

// Min implements Held.
func (m *Memory) Min() *Event {
	if m.tree != nil {
		e, _ := m.tree.Min()
		return e
	}
	if len(m.small) == 0 {
		return nil
	}
	return m.small[0]
}

// Get implements Held.
func (m *Memory) Get(number int64) *Event {
	switch {
	case m.tree == nil && !m.byTime:
		i := sort.Search(len(m.small), func(i int) bool { return m.small[i].Number >= number })
		if i < len(m.small) && m.small[i].Number == number {
			return m.small[i]
		}
		return nil
	case m.tree == nil:
		for _, e := range m.small {
			if e.Number == number {
				return e
			}
		}
		return nil
	case m.byTime:
		return m.numbers[number]
	}
	e, _ := m.tree.Get(&Event{Number: number})
	return e
}

// Find implements Held.
func (m *Memory) Find(hash uint64) *Event {
	if m.tree != nil {
		return m.hashes[hash]
	}
	for _, e := range m.small {
		if e.hash == hash {
			return e
		}
	}
	return nil
}

// Max implements Held.
func (m *Memory) Max() *Event {
	if m.tree != nil {
		e, _ := m.tree.Max()
		return e
	}
	if n := len(m.small); n > 0 {
		return m.small[n-1]
	}
	return nil
}

// MinOf implements Held.
func (m *Memory) MinOf(source int) *Event {
	for e := range m.all() {
		if e.Source == source {
			return e
		}
	}
	return nil
}

// all yields the waiting events in order.
func (m *Memory) all() iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		if m.tree != nil {
			m.tree.Scan(yield)
			return
		}
		for _, e := range m.small {
			if !yield(e) {
				return
			}
		}
	}
}

// Put implements Held.
func (m *Memory) Put(e *Event) {
	if m.changed != nil {
		m.changed(e)
	}
	if m.tree == nil && len(m.small) == sliceMax {
		m.grow()
	}
	if m.tree != nil {
		m.tree.Set(e)
		m.hash(e)
		return
	}
	i := len(m.small)
	if i > 0 && m.less(e, m.small[i-1]) {
		i = sort.Search(i, func(i int) bool { return m.less(e, m.small[i]) })
	}
	m.small = append(m.small, nil)
	copy(m.small[i+1:], m.small[i:])
	m.small[i] = e
}

func (m *Memory) grow() {
	m.tree = btree.NewBTreeGOptions(m.less, btree.Options{NoLocks: true})
	m.hashes = make(map[uint64]*Event, 2*sliceMax)
	if m.byTime {
		m.numbers = make(map[int64]*Event, 2*sliceMax)
	}
	for _, e := range m.small {
		m.tree.Set(e)
		m.hash(e)
	}
	m.small = nil
}

func (m *Memory) hash(e *Event) {
	if e.hash != 0 {
		m.hashes[e.hash] = e
	}
	if m.byTime {
		m.numbers[e.Number] = e
	}
}

// Delete implements Held.
func (m *Memory) Delete(e *Event) {
	if m.changed != nil {
		m.changed(e)
	}
	if m.tree != nil {
		m.tree.Delete(e)
		delete(m.hashes, e.hash)
		delete(m.numbers, e.Number)
		if m.tree.Len() == 0 {
			m.tree, m.hashes, m.numbers = nil, nil, nil
		}
		return
	}
	i := sort.Search(len(m.small), func(i int) bool { return !m.less(m.small[i], e) })
	if i == len(m.small) || m.small[i] != e {
		return
	}
	if i == 0 { // the usual case, a drain: no copying
		m.small[0] = nil
		m.small = m.small[1:]
		return
	}
	copy(m.small[i:], m.small[i+1:])
	m.small[len(m.small)-1] = nil
	m.small = m.small[:len(m.small)-1]
}

// letterLess orders letters for a re-drive. Of one number the event that had it comes
// before those that were in conflict with it.
func (m *Memory) letterLess(a, b *Event) bool {
	if a.Epoch != b.Epoch {
		return a.Epoch < b.Epoch
	}
	if m.byTuple && a.Version != b.Version {
		return a.Version < b.Version
	}
	if (m.byTime || m.byTuple) && a.EventTime != b.EventTime {
		return a.EventTime < b.EventTime
	}
	if p, q := a.position(), b.position(); p != q && !m.byTuple {
		return p < q
	}
	if p, q := a.Reason == policies.ReasonSequenceConflict, b.Reason == policies.ReasonSequenceConflict; p != q {
		return q
	}
	if (m.byTime || m.byTuple) && a.ID != b.ID {
		return a.ID < b.ID
	}
	return a.Ordinal < b.Ordinal
}

// Letters implements Held.
func (m *Memory) Letters() int {
	if m.letters == nil {
		return 0
	}
	return m.letters.order.Len()
}

// FindLetter implements Held.
func (m *Memory) FindLetter(hash uint64, epoch, number int64) *Event {
	if m.letters == nil {
		return nil
	}
	if hash != 0 {
		if l := m.letters.byHash[hash]; len(l) > 0 {
			return l[0]
		}
		return nil
	}
	if number == noNumber || m.byTime || m.byTuple {
		return nil // nothing says that it is the same event
	}
	for e := m.seek(epoch, number); e != nil && e.Epoch == epoch && e.position() == number; e = m.NextLetter(e) {
		if e.hash == 0 {
			return e
		}
	}
	return nil
}

// LetterAt implements Held.
func (m *Memory) LetterAt(epoch, number int64) bool {
	e := m.seek(epoch, number)
	return e != nil && e.Epoch == epoch && e.position() == number
}

// LetterWith implements Held.
func (m *Memory) LetterWith(epoch, number int64, reason policies.Reason) bool {
	for e := m.seek(epoch, number); e != nil && e.Epoch == epoch && e.position() == number; e = m.NextLetter(e) {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

// seek returns the first letter at or after a number of an epoch.
func (m *Memory) seek(epoch, number int64) (found *Event) {
	if m.letters == nil {
		return nil
	}
	var pivot Event
	pivot.Epoch, pivot.Sequence, pivot.HasSequence = epoch, number, true
	m.letters.order.Ascend(&pivot, func(e *Event) bool { found = e; return false })
	return found
}

// NextLetter implements Held.
func (m *Memory) NextLetter(after *Event) (next *Event) {
	if m.letters == nil {
		return nil
	}
	if after == nil {
		next, _ = m.letters.order.Min()
		return next
	}
	pivot := *after
	pivot.Ordinal++
	m.letters.order.Ascend(&pivot, func(e *Event) bool { next = e; return false })
	return next
}

// AddLetter implements Held.
func (m *Memory) AddLetter(e *Event) {
	e.Ordinal = 1
	if m.letters != nil {
		e.Ordinal = m.letters.ordinal + 1
	}
	m.keepLetter(e)
	m.Touch(e)
}

// keepLetter keeps a letter under the ordinal that it has.
func (m *Memory) keepLetter(e *Event) {
	if m.letters == nil {
		m.letters = &letters{
			byHash: make(map[uint64][]*Event),
			order:  btree.NewBTreeGOptions(m.letterLess, btree.Options{NoLocks: true, Degree: 8}),
		}
	}
	m.letters.ordinal = max(m.letters.ordinal, e.Ordinal)
	m.letters.order.Set(e)
	if e.hash != 0 {
		m.letters.byHash[e.hash] = append(m.letters.byHash[e.hash], e)
	}
}

// RemoveLetter implements Held.
func (m *Memory) RemoveLetter(e *Event) {
	m.Touch(e)
	m.letters.order.Delete(e)
	if same := m.letters.byHash[e.hash]; len(same) > 1 {
		for i, l := range same {
			if l == e {
				m.letters.byHash[e.hash] = append(same[:i], same[i+1:]...)
				break
			}
		}
	} else {
		delete(m.letters.byHash, e.hash)
	}
	if m.letters.order.Len() == 0 {
		m.letters = nil
	}
}

// Touch implements Held.
func (m *Memory) Touch(e *Event) {
	if m.changed != nil {
		m.changed(e)
	}
}
