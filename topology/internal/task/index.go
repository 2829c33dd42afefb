package task

import "hash/maphash"

// An index finds slots by their keys: a hash table with linear probing. A place has
// the whole hash beside the slot, so that looking ahead for many keys reads no key.
type index struct {
	seed   maphash.Seed
	places []indexed // as many as a power of two
	used   int
}

// indexed is a slot and the hash of its key; no slot: the place is free.
type indexed struct {
	hash uint64
	slot *slot
}

func newIndex() index {
	return index{seed: maphash.MakeSeed(), places: make([]indexed, 16)}
}

func (x *index) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

// likely returns the first slot whose key has the hash, or nil: with two keys of one
// hash it may be the other one.
func (x *index) likely(hash uint64) *slot {
	mask := uint64(len(x.places) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if p := &x.places[i]; p.slot == nil || p.hash == hash {
			return p.slot
		}
	}
}

// find returns the slot of the key, or nil.
func (x *index) find(key []byte, hash uint64) *slot {
	mask := uint64(len(x.places) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		p := &x.places[i]
		if p.slot == nil || p.hash == hash && p.slot.ID == string(key) {
			return p.slot
		}
	}
}

// add adds a slot whose key the index does not have.
func (x *index) add(sl *slot, hash uint64) {
	if 4*(x.used+1) > 3*len(x.places) {
		old := x.places
		x.places = make([]indexed, 2*len(old))
		for _, p := range old {
			if p.slot != nil {
				x.settle(p)
			}
		}
	}
	x.settle(indexed{hash, sl})
	x.used++
}

func (x *index) settle(p indexed) {
	mask := uint64(len(x.places) - 1)
	i := p.hash & mask
	for x.places[i].slot != nil {
		i = (i + 1) & mask
	}
	x.places[i] = p
}

// remove removes a slot. What stands behind its place moves up where it may, so that a
// search ends at a free place.
func (x *index) remove(sl *slot, hash uint64) {
	mask := uint64(len(x.places) - 1)
	i := hash & mask
	for x.places[i].slot != sl {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; x.places[j].slot != nil; j = (j + 1) & mask {
		if first := x.places[j].hash & mask; (j-first)&mask >= (j-i)&mask {
			x.places[i] = x.places[j]
			i = j
		}
	}
	x.places[i] = indexed{}
	x.used--
}
