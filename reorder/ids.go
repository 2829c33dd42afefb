package reorder

import "github.com/cespare/xxhash/v2"

// noNumber marks a remembered id without a number of the present epoch.
const noNumber = -1

// indexFrom is the number of ids from which a search by map beats a scan.
const indexFrom = 64

// An idEntry is one remembered id: the number it was decided under and its hash.
type idEntry struct {
	number int64
	hash   uint64
}

// ids remembers the ids decided last, in the order of recording, as a ring.
// The zero value is empty.
type ids struct {
	ring  []idEntry
	head  int // index of the entry recorded first
	index *idIndex
}

// idIndex finds entries of a large memory.
type idIndex struct {
	byHash   map[uint64]struct{}
	byNumber map[int64]uint64
}

// hashID returns the hash under which an id is remembered; never 0, which stands
// for an id that is derived from entity, epoch and sequence.
func hashID(id string) uint64 {
	if id == "" {
		return 0
	}
	if h := xxhash.Sum64String(id); h != 0 {
		return h
	}
	return 1
}

func (m *ids) has(hash uint64) bool {
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

// at returns the id recorded for a number of the present epoch.
func (m *ids) at(number int64) (hash uint64, ok bool) {
	if m.index != nil {
		hash, ok = m.index.byNumber[number]
		return hash, ok
	}
	for i := range m.ring {
		if m.ring[i].number == number {
			return m.ring[i].hash, true
		}
	}
	return 0, false
}

// record remembers an id and forgets those recorded first beyond the limit, but
// none whose number is above last: an id applied ahead stays until last passes it.
func (m *ids) record(number int64, hash uint64, limit int, last int64) {
	if hash == 0 {
		return
	}
	if len(m.ring) == limit && m.ring[m.head].number <= last && m.index == nil {
		if !m.has(hash) {
			m.ring[m.head] = idEntry{number, hash}
			if m.head++; m.head == len(m.ring) {
				m.head = 0
			}
		}
		return
	}
	m.recordSlow(number, hash, limit, last)
}

func (m *ids) recordSlow(number int64, hash uint64, limit int, last int64) {
	if m.has(hash) {
		return
	}
	if len(m.ring) == limit && m.ring[m.head].number <= last {
		m.unindex(m.ring[m.head])
		m.ring[m.head] = idEntry{number, hash}
		if m.head++; m.head == len(m.ring) {
			m.head = 0
		}
		m.reindex(idEntry{number, hash})
		return
	}
	m.straighten()
	m.ring = append(m.ring, idEntry{number, hash})
	m.reindex(idEntry{number, hash})
	m.trim(limit, last)
	if m.index == nil && len(m.ring) >= indexFrom {
		m.buildIndex()
	}
}

// trim forgets the entries recorded first that may go, down to the limit.
func (m *ids) trim(limit int, last int64) {
	excess := len(m.ring) - limit
	if excess <= 0 {
		return
	}
	m.straighten()
	kept := m.ring[:0]
	for _, e := range m.ring {
		if excess > 0 && e.number <= last {
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
	for _, e := range m.ring[m.head:] {
		f(e)
	}
	for _, e := range m.ring[:m.head] {
		f(e)
	}
}

// newEpoch keeps the ids and takes their numbers away: they belong to the old epoch.
func (m *ids) newEpoch() {
	for i := range m.ring {
		m.ring[i].number = noNumber
	}
	if m.index != nil {
		clear(m.index.byNumber)
	}
}

func (m *ids) buildIndex() {
	m.index = &idIndex{make(map[uint64]struct{}), make(map[int64]uint64)}
	m.each(m.reindex)
}

func (m *ids) reindex(e idEntry) {
	if m.index == nil {
		return
	}
	m.index.byHash[e.hash] = struct{}{}
	if e.number != noNumber {
		m.index.byNumber[e.number] = e.hash
	}
}

func (m *ids) unindex(e idEntry) {
	if m.index == nil {
		return
	}
	delete(m.index.byHash, e.hash)
	if e.number != noNumber && m.index.byNumber[e.number] == e.hash {
		delete(m.index.byNumber, e.number)
	}
}
