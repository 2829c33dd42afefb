package producer

import (
	"context"
	"fmt"
	"sync"
)

// Memory is a Source that a restart loses, for producers that keep nothing: each
// start opens an epoch. It remembers the last ids of each entity, and one position
// per entity for as long as it lives. It is safe for concurrent use; NewMemory
// makes one.
type Memory struct {
	keep int

	mu       sync.Mutex // guards what follows
	epoch    int64
	entities map[string]*entity
}

type entity struct {
	last Position
	ids  []given // the last ones, the oldest first
}

type given struct {
	id string
	at Position
}

// NewMemory makes an empty Memory that remembers so many ids per entity, at least
// one: an event must be stamped again before that many others of its entity are.
func NewMemory(ids int) *Memory {
	return &Memory{keep: max(ids, 1), entities: map[string]*entity{}}
}

// Epoch returns the epoch; 0 before the first OpenEpoch.
func (m *Memory) Epoch(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, nil
}

// OpenEpoch opens an epoch, which must be greater than the one before.
func (m *Memory) OpenEpoch(_ context.Context, epoch int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch <= m.epoch {
		return fmt.Errorf("producer: epoch %d is not greater than %d", epoch, m.epoch)
	}
	m.epoch = epoch
	return nil
}

// Lookup returns the last position of the entity and that of the id.
func (m *Memory) Lookup(_ context.Context, name, id string) (last, own Position, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entities[name]
	if e == nil {
		return Position{}, Position{}, nil
	}
	return e.last, e.find(id), nil
}

// Record records the position of the id.
func (m *Memory) Record(_ context.Context, name, id string, p Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entities[name]
	if e == nil {
		e = &entity{}
	}
	if p.Epoch != m.epoch {
		return ErrEpoch
	}
	next := Position{Epoch: m.epoch, Sequence: Start}
	if e.last.Epoch == m.epoch {
		next.Sequence = e.last.Sequence + 1
	}
	if p != next || e.find(id) != (Position{}) {
		return ErrTaken
	}
	m.entities[name] = e
	e.last = p
	if len(e.ids) == m.keep {
		e.ids = append(e.ids[:0], e.ids[1:]...)
	}
	e.ids = append(e.ids, given{id, p})
	return nil
}

func (e *entity) find(id string) Position {
	for _, g := range e.ids {
		if g.id == id {
			return g.at
		}
	}
	return Position{}
}
