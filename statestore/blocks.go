package statestore

import "math/bits"

// pageBytes is the size of the pages that blocks are cut from; a larger block has a
// page of its own.
const pageBytes = 256 << 10

// A block is a piece of memory: a page, where it begins in it, and its class of
// sizes.
type block struct {
	page uint32
	at   uint32 // 0 where it has the page for itself
	size uint32 // capacity
}

// blocks is memory in pieces of few sizes, without pointers but those to its pages. A
// piece that is given back is the next one of its size.
type blocks struct {
	pages [][]byte
	open  uint32             // page that is cut
	left  int                // bytes of it
	spare map[uint32][]block // by size
	gone  []uint32           // pages that have no memory
}

// capacity returns the size of the block for so many bytes: at most an eighth more, or
// 15 bytes.
func capacity(n int) uint32 {
	step := max(16, 1<<max(bits.Len(uint(n))-4, 0))
	return uint32((max(n, 1) + step - 1) / step * step)
}

func (s *blocks) bytes(b block) []byte { return s.pages[b.page][b.at : b.at+b.size : b.at+b.size] }

// fits reports whether so many bytes belong into the block: not more than it has, and
// not so few that most of it is wasted.
func (s *blocks) fits(b block, n int) bool {
	return n <= int(b.size) && 2*int(capacity(n)) >= int(b.size)
}

// take returns a block for so many bytes.
func (s *blocks) take(n int) block {
	size := capacity(n)
	if size > pageBytes/8 {
		return block{s.page(int(size)), 0, size}
	}
	if list := s.spare[size]; len(list) > 0 {
		s.spare[size] = list[:len(list)-1]
		return list[len(list)-1]
	}
	if s.left < int(size) {
		s.open, s.left = s.page(pageBytes), pageBytes
	}
	b := block{s.open, uint32(pageBytes - s.left), size}
	s.left -= int(size)
	return b
}

func (s *blocks) page(size int) uint32 {
	if last := len(s.gone) - 1; last >= 0 {
		p := s.gone[last]
		s.gone = s.gone[:last]
		s.pages[p] = make([]byte, size)
		return p
	}
	s.pages = append(s.pages, make([]byte, size))
	return uint32(len(s.pages) - 1)
}

// give takes a block back.
func (s *blocks) give(b block) {
	if b.size > pageBytes/8 {
		s.pages[b.page] = nil
		s.gone = append(s.gone, b.page)
		return
	}
	if s.spare == nil {
		s.spare = map[uint32][]block{}
	}
	s.spare[b.size] = append(s.spare[b.size], b)
}
