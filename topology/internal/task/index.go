package task

import (
	"hash/maphash"
	"math/bits"
)

// An index has the slots of a task and finds them by their keys: a hash table with
// linear probing, of numbers of slots, which are in shelves. The garbage collector
// meets no pointer in the table, and the slots one after the other.
type index struct {
	seed    maphash.Seed
	places  []uint64 // as many as a power of two: 0: free; else the upper half of the hash, and the slot's number plus 1
	shift   int      // of the upper half of a hash: the rest is the first place where it may be
	used    int      // places
	shelves []shelf
	open    []uint32 // shelves that have room
}

// shelfSlots is how many slots a shelf has: as many as make it an object that stands
// alone in its pages, so that its slots keep to the lines of the cache.
const shelfSlots = 256

// A shelf has slots that are free or in use. That they are behind a slice, not an array,
// saves a look at the first of them on the way to any other.
type shelf struct {
	slots []slot                  // nil while all are free
	used  [shelfSlots / 64]uint64 // bit by slot
	count int                     // in use
}

const firstPlaces = 16

func newIndex() index {
	return index{seed: maphash.MakeSeed(), places: make([]uint64, firstPlaces), shift: 32 - bits.TrailingZeros(firstPlaces)}
}

func (x *index) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

// slot returns the slot of a number.
func (x *index) slot(n uint32) *slot { return &x.shelves[n/shelfSlots].slots[n%shelfSlots] }

// likely returns the first slot whose key has the upper half of the hash, or nil: it
// may be another key's. It reads no key.
func (x *index) likely(hash uint64) *slot {
	tag, mask := uint32(hash>>32), len(x.places)-1
	for i := int(tag >> x.shift); ; i = (i + 1) & mask {
		switch p := x.places[i]; {
		case p == 0:
			return nil
		case uint32(p>>32) == tag:
			return x.slot(uint32(p) - 1)
		}
	}
}

// find returns the slot of the key, or nil.
func (x *index) find(key []byte, hash uint64) *slot {
	tag, mask := uint32(hash>>32), len(x.places)-1
	for i := int(tag >> x.shift); ; i = (i + 1) & mask {
		p := x.places[i]
		if p == 0 {
			return nil
		}
		if uint32(p>>32) == tag {
			if sl := x.slot(uint32(p) - 1); sl.ID == string(key) {
				return sl
			}
		}
	}
}

// add returns a slot for a key that the index does not have. Its name is the caller's
// to set, before the index is asked for it.
func (x *index) add(hash uint64) *slot {
	if 4*(x.used+1) > 3*len(x.places) {
		old := x.places
		x.places = make([]uint64, 2*len(old))
		x.shift--
		for _, p := range old {
			if p != 0 {
				x.settle(p)
			}
		}
	}
	x.used++
	n := x.take()
	x.settle(hash>>32<<32 | uint64(n+1))
	sl := x.slot(n)
	sl.number = n
	return sl
}

// take returns the number of a slot that is free, and not free any more.
func (x *index) take() uint32 {
	if len(x.open) == 0 {
		x.open = append(x.open, uint32(len(x.shelves)))
		x.shelves = append(x.shelves, shelf{})
	}
	at := x.open[len(x.open)-1]
	sh := &x.shelves[at]
	if sh.slots == nil {
		sh.slots = make([]slot, shelfSlots)
	}
	if sh.count++; sh.count == shelfSlots {
		x.open = x.open[:len(x.open)-1]
	}
	word := 0
	for sh.used[word] == ^uint64(0) {
		word++
	}
	bit := bits.TrailingZeros64(^sh.used[word])
	sh.used[word] |= 1 << bit
	return at*shelfSlots + uint32(64*word+bit)
}

func (x *index) settle(p uint64) {
	mask := len(x.places) - 1
	i := int(uint32(p>>32) >> x.shift)
	for x.places[i] != 0 {
		i = (i + 1) & mask
	}
	x.places[i] = p
}

// remove removes a slot, which is another key's from then on. What stands behind its
// place moves up where it may, so that a search ends at a free place.
func (x *index) remove(sl *slot, hash uint64) {
	n, tag, mask := sl.number, uint32(hash>>32), len(x.places)-1
	i := int(tag >> x.shift)
	for uint32(x.places[i]) != n+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; x.places[j] != 0; j = (j + 1) & mask {
		if first := int(uint32(x.places[j]>>32) >> x.shift); (j-first)&mask >= (j-i)&mask {
			x.places[i] = x.places[j]
			i = j
		}
	}
	x.places[i] = 0
	x.used--
	*sl = slot{}
	at := n / shelfSlots
	sh := &x.shelves[at]
	if sh.count == shelfSlots {
		x.open = append(x.open, at)
	}
	sh.used[n%shelfSlots/64] &^= 1 << (n % 64)
	if sh.count--; sh.count == 0 {
		sh.slots = nil
	}
}

// next returns the slot in use that follows a number, round the shelves, and its
// number. There must be one.
func (x *index) next(n uint32) (*slot, uint32) {
	for {
		if n++; n >= uint32(len(x.shelves)*shelfSlots) {
			n = 0
		}
		sh := &x.shelves[n/shelfSlots]
		if sh.slots == nil {
			n |= shelfSlots - 1
			continue
		}
		if rest := sh.used[n%shelfSlots/64] >> (n % 64); rest != 0 {
			n += uint32(bits.TrailingZeros64(rest))
			return x.slot(n), n
		}
		n |= 63
	}
}
