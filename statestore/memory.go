package statestore

import (
	"slices"
	"strings"
)

// Memory is a Backend in memory: what it holds ends with the process. The zero
// value is not usable; NewMemory makes one.
type Memory struct {
	rows      map[string][]byte
	bytes     int64 // of keys and rows
	positions []Position
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{rows: make(map[string][]byte)} }

// Get implements Backend.
func (m *Memory) Get(key []byte) ([]byte, error) { return m.rows[string(key)], nil }

// Apply implements Backend. A row that fits takes the place of the one before it.
func (m *Memory) Apply(puts []Put, positions []Position) error {
	for _, p := range puts {
		old, ok := m.rows[string(p.Key)]
		if ok {
			m.bytes -= int64(len(p.Key) + len(old))
		}
		if p.Row == nil {
			delete(m.rows, string(p.Key))
			continue
		}
		m.bytes += int64(len(p.Key) + len(p.Row))
		row := append(old[:0], p.Row...)
		if row == nil {
			row = []byte{} // an empty row is not an absent one
		}
		if !ok || len(row) != len(old) || cap(row) != cap(old) {
			m.rows[string(p.Key)] = row
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

// Scan implements Backend.
func (m *Memory) Scan(prefix []byte, f func(key, row []byte) error) error {
	var keys []string
	for k := range m.rows {
		if strings.HasPrefix(k, string(prefix)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := f([]byte(k), m.rows[k]); err != nil {
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
