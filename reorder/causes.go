package reorder

import "github.com/streamrun/streamrun/policies"

// causeMemory is how many applied ids a task remembers for causes: an effect that
// comes later than so many events after its cause waits until its time is up.
const causeMemory = 1 << 16

// causes is the causal index of a task: which ids were applied, which are held, and
// which entities wait for one (R18).
type causes struct {
	applied causeQueue
	held    map[uint64]*Event // by hash of id
	waiters map[uint64][]*entity
	buf     []byte
}

func newCauses() *causes {
	return &causes{
		applied: causeQueue{limit: causeMemory, byHash: make(map[uint64]uint64)},
		held:    make(map[uint64]*Event), waiters: make(map[uint64][]*entity),
	}
}

// hashOf is the hash of an event's id as others name it as their cause.
func (c *causes) hashOf(m *policies.Metadata) uint64 {
	if m.ID != "" || !m.HasSequence {
		return hashID(m.ID)
	}
	c.buf = appendDerivedID(c.buf[:0], m.Entity, m.Epoch, m.Sequence)
	return hashID(string(c.buf))
}

func (c *causes) apply(hash uint64) {
	if hash != 0 {
		c.applied.add(hash)
	}
}

// takeWaiters returns the entities that wait for the cause, first come first, and
// forgets them.
func (c *causes) takeWaiters(hash uint64) []*entity {
	w := c.waiters[hash]
	delete(c.waiters, hash)
	return w
}

// note keeps an event while it is held.
func (c *causes) note(e *Event) {
	hash := c.hashOf(&e.Metadata)
	if e.state == stateHeld {
		c.held[hash] = e
	} else if c.held[hash] == e {
		delete(c.held, hash)
	}
}

// await registers the entity for the cause that it waits for now.
func (m *Machine) await(en *entity) {
	var cause uint64
	if x := en.row.rare; x != nil && x.causal.set {
		if e := en.held.Get(x.causal.number); e != nil {
			cause = hashID(e.Causation)
		}
	}
	if cause == en.cause {
		return
	}
	c := m.causes
	if en.cause != 0 {
		w := c.waiters[en.cause]
		for i, q := range w {
			if q == en {
				w = append(w[:i:i], w[i+1:]...)
				break
			}
		}
		if len(w) == 0 {
			delete(c.waiters, en.cause)
		} else {
			c.waiters[en.cause] = w
		}
	}
	if en.cause = cause; cause != 0 {
		c.waiters[cause] = append(c.waiters[cause], en)
	}
}

// causeQueue remembers the hashes applied last, in the order of application.
// What was added and pushed out since the last save is listed for it.
type causeQueue struct {
	limit   int
	byHash  map[uint64]uint64 // hash: its ordinal
	order   []uint64          // hashes, oldest first
	ordinal uint64            // of the next one
	saved   uint64            // ordinals below are stored
	gone    []uint64          // stored ones that were pushed out
}

func (q *causeQueue) has(hash uint64) bool {
	_, ok := q.byHash[hash]
	return ok
}

// add remembers a hash; one that is known stays where it is.
func (q *causeQueue) add(hash uint64) {
	if q.has(hash) {
		return
	}
	q.put(hash, q.ordinal)
	if len(q.order) > q.limit {
		old := q.order[0]
		q.order = q.order[1:]
		if q.byHash[old] < q.saved {
			q.gone = append(q.gone, old)
		}
		delete(q.byHash, old)
	}
}

func (q *causeQueue) put(hash, ordinal uint64) {
	q.order = append(q.order, hash)
	q.byHash[hash] = ordinal
	q.ordinal = ordinal + 1
}
