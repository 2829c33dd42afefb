package task

// chunk is the size of an arena's pieces.
const chunk = 64 << 10

// An arena holds the bytes of one batch. Its pieces are used again by later batches.
type arena struct {
	cur  []byte
	full [][]byte
	pool *[][]byte // pieces of batches that ended
}

// copy keeps a copy of b; nil stays nil.
func (a *arena) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	if cap(a.cur)-len(a.cur) < len(b) {
		a.grow(len(b))
	}
	n := len(a.cur)
	a.cur = append(a.cur, b...)
	return a.cur[n:len(a.cur):len(a.cur)]
}

// room returns an empty slice to append up to n bytes to, for keep.
func (a *arena) room(n int) []byte {
	if cap(a.cur)-len(a.cur) < n {
		a.grow(n)
	}
	return a.cur[len(a.cur):]
}

// keep keeps what was appended to the last room; what has outgrown it has memory of
// its own.
func (a *arena) keep(b []byte) []byte {
	if end := len(a.cur) + len(b); len(b) > 0 && end <= cap(a.cur) && &b[0] == &a.cur[:end][len(a.cur)] {
		a.cur = a.cur[:end]
	}
	return b[:len(b):len(b)]
}

func (a *arena) grow(n int) {
	if a.cur != nil {
		a.full = append(a.full, a.cur)
	}
	if p := *a.pool; n <= chunk && len(p) > 0 {
		a.cur = p[len(p)-1][:0]
		*a.pool = p[:len(p)-1]
		return
	}
	a.cur = make([]byte, 0, max(n, chunk))
}

// release gives the pieces back.
func (a *arena) release() {
	for _, c := range append(a.full, a.cur) {
		if cap(c) == chunk && len(*a.pool) < 1024 {
			*a.pool = append(*a.pool, c)
		}
	}
	a.cur, a.full = nil, nil
}
