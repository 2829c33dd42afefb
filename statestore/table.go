package statestore

import (
	"bytes"
	"hash/maphash"
	"iter"
)

// lookahead is how many keys are looked ahead for at a time.
const lookahead = 64

// none is no entry.
const none = ^uint32(0)

// A table is a hash table of keys and rows, with linear probing. An entry keeps its
// number until it is removed.
type table struct {
	seed    maphash.Seed
	places  []uint64 // 0: free; else the upper half of the hash, and the entry's number plus 1
	used    int      // places
	entries []entry
	free    []uint32 // numbers of entries that were removed
	blocks  blocks

	hashes [lookahead]uint64
	seen   int // so that looking ahead is not left out
}

// An entry is where a key and its row are: together in one block, which has no size
// when the entry was removed.
type entry struct {
	hash  uint64
	block block
	key   uint32 // length
	row   uint32 // length
}

func newTable() table {
	return table{seed: maphash.MakeSeed(), places: make([]uint64, 16)}
}

func (t *table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

func (t *table) key(n uint32) []byte {
	e := &t.entries[n]
	return t.blocks.bytes(e.block)[:e.key:e.key]
}

func (t *table) row(n uint32) []byte {
	e := &t.entries[n]
	return t.blocks.bytes(e.block)[e.key : e.key+e.row : e.key+e.row]
}

const tagBits = 32

func place(hash uint64, n uint32) uint64 { return hash>>tagBits<<tagBits | uint64(n+1) }

// at returns the first place where a hash may be.
func (t *table) at(hash uint64) int { return int(hash) & (len(t.places) - 1) }

// find returns the entry of a key, or none.
func (t *table) find(key []byte, hash uint64) uint32 {
	for i := t.at(hash); ; i = (i + 1) & (len(t.places) - 1) {
		p := t.places[i]
		if p == 0 {
			return none
		}
		if n := uint32(p) - 1; p>>tagBits == hash>>tagBits && t.entries[n].hash == hash && bytes.Equal(t.key(n), key) {
			return n
		}
	}
}

// add adds a key that the table does not have.
func (t *table) add(key, row []byte, hash uint64) {
	if 4*(t.used+1) > 3*len(t.places) {
		t.grow()
	}
	n := uint32(len(t.entries))
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
	} else {
		t.entries = append(t.entries, entry{})
	}
	b := t.blocks.take(len(key) + len(row))
	to := t.blocks.bytes(b)
	copy(to[copy(to, key):], row)
	t.entries[n] = entry{hash, b, uint32(len(key)), uint32(len(row))}
	t.settle(hash, n)
}

// settle gives an entry a place.
func (t *table) settle(hash uint64, n uint32) {
	i := t.at(hash)
	for t.places[i] != 0 {
		i = (i + 1) & (len(t.places) - 1)
	}
	t.places[i] = place(hash, n)
	t.used++
}

func (t *table) grow() {
	t.places, t.used = make([]uint64, 2*len(t.places)), 0
	for n := range t.all() {
		t.settle(t.entries[n].hash, n)
	}
}

// write writes the row of an entry, in its block if it fits.
func (t *table) write(n uint32, row []byte) {
	e := &t.entries[n]
	if size := int(e.key) + len(row); !t.blocks.fits(e.block, size) {
		b := t.blocks.take(size)
		copy(t.blocks.bytes(b), t.key(n))
		t.blocks.give(e.block)
		e.block = b
	}
	copy(t.blocks.bytes(e.block)[e.key:], row)
	e.row = uint32(len(row))
}

// remove removes an entry. What stands behind its place moves up where it may, so
// that a search ends at a free place.
func (t *table) remove(n uint32) {
	e := &t.entries[n]
	mask := len(t.places) - 1
	i := t.at(e.hash)
	for t.places[i] != place(e.hash, n) {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; t.places[j] != 0; j = (j + 1) & mask {
		first := t.at(t.entries[uint32(t.places[j])-1].hash)
		if (j-first)&mask >= (j-i)&mask {
			t.places[i] = t.places[j]
			i = j
		}
	}
	t.places[i] = 0
	t.used--
	t.blocks.give(e.block)
	*e = entry{}
	t.free = append(t.free, n)
}

// all returns the numbers of all entries.
func (t *table) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for n := range t.entries {
			if t.entries[n].block.size > 0 && !yield(uint32(n)) {
				return
			}
		}
	}
}

// ahead returns the hashes of the keys, and brings what is known of them into the
// processor's cache: reads that do not wait for each other take hardly longer together
// than one.
func (t *table) ahead(puts []Put) []uint64 {
	hashes := t.hashes[:len(puts)]
	mask := len(t.places) - 1
	for i := range puts {
		hashes[i] = t.hash(puts[i].Key)
	}
	var likely [lookahead]uint32
	for i, h := range hashes {
		likely[i] = none
		for j := t.at(h); t.places[j] != 0; j = (j + 1) & mask {
			if p := t.places[j]; p>>tagBits == h>>tagBits {
				likely[i] = uint32(p) - 1
				break
			}
		}
	}
	sum := 0
	for _, n := range likely[:len(puts)] {
		if n != none {
			sum += int(t.entries[n].key)
		}
	}
	for _, n := range likely[:len(puts)] {
		if n != none {
			e := &t.entries[n]
			b := t.blocks.bytes(e.block)[:e.key+e.row]
			for at := 0; at < len(b); at += 64 {
				sum += int(b[at])
			}
		}
	}
	t.seen = sum
	return hashes
}
