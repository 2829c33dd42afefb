package badgerdb

// entryBytes is what an entry takes besides key and row.
const entryBytes = 128

// An entry is a row in memory.
type entry struct {
	key      string
	row      []byte // nil: deleted
	dirty    bool   // changed since it was last put into a group
	flushing bool   // in a group that is not committed yet
	used     bool   // since the hand last passed
}

func (e *entry) size() int    { return entryBytes + len(e.key) + cap(e.row) }
func (e *entry) pinned() bool { return e.dirty || e.flushing }

// memory holds rows in memory: those that are not on disk yet, which are pinned, and
// as a cache others while a bound is kept. The oldest of these that were not used
// lately go first (a clock with one hand).
type memory struct {
	entries map[string]*entry
	ring    []*entry
	hand    int
	bytes   int
	pinned  int      // bytes of pinned entries
	dirty   []*entry // in the order of their change
}

func newMemory() memory { return memory{entries: make(map[string]*entry)} }

// find returns the entry of the key, or nil.
func (m *memory) find(key []byte) *entry {
	e := m.entries[string(key)]
	if e != nil {
		e.used = true
	}
	return e
}

func (m *memory) insert(key, row []byte) *entry {
	e := &entry{key: string(key), row: row}
	m.entries[e.key] = e
	m.ring = append(m.ring, e)
	m.bytes += e.size()
	return e
}

// put changes a row, which waits for the disk from now on. A row that fits takes the
// place of the one before it. It keeps neither slice.
func (m *memory) put(key, row []byte) {
	e := m.entries[string(key)]
	if e == nil {
		e = m.insert(key, nil)
	}
	m.leave(e)
	if row == nil {
		e.row = nil
	} else if e.row = append(e.row[:0], row...); e.row == nil {
		e.row = []byte{}
	}
	e.used = true
	if !e.dirty {
		e.dirty = true
		m.dirty = append(m.dirty, e)
	}
	m.enter(e)
}

// leave and enter take the bytes of an entry out of the sums, and back in after it
// changed.
func (m *memory) leave(e *entry) {
	m.bytes -= e.size()
	if e.pinned() {
		m.pinned -= e.size()
	}
}

func (m *memory) enter(e *entry) {
	m.bytes += e.size()
	if e.pinned() {
		m.pinned += e.size()
	}
}

// take marks an entry as one that its group carries to the disk.
func (m *memory) take(e *entry) { e.dirty, e.flushing = false, true }

// settle takes note that the entries of a group are on disk.
func (m *memory) settle(group []*entry) {
	for _, e := range group {
		m.leave(e)
		e.flushing = false
		m.enter(e)
	}
}

// evict removes entries that are not pinned while all take more than the limit.
func (m *memory) evict(limit int) {
	for m.bytes > max(limit, m.pinned) {
		if m.hand >= len(m.ring) {
			m.hand = 0
		}
		e := m.ring[m.hand]
		switch {
		case e.pinned():
			m.hand++
		case e.used && e.row != nil:
			e.used = false
			m.hand++
		default:
			m.bytes -= e.size()
			delete(m.entries, e.key)
			last := len(m.ring) - 1
			m.ring[m.hand] = m.ring[last]
			m.ring[last] = nil
			m.ring = m.ring[:last]
			m.hand++ // the last one came last: its turn is the next time round
		}
	}
}
