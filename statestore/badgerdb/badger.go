package badgerdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerOptions are the settings that durability and the bounds of a group rest on.
func badgerOptions(dir string, l badger.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = l
	o.ExternalMagicVersion = directoryFormat
	// Without it a power loss can keep a newer log and lose an older one: a hole below
	// the checkpoint that nothing reports.
	o.SyncWrites = true
	o.DetectConflicts = false // there is one writer
	o.NumVersionsToKeep = 1
	o.ValueThreshold = 1 << 20 // with MaxRow: nothing is ever in the value log
	o.ValueLogFileSize = 1 << 20
	o.MemTableSize = 8 << 20 // the smallest that takes the threshold is 7 MiB
	o.NumMemtables = 2
	o.NumCompactors = 2
	o.Compression = options.None
	o.BlockCacheSize = 0
	// Checked by verify, before Badger sees them: a checksum that Badger finds wrong
	// while it reads makes the row look absent, and some damage ends the process.
	o.ChecksumVerificationMode = options.NoVerification
	o.MetricsEnabled = false
	return o
}

// badgerDisk is the disk that Badger keeps.
type badgerDisk struct {
	dir   string
	db    *badger.DB
	log   *logger
	last  uint64 // number of the last transaction
	sizes sizes
	reads *badger.Txn
	buf   []byte
	mark  [8]byte

	mu     sync.Mutex      // guards the rest
	gone   <-chan struct{} // closed when Badger is; nil while it is open
	closed error           // with which it was
	left   []string        // the files as they were left for a rest
}

// openBadger opens the rows in dir, which need not exist. found is nil where there
// is nothing yet.
func openBadger(dir string, l *logger) (d *badgerDisk, found *stand, err error) {
	defer func() {
		if p := recover(); p != nil { // out of Badger, which trusts some lengths that it reads
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
			if d != nil {
				err = d.end(err)
			}
		}
	}()
	db, err := badger.Open(badgerOptions(dir, l))
	if err != nil {
		return nil, nil, err
	}
	d = &badgerDisk{dir: dir, db: db, log: l}
	if err = l.failure(); err == nil { // it goes on without a table that it cannot use, and says so
		found, err = d.load()
	}
	if err != nil {
		return nil, nil, d.end(err)
	}
	return d, found, nil
}

// load reads where the directory stands, and finds out whether a part is missing.
func (d *badgerDisk) load() (*stand, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()

	var found *stand
	item, err := txn.Get([]byte{kindCheckpoint})
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
	case err != nil:
		return nil, err
	default:
		b, err := item.ValueCopy(nil)
		if err != nil {
			return nil, err
		}
		s, err := decodeStand(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		found = &s
	}

	marks := new([slots]uint64)
	it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false, Prefix: []byte{kindMark}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().Key()
		err := it.Item().Value(func(v []byte) error {
			if len(key) != 3 || len(v) != 8 {
				return fmt.Errorf("%w: mark % x is % x", ErrDamaged, key, v)
			}
			marks[binary.BigEndian.Uint16(key[1:])] = binary.BigEndian.Uint64(v)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if found == nil {
		// A crash in the first flush leaves this. What it wrote may have been deleted
		// meanwhile, in a changelog that has forgotten it.
		if it.Rewind(); it.Valid() {
			return nil, fmt.Errorf("%w: it holds rows without a checkpoint", ErrDamaged)
		}
		return nil, nil
	}
	d.last, err = checkMarks(marks, found.number)
	return found, err
}

func (d *badgerDisk) get(key, dst []byte) (row []byte, ok bool, err error) {
	if d.reads == nil {
		d.reads = d.db.NewTransaction(false)
	}
	d.buf = append(append(d.buf[:0], kindRow), key...)
	item, err := d.reads.Get(d.buf)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	err = item.Value(func(v []byte) error {
		v, err := openRow(key, v)
		dst = append(dst, v...)
		return err
	})
	return dst, err == nil, err
}

func (d *badgerDisk) write(g *group) error {
	txn := d.db.NewTransaction(true)
	defer txn.Discard()
	entries := make([]badger.Entry, len(g.rows))
	for i := range g.rows {
		if g.rows[i].deleted {
			if err := txn.Delete(g.key(i)); err != nil {
				return err
			}
			continue
		}
		entries[i].Key, entries[i].Value = g.key(i), g.value(i)
		if err := txn.SetEntry(&entries[i]); err != nil {
			return err
		}
	}
	number := d.last + 1
	binary.BigEndian.PutUint64(d.mark[:], number)
	if err := txn.Set(appendMarkKey(nil, number), d.mark[:]); err != nil {
		return err
	}
	if g.stand != nil {
		g.stand.number = number
		if err := txn.Set([]byte{kindCheckpoint}, g.stand.append(nil)); err != nil {
			return err
		}
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	d.last = number
	d.sizes.logged += int64(len(g.buf))
	return d.log.failure()
}

// committed lets the next get see what was written. No transaction is kept that
// nobody reads with: it would keep what it can see from being compacted.
func (d *badgerDisk) committed() {
	if d.reads != nil {
		d.reads.Discard()
		d.reads = nil
	}
}

func (d *badgerDisk) scan(prefix []byte) scanner {
	txn := d.db.NewTransaction(false)
	at := append([]byte{kindRow}, prefix...)
	it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: at})
	it.Rewind()
	return &badgerScanner{txn: txn, it: it}
}

// sizes are what the disk takes: tables, and what was logged since there were so many.
type sizes struct {
	tables int
	logged int64
}

func (d *badgerDisk) size() (n int64) {
	tables := d.db.Tables()
	if len(tables) != d.sizes.tables { // what was in a log is in a table, most of it
		d.sizes = sizes{tables: len(tables)}
	}
	for i := range tables {
		n += int64(tables[i].OnDiskSize)
	}
	return n + d.sizes.logged
}

// shut begins to close Badger, unless that is done. mu is held. Badger tries for ever to
// write its memtables, also while it closes: gone may never be closed, and until it is the
// directory is Badger's. Nothing that Badger does is broken off by closing, so what it
// complains of meanwhile is a failure.
func (d *badgerDisk) shut() (gone <-chan struct{}) {
	if d.gone == nil {
		d.committed()
		closed := make(chan struct{})
		d.gone = closed
		go func() {
			defer close(closed)
			defer func() {
				if p := recover(); p != nil { // over what made it panic before
					d.closed = fmt.Errorf("%w: closing: %v", ErrDamaged, p)
				}
			}()
			d.closed = d.db.Close()
		}()
	}
	return d.gone
}

// rest closes Badger, whose compactors look for work twenty times a second each.
func (d *badgerDisk) rest() (done func() error) {
	d.mu.Lock() // until it is done: wake waits
	gone := d.shut()
	return func() error {
		defer d.mu.Unlock()
		select {
		case <-gone:
		case <-d.log.broken:
			return d.log.failure()
		}
		d.left, _ = listing(d.dir) // without one, wake looks closer
		return errors.Join(d.closed, d.log.failure())
	}
}

// close returns when Badger has closed, which may be never.
func (d *badgerDisk) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	<-d.shut()
	return errors.Join(d.closed, d.log.failure())
}

// closeTime is how long Badger may take to close what was opened in vain.
const closeTime = 10 * time.Second

// end closes what was opened in vain, and adds to why.
func (d *badgerDisk) end(why error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := time.NewTimer(closeTime) //nolint:forbidigo // it bounds a wait for the disk
	defer limit.Stop()
	select {
	case <-d.shut():
		return errors.Join(why, d.closed)
	case <-limit.C:
		return &goesOnError{errors.Join(why, d.log.failure()), d.gone}
	}
}

// A goesOnError says that Badger goes on in a directory that it could not use.
type goesOnError struct {
	error
	gone <-chan struct{} // closed when it has ended
}

func (e *goesOnError) Unwrap() error { return e.error }

// wake opens what rest closed. Its tables are read whole only where they are not as they
// were left: the lock of the directory was held meanwhile.
func (d *badgerDisk) wake() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.log.failure(); err != nil {
		return err
	}
	files, err := listing(d.dir)
	if err == nil && (files == nil || !slices.Equal(files, d.left)) {
		err = verify(d.dir)
	}
	if err != nil {
		return err
	}
	trial := newLogger() // what keeps it from opening is no failure of one that is open
	woken, _, err := openBadger(d.dir, trial)
	if err == nil && woken.last != d.last {
		err = woken.end(fmt.Errorf("%w: it ended with transaction %d, and ends with %d", ErrDamaged, d.last, woken.last))
	}
	if on := (*goesOnError)(nil); errors.As(err, &on) {
		d.gone = on.gone
		trial.passOn(d.log)
	}
	if err != nil {
		return err
	}
	trial.passOn(d.log)
	d.db, d.gone = woken.db, nil
	return nil
}

// listing returns the files in a directory, each with its size and when it was written.
func listing(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := make([]string, len(entries))
	for i, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		files[i] = fmt.Sprint(e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return files, nil
}

type badgerScanner struct {
	txn *badger.Txn
	it  *badger.Iterator
	row []byte
	on  bool // the iterator stands on the row that was returned last
}

func (s *badgerScanner) next() (key, row []byte, ok bool, err error) {
	if s.on {
		s.it.Next()
	}
	if s.on = s.it.Valid(); !s.on {
		return nil, nil, false, nil
	}
	item := s.it.Item()
	key = item.Key()[1:]
	err = item.Value(func(v []byte) error {
		v, err := openRow(key, v)
		s.row = append(s.row[:0], v...)
		return err
	})
	return key, s.row, err == nil, err
}

func (s *badgerScanner) close() {
	s.it.Close()
	s.txn.Discard()
}
