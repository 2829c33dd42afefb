package reorder

import "sort"

// A span is the numbers from to to, both included.
type span struct{ from, to int64 }

// spans is a set of numbers as sorted spans that neither overlap nor touch.
type spans []span

// find returns the index of the first span that ends at or after n.
func (s spans) find(n int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].to >= n })
}

func (s spans) has(n int64) bool {
	i := s.find(n)
	return i < len(s) && s[i].from <= n
}

// add includes the numbers from to to.
func (s *spans) add(from, to int64) {
	set := *s
	i := sort.Search(len(set), func(i int) bool { return set[i].to >= from-1 })
	j := i
	for j < len(set) && set[j].from <= to+1 {
		from, to = min(from, set[j].from), max(to, set[j].to)
		j++
	}
	if i == j {
		set = append(set, span{})
		copy(set[i+1:], set[i:])
		set[i] = span{from, to}
	} else {
		set[i] = span{from, to}
		set = append(set[:i+1], set[j:]...)
	}
	*s = set
}

// remove excludes the number n.
func (s *spans) remove(n int64) {
	set := *s
	i := set.find(n)
	if i == len(set) || set[i].from > n {
		return
	}
	sp := set[i]
	switch {
	case sp.from == sp.to:
		set = append(set[:i], set[i+1:]...)
	case sp.from == n:
		set[i].from++
	case sp.to == n:
		set[i].to--
	default:
		set = append(set, span{})
		copy(set[i+1:], set[i:])
		set[i].to = n - 1
		set[i+1].from = n + 1
	}
	*s = set
}

// dropTo excludes all numbers up to n.
func (s *spans) dropTo(n int64) {
	set := *s
	i := sort.Search(len(set), func(i int) bool { return set[i].to > n })
	set = append(set[:0], set[i:]...)
	if len(set) > 0 && set[0].from <= n {
		set[0].from = n + 1
	}
	*s = set
}

// A claim is a span of void numbers and the hash of the id that made them void.
type claim struct {
	span
	hash uint64
}

// claims is a sorted list of void numbers; neighbours of one id are one claim.
type claims []claim

func (c claims) find(n int64) int {
	return sort.Search(len(c), func(i int) bool { return c[i].to >= n })
}

// get returns the hash of the id that made n void.
func (c claims) get(n int64) (hash uint64, ok bool) {
	if i := c.find(n); i < len(c) && c[i].from <= n {
		return c[i].hash, true
	}
	return 0, false
}

// add makes n void for the id; n is not void.
func (c *claims) add(n int64, hash uint64) {
	set := *c
	i := set.find(n)
	before := i > 0 && set[i-1].to == n-1 && set[i-1].hash == hash
	after := i < len(set) && set[i].from == n+1 && set[i].hash == hash
	switch {
	case before && after:
		set[i-1].to = set[i].to
		set = append(set[:i], set[i+1:]...)
	case before:
		set[i-1].to = n
	case after:
		set[i].from = n
	default:
		set = append(set, claim{})
		copy(set[i+1:], set[i:])
		set[i] = claim{span{n, n}, hash}
	}
	*c = set
}

// remove makes n undecided again.
func (c *claims) remove(n int64) {
	set := *c
	i := set.find(n)
	if i == len(set) || set[i].from > n {
		return
	}
	cl := set[i]
	switch {
	case cl.from == cl.to:
		set = append(set[:i], set[i+1:]...)
	case cl.from == n:
		set[i].from++
	case cl.to == n:
		set[i].to--
	default:
		set = append(set, claim{})
		copy(set[i+1:], set[i:])
		set[i].to = n - 1
		set[i+1].from = n + 1
	}
	*c = set
}

// dropTo forgets all numbers up to n.
func (c *claims) dropTo(n int64) {
	set := *c
	i := sort.Search(len(set), func(i int) bool { return set[i].to > n })
	set = append(set[:0], set[i:]...)
	if len(set) > 0 && set[0].from <= n {
		set[0].from = n + 1
	}
	*c = set
}
