package reorder

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/streamrun/streamrun/policies"
)

// noNumber marks a remembered id without a number of the present epoch.
const noNumber = math.MaxInt64

// indexFrom is the number of ids from which a search by map beats a scan.
const indexFrom = 64

// An idEntry is one remembered id: its hash, the number it was decided under, and
// whether it was applied or decided otherwise. The number is kept shifted left by
// one, above the bit that says applied.
type idEntry struct {
	tag  uint64
	hash uint64
}

func newIDEntry(number int64, hash uint64, applied bool) idEntry {
	tag := uint64(number) << 1
	if applied {
		tag |= 1
	}
	return idEntry{tag, hash}
}

func (e idEntry) number() int64 { return int64(e.tag >> 1) }
func (e idEntry) applied() bool { return e.tag&1 != 0 }

// above reports whether the number is one of the present epoch beyond last.
func (e idEntry) above(last int64) bool { n := e.number(); return n > last && n != noNumber }

// ids remembers the ids decided last, in the order of recording, as a ring. nil is
// empty, and stays so.
type ids struct {
	ring  []idEntry
	head  int // index of the entry recorded first
	index *idIndex
}

// idIndex finds entries of a large memory.
type idIndex struct {
	byHash   map[uint64]idEntry
	byNumber map[int64]uint64
}

// hashID returns the hash under which an id is remembered; never 0, which stands
// for no id.
func hashID(id string) uint64 {
	if id == "" {
		return 0
	}
	return max(xxhash.Sum64String(id), 1)
}

// hashPlace returns the hash of an id that is derived from epoch and sequence.
func hashPlace(m *policies.Metadata) uint64 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(m.Epoch))
	binary.BigEndian.PutUint64(b[8:], uint64(m.Sequence))
	return max(xxhash.Sum64(b[:]), 1)
}

// DerivedID is the id of an event that carries none: "entity/epoch/sequence".
func DerivedID(entity string, epoch, sequence int64) string {
	return string(appendDerivedID(nil, entity, epoch, sequence))
}

func appendDerivedID(b []byte, entity string, epoch, sequence int64) []byte {
	b = append(append(b, entity...), '/')
	b = append(strconv.AppendInt(b, epoch, 10), '/')
	return strconv.AppendInt(b, sequence, 10)
}

// idOf is the id of an event: its idempotency key, or what is derived.
func idOf(m *policies.Metadata) string {
	if m.ID != "" || !m.HasSequence {
		return m.ID
	}
	return DerivedID(m.Entity, m.Epoch, m.Sequence)
}

// len returns how many ids are remembered.
func (m *ids) len() int {
	if m == nil {
		return 0
	}
	return len(m.ring)
}

func (m *ids) has(hash uint64) bool {
	if m == nil {
		return false
	}
	if m.index != nil {
		_, ok := m.index.byHash[hash]
		return ok
	}
	for i := range m.ring {
		if m.ring[i].hash == hash {
			return true
		}
	}
	return false
}

// find returns the entry of an id.
func (m *ids) find(hash uint64) (idEntry, bool) {
	if m == nil {
		return idEntry{}, false
	}
	if m.index != nil {
		e, ok := m.index.byHash[hash]
		return e, ok
	}
	for _, e := range m.ring {
		if e.hash == hash {
			return e, true
		}
	}
	return idEntry{}, false
}

// at reports whether an id is recorded for a number of the present epoch.
func (m *ids) at(number int64) bool {
	if m == nil {
		return false
	}
	if m.index != nil {
		_, ok := m.index.byNumber[number]
		return ok
	}
	for i := range m.ring {
		if m.ring[i].number() == number {
			return true
		}
	}
	return false
}

// decided remembers the id of an event that was decided, if it has one.
func (r *Row) decided(e idEntry, limit int) {
	if e.hash == 0 {
		return
	}
	if r.ids == nil {
		r.ids = &ids{}
	}
	r.ids.record(e, limit, r.last)
}

// record remembers an id and forgets those recorded first beyond the limit, but
// none whose number is above last: an id applied ahead stays until last passes it.
func (m *ids) record(e idEntry, limit int, last int64) {
	if len(m.ring) == limit && limit > 0 && !m.ring[m.head].above(last) {
		if m.index != nil {
			m.unindex(m.ring[m.head])
			m.reindex(e)
		}
		m.ring[m.head] = e
		if m.head++; m.head == len(m.ring) {
			m.head = 0
		}
		return
	}
	m.straighten()
	m.ring = append(m.ring, e)
	m.reindex(e)
	m.trim(limit, last)
	m.grow()
}

// grow makes the index when a scan would take too long.
func (m *ids) grow() {
	if m.index == nil && len(m.ring) >= indexFrom {
		m.index = &idIndex{make(map[uint64]idEntry), make(map[int64]uint64)}
		m.each(m.reindex)
	}
}

// trim forgets the entries recorded first that may go, down to the limit.
func (m *ids) trim(limit int, last int64) {
	excess := m.len() - limit
	if excess <= 0 {
		return
	}
	m.straighten()
	kept := m.ring[:0]
	for _, e := range m.ring {
		if excess > 0 && !e.above(last) {
			m.unindex(e)
			excess--
			continue
		}
		kept = append(kept, e)
	}
	m.ring = kept
}

// straighten moves the entry recorded first to index 0.
func (m *ids) straighten() {
	if m.head == 0 {
		return
	}
	ring := make([]idEntry, 0, len(m.ring)+1)
	ring = append(ring, m.ring[m.head:]...)
	m.ring = append(ring, m.ring[:m.head]...)
	m.head = 0
}

// each calls f for every entry in the order of recording.
func (m *ids) each(f func(idEntry)) {
	if m == nil {
		return
	}
	for _, e := range m.ring[m.head:] {
		f(e)
	}
	for _, e := range m.ring[:m.head] {
		f(e)
	}
}

// newEpoch keeps the ids and takes their numbers away: they belong to the old epoch.
func (m *ids) newEpoch() {
	if m == nil {
		return
	}
	for i, e := range m.ring {
		m.ring[i] = newIDEntry(noNumber, e.hash, e.applied())
	}
	if m.index != nil {
		clear(m.index.byNumber)
		m.each(m.reindex)
	}
}

func (m *ids) reindex(e idEntry) {
	if m.index == nil {
		return
	}
	m.index.byHash[e.hash] = e
	if n := e.number(); n != noNumber {
		m.index.byNumber[n] = e.hash
	}
}

func (m *ids) unindex(e idEntry) {
	if m.index == nil {
		return
	}
	delete(m.index.byHash, e.hash)
	if n := e.number(); m.index.byNumber[n] == e.hash {
		delete(m.index.byNumber, n)
	}
}
