package badgerdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What is in the directory of a DB.
const (
	lockName    = "lock"
	rowsName    = "rows"    // Badger's
	refusedName = "refused" // rows on their way out
)

// Open opens the directory of one task and makes it where there is none. One process
// has it open at a time. What it holds is used if it is whole and of o.Origin; else
// it is removed, the DB is empty, and Refused says why. An error is one of the
// machine: no access, another owner, less than 32 MiB free, too many files.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	fail := func(err error) (*DB, error) {
		return nil, fmt.Errorf("badgerdb: opening %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	if err := lock(f); err != nil {
		return fail(errors.Join(fmt.Errorf("it is open already: close it there, take another directory, or end the process if its disk has failed: %w", err), f.Close()))
	}
	if err := o.room(dir); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fail(errors.Join(err, unlock(f)))
	}
	d, found, refused, err := openOrReplace(dir, o)
	if on := (*goesOnError)(nil); errors.As(err, &on) {
		go func() {
			<-on.gone
			_ = unlock(f) // nobody is left to be told
		}()
		return fail(err)
	}
	if err != nil {
		return fail(errors.Join(err, unlock(f)))
	}
	db := newDB(dir, o, f, d)
	db.refused, db.size = refused, d.size()
	if found != nil {
		db.wall = time.UnixMilli(found.checkpoint.Wall)
		for _, p := range found.checkpoint.Changelogs {
			if p.Offset > 0 {
				db.positions = append(db.positions, p.Position)
			}
		}
	}
	db.written = db.wall
	db.start()
	return db, nil
}

// openOrReplace opens the rows in dir, or new ones if those cannot be used.
func openOrReplace(dir string, o Options) (d *badgerDisk, found *stand, refused, err error) {
	rows, out := filepath.Join(dir, rowsName), filepath.Join(dir, refusedName)
	if err := os.RemoveAll(out); err != nil {
		return nil, nil, nil, err
	}
	d, found, refused = openRows(rows, o)
	if refused == nil {
		return d, found, nil, nil
	}
	if machine(refused) {
		return nil, nil, nil, refused
	}
	// The name goes first: a directory that is half removed is never opened.
	if err := os.Rename(rows, out); err != nil {
		return nil, nil, nil, errors.Join(refused, err)
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, nil, nil, errors.Join(refused, err)
	}
	d, _, err = openRows(rows, o)
	return d, nil, refused, err
}

// openRows opens rows that are whole and of the origin; found is nil where there are
// none.
func openRows(dir string, o Options) (*badgerDisk, *stand, error) {
	if err := errors.Join(removeUnborn(dir), verify(dir)); err != nil {
		return nil, nil, err
	}
	d, found, err := openBadger(dir, newLogger())
	if err != nil || found == nil {
		return d, nil, err
	}
	if err := o.Origin.Check(found.checkpoint, found.layout, o.Now()); err != nil {
		return nil, nil, d.end(err)
	}
	return d, found, nil
}

// removeUnborn removes log files of no bytes, which a crash while Badger makes them
// leaves. Badger does not open a directory that has one.
func removeUnborn(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			i, err := os.Stat(f)
			if err == nil && i.Size() == 0 {
				err = os.Remove(f)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// machine reports whether an error says nothing about the directory. Badger wraps
// errors as text; what was found to be damaged may quote anything.
func machine(err error) bool {
	if on := (*goesOnError)(nil); errors.As(err, &on) {
		return true
	}
	if errors.Is(err, ErrDamaged) {
		return false
	}
	text := err.Error()
	for _, e := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EIO, syscall.ENOSPC,
		syscall.EDQUOT, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE,
	} {
		if strings.Contains(text, e.Error()) {
			return true
		}
	}
	return strings.Contains(text, "Cannot acquire directory lock")
}
