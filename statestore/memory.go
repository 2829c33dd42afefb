package statestore

import (
	"bytes"
	"slices"
)

// Memory is a Backend in memory: what it holds ends with the process. The zero
// value is not usable; NewMemory makes one.
//
// Its rows have no pointers, so that a million of them cost the garbage collector
// nothing.
type Memory struct {
	table     table
	bytes     int64 // of keys and rows
	positions []Position
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{table: newTable()} }

// Get implements Backend.
func (m *Memory) Get(key []byte) ([]byte, error) {
	if n := m.table.find(key, m.table.hash(key)); n != none {
		return m.table.row(n), nil
	}
	return nil, nil
}

// Apply implements Backend.
func (m *Memory) Apply(puts []Put, positions []Position) error {
	for some := range slices.Chunk(puts, lookahead) {
		hashes := m.table.ahead(some)
		for i, p := range some {
			m.put(p, hashes[i])
		}
	}
	for _, p := range positions {
		i := slices.IndexFunc(m.positions, func(q Position) bool { return q.Topic == p.Topic && q.Partition == p.Partition })
		if i < 0 {
			m.positions = append(m.positions, p)
			continue
		}
		m.positions[i] = p
	}
	return nil
}

func (m *Memory) put(p Put, hash uint64) {
	n := m.table.find(p.Key, hash)
	if n != none {
		m.bytes -= int64(len(p.Key) + len(m.table.row(n)))
	}
	if p.Row == nil {
		if n != none {
			m.table.remove(n)
		}
		return
	}
	m.bytes += int64(len(p.Key) + len(p.Row))
	if n == none {
		m.table.add(p.Key, p.Row, hash)
	} else {
		m.table.write(n, p.Row)
	}
}

// Scan implements Backend.
func (m *Memory) Scan(prefix []byte, f func(key, row []byte) error) error {
	var found []uint32
	for n := range m.table.all() {
		if bytes.HasPrefix(m.table.key(n), prefix) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b uint32) int { return bytes.Compare(m.table.key(a), m.table.key(b)) })
	for _, n := range found {
		if err := f(m.table.key(n), m.table.row(n)); err != nil {
			return err
		}
	}
	return nil
}

// Bytes returns the size of all keys and rows.
func (m *Memory) Bytes() int64 { return m.bytes }

// Positions implements Backend.
func (m *Memory) Positions() []Position { return m.positions }

// Close implements Backend.
func (m *Memory) Close() error { return nil }
