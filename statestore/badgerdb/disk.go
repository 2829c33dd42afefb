package badgerdb

// A disk keeps rows where they outlive the process. get, committed, rest and wake are
// called under the lock of the DB, write by its flusher alone.
type disk interface {
	// get appends the row of the key to dst, or reports that there is none.
	get(key, dst []byte) (row []byte, ok bool, err error)
	// write makes a group of rows durable, all of them or none. When it returns, they
	// are.
	write(g *group) error
	// committed is called after a write, before the rows in it are looked for here.
	committed()
	// scan starts at the first key with the prefix, in what is committed now.
	scan(prefix []byte) scanner
	// size returns about how many bytes the rows take.
	size() int64
	// rest begins to give back what a disk takes that nobody uses: no scan goes on, and
	// wake comes before anything else but close. done, which is called without the lock,
	// returns when that is done; wake waits for it.
	rest() (done func() error)
	wake() error
	// close returns when the directory is anybody's, which may be never.
	close() error
}

// A scanner walks over rows in key order.
type scanner interface {
	// next returns a row, both slices valid until the next call, or false.
	next() (key, row []byte, ok bool, err error)
	close()
}

// Bounds of a group, below those of Badger's transactions with the memtables that
// openBadger asks for.
const (
	groupBytes = 1 << 20
	groupRows  = 8192
)

// A group is rows that are written in one transaction. It owns its bytes.
type group struct {
	buf   []byte
	rows  []groupRow
	stand *stand // written with the rows, if not nil; write gives it its number
}

// groupRow is a row in a group, by its places in buf.
type groupRow struct {
	key, row, end int
	deleted       bool
}

func (g *group) reset() { g.buf, g.rows, g.stand = g.buf[:0], g.rows[:0], nil }

// full reports whether a row of so many bytes has to go into the next group.
func (g *group) full(size int) bool {
	return len(g.rows) >= groupRows || len(g.rows) > 0 && len(g.buf)+size > groupBytes
}

// add adds a row; a nil one deletes.
func (g *group) add(key string, row []byte) {
	r := groupRow{key: len(g.buf), deleted: row == nil}
	g.buf = append(append(g.buf, kindRow), key...)
	r.row = len(g.buf)
	if row != nil {
		g.buf = sealRow(g.buf, g.buf[r.key+1:r.row], row)
	}
	r.end = len(g.buf)
	g.rows = append(g.rows, r)
}

// key returns the Badger key of row i; value what is kept under it.
func (g *group) key(i int) []byte   { return g.buf[g.rows[i].key:g.rows[i].row:g.rows[i].row] }
func (g *group) value(i int) []byte { return g.buf[g.rows[i].row:g.rows[i].end:g.rows[i].end] }
