package badgerdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// ErrClosed is what a closed DB answers.
var ErrClosed = errors.New("badgerdb: closed")

// ErrDamaged is wrapped by what was found wrong with the rows of a directory. The next
// Open does not use them.
var ErrDamaged = errors.New("damaged")

// A DB keeps the rows of one task in memory and, written behind, in a directory. It
// implements statestore.Backend: one goroutine uses it; one of its own writes. Open
// makes one.
//
// A DB is restoring until Live is called: rows then wait for more of them, and the
// checkpoint keeps the age of what was found.
type DB struct {
	options Options
	dir     string
	lock    *os.File
	disk    disk
	failed  *logger // of the disk, when it fails in the background
	refused error

	positions []statestore.Position // also guarded by mu where they change

	mu       sync.Mutex // guards the rest
	rows     memory
	flushing []*entry         // that the flush under way began with
	moved    bool             // positions changed since the last checkpoint
	owned    func() time.Time // see Live; nil: it was not called
	trailing bool             // CaughtUp was called
	bounds   bounds
	renew    bool      // the next flush writes a checkpoint in any case
	wall     time.Time // as of which the positions were the ends of the changelogs
	written  time.Time // wall of the last checkpoint
	size     int64     // of what is on disk
	scans    int       // that go on
	idle     int       // ticks since the disk was used
	resting  bool      // the disk is
	err      error
	asked    int // flushes that were asked for
	flushed  int // and that have ended

	kick     chan struct{} // to the flusher: there is something to do
	progress chan struct{} // from the flusher: something is done
	stop     chan struct{}
	ended    chan struct{}
}

func newDB(dir string, o Options, f *os.File, d *badgerDisk) *DB {
	db := &DB{
		options: o, dir: dir, lock: f, disk: o.wrap(d), failed: d.log,
		rows: newMemory(), bounds: o.bounds(false),
		kick: make(chan struct{}, 1), progress: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	db.wall = o.Now().Round(0)
	return db
}

// Refused returns why what was in the directory was not used, or nil if it was, or if
// there was nothing.
func (db *DB) Refused() error { return db.refused }

// Live ends the restore: the rows are complete up to the ends of the changelogs, and
// from now on they are on disk a second after their Apply. The restore must have read
// to the ends as they were after Open. owned returns the last time of which it is known
// that nobody else wrote the changelogs, since the restore or before it, and zero for not
// known any more; nil is for changelogs that nobody else ever writes. Any goroutine may
// call it.
func (db *DB) Live(owned func() time.Time) {
	if owned == nil {
		owned = db.options.Now
	}
	db.mu.Lock()
	db.owned, db.bounds = owned, db.options.bounds(true)
	db.mu.Unlock()
	signal(db.kick)
}

// CaughtUp says of a restore that goes on as long as its changelogs do, a standby's, that
// its positions were the ends of the changelogs at a time, or beyond. From then on rows
// are on disk a second after their Apply, as after Live.
func (db *DB) CaughtUp(at time.Time) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.trailing = true
	db.wall = at.Round(0) // also one before that of a checkpoint that was written by a wrong clock
}

// AsOf returns the last time of which it is known that the positions were the ends of the
// changelogs, or beyond.
func (db *DB) AsOf() time.Time {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.wall
}

// Get implements statestore.Backend.
func (db *DB) Get(key []byte) ([]byte, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if e := db.rows.find(key); e != nil {
		return e.row, db.err
	}
	if err := db.use(); err != nil {
		return nil, err
	}
	row, ok, err := db.disk.get(key, nil)
	if err != nil {
		return nil, db.fail(fmt.Errorf("badgerdb: reading %q: %w", clip(key), err))
	}
	if !ok {
		return nil, nil
	}
	if row == nil {
		row = []byte{}
	}
	db.rows.insert(key, row).used = true
	db.rows.evict(db.bounds.all)
	return row, nil
}

// Apply implements statestore.Backend. It waits while too much is not on disk yet. A
// row or key that is too large is an error, and nothing is applied.
func (db *DB) Apply(puts []statestore.Put, positions []statestore.Position) error {
	for _, p := range puts {
		if len(p.Key) > MaxKey {
			return fmt.Errorf("badgerdb: writing %q...: a key of %d bytes; at most %d can be kept", clip(p.Key), len(p.Key), MaxKey)
		}
		if len(p.Row) > MaxRow {
			return fmt.Errorf("badgerdb: writing %q: a row of %d bytes; at most %d can be kept: make the values under this key smaller, or keep the store in memory", clip(p.Key), len(p.Row), MaxRow)
		}
	}
	db.mu.Lock()
	if db.err == nil {
		db.err = db.failed.failure() // the flusher may wait for a disk that it waits for in vain
	}
	for db.err == nil && db.rows.pinned > db.bounds.wait {
		db.mu.Unlock()
		signal(db.kick)
		db.wait()
		db.mu.Lock()
	}
	defer db.mu.Unlock()
	if db.err != nil {
		return db.err
	}
	for _, p := range puts {
		db.rows.put(p.Key, p.Row)
	}
	for _, p := range positions {
		i := slices.IndexFunc(db.positions, func(q statestore.Position) bool { return q.Topic == p.Topic && q.Partition == p.Partition })
		if i < 0 {
			i = len(db.positions)
			db.positions = append(db.positions, p)
		}
		db.positions[i] = p
		db.moved = true
	}
	if db.rows.pinned > db.bounds.flush {
		signal(db.kick)
	}
	return nil
}

// Scan implements statestore.Backend. f must not call Apply.
func (db *DB) Scan(prefix []byte, f func(key, row []byte) error) error {
	db.mu.Lock()
	if err := db.use(); err != nil {
		db.mu.Unlock()
		return err
	}
	// What is pinned may not be on disk; all else is, as of now.
	over := db.rows.overlay(db.flushing, prefix)
	s := db.disk.scan(prefix)
	db.scans++
	db.mu.Unlock()
	defer func() {
		s.close()
		db.mu.Lock()
		defer db.mu.Unlock()
		db.scans--
		db.idle = 0
	}()

	key, row, ok, err := s.next()
	for err == nil && (ok || len(over) > 0) {
		if ok && (len(over) == 0 || string(key) < over[0].key) {
			if err := f(key, row); err != nil {
				return err
			}
			key, row, ok, err = s.next()
			continue
		}
		o := over[0]
		over = over[1:]
		if ok && string(key) == o.key {
			key, row, ok, err = s.next()
		}
		if o.row == nil || err != nil {
			continue
		}
		if err := f([]byte(o.key), o.row); err != nil {
			return err
		}
	}
	if err == nil {
		return nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.fail(fmt.Errorf("badgerdb: scanning %q: %w", clip(prefix), err))
}

// use readies the disk for what it is asked next, and returns why the DB failed if it
// has. mu is held.
func (db *DB) use() error {
	db.idle = 0
	if db.err != nil || !db.resting {
		return db.err
	}
	err := db.options.room(db.dir)
	if err == nil {
		err = db.disk.wake()
	}
	if err != nil {
		return db.fail(fmt.Errorf("badgerdb: opening %s again after a rest: %w", db.dir, err))
	}
	db.resting = false
	return nil
}

// fail makes the DB answer with the error from now on. A damaged row keeps the next
// Open from using the directory. mu is held.
func (db *DB) fail(err error) error {
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, condemn(filepath.Join(db.dir, rowsName), err))
	}
	if !errors.Is(db.err, ErrClosed) {
		db.err = err
	}
	return err
}

// clip shortens a key for a message.
func clip(key []byte) []byte { return key[:min(len(key), 64)] }

// overlay returns the rows with the prefix that are pinned, in key order.
func (m *memory) overlay(flushing []*entry, prefix []byte) []overlaid {
	var over []overlaid
	for _, list := range [][]*entry{flushing, m.dirty} {
		for _, e := range list {
			if e.pinned() && strings.HasPrefix(e.key, string(prefix)) {
				over = append(over, overlaid{e.key, e.row})
			}
		}
	}
	slices.SortFunc(over, func(a, b overlaid) int { return strings.Compare(a.key, b.key) })
	return slices.CompactFunc(over, func(a, b overlaid) bool { return a.key == b.key })
}

// overlaid is a row over that on disk; a nil one deletes.
type overlaid struct {
	key string
	row []byte
}

// Positions implements statestore.Backend.
func (db *DB) Positions() []statestore.Position { return db.positions }

// Flush returns when everything that was applied is on disk.
func (db *DB) Flush() error {
	db.mu.Lock()
	db.asked++
	want := db.asked
	for db.err == nil && db.flushed < want {
		db.mu.Unlock()
		signal(db.kick)
		db.wait()
		db.mu.Lock()
	}
	defer db.mu.Unlock()
	return db.err
}

// wait waits for the flusher to have done something, or to have no chance to.
func (db *DB) wait() {
	select {
	case <-db.progress:
	case <-db.failed.broken:
		db.mu.Lock()
		defer db.mu.Unlock()
		if db.err == nil {
			db.err = db.failed.failure()
		}
	}
}

// Close flushes and gives the directory back. A failed DB returns its error again;
// what had been flushed stays.
func (db *DB) Close() error {
	db.mu.Lock()
	if errors.Is(db.err, ErrClosed) {
		db.mu.Unlock()
		return nil
	}
	db.renew = true
	db.mu.Unlock()

	return db.shut(db.Flush())
}

// shut ends the flusher and gives the directory back. err is what is known to be wrong.
func (db *DB) shut(err error) error {
	close(db.stop)
	gone := make(chan error, 1)
	go func() {
		<-db.ended // the flusher may wait for Badger, which tries for ever
		gone <- errors.Join(db.disk.close(), unlock(db.lock))
	}()
	select {
	case closed := <-gone:
		err = errors.Join(err, closed)
	case <-db.failed.broken: // the lock is kept for as long as Badger goes on
		err = errors.Join(err, db.failed.failure())
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.err = ErrClosed
	return err
}

// Condemn closes the DB and keeps its rows from being used again, as what they are
// restored from has shown that they are wrong: the next Open starts empty, and its
// Refused says why.
func (db *DB) Condemn(why error) error {
	db.mu.Lock()
	if db.err == nil {
		db.err = why // nothing more is written
	}
	if errors.Is(db.err, ErrClosed) {
		db.mu.Unlock()
		return ErrClosed
	}
	err := condemn(filepath.Join(db.dir, rowsName), why)
	db.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("badgerdb: condemning %s: %w", db.dir, err)
	}
	return db.shut(err)
}

// Bytes returns about how much the rows take: those on disk, with what is left of
// older ones, and those that are not there yet. It may be called by any goroutine.
func (db *DB) Bytes() int64 {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.size + int64(db.rows.pinned)
}

// signal wakes the reader of c, if it is not woken already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
