package badgerdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// A rested is a DB whose ticks are the test's, and so small a memory that an older row is
// read from the disk.
type rested struct {
	*DB
	t     *testing.T
	dir   string
	ticks chan time.Time
	clock *clock
}

func openRested(t *testing.T, dir string) *rested {
	t.Helper()
	r := &rested{t: t, dir: dir, ticks: make(chan time.Time), clock: new(clock)}
	r.DB = mustOpen(t, dir, Options{Ticks: r.ticks, Now: r.clock.now, MemoryBytes: 1000, RestoreBytes: 1000})
	return r
}

// filled has rows a and b on disk, and a is not in memory.
func filled(t *testing.T) *rested {
	t.Helper()
	r := openRested(t, filepath.Join(t.TempDir(), "db"))
	r.Live()
	for i, key := range []string{"a", "b"} {
		apply(t, r.DB, key, fmt.Appendf(nil, "%s of many bytes%600s", key, ""), int64(i+1))
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// tick has the DB deal with n ticks.
func (r *rested) tick(n int) {
	for range n {
		r.ticks <- time.Time{}
	}
	// They have nothing to write. The flush of the last tick may answer the first; the
	// second comes behind all that the tick began.
	_, _ = r.Flush(), r.Flush()
}

// closed reports whether Badger has given its directory back.
func (r *rested) closed() bool {
	_, err := os.Stat(filepath.Join(r.dir, rowsName, "LOCK"))
	return errors.Is(err, fs.ErrNotExist)
}

func (r *rested) get(key string) {
	r.t.Helper()
	if row, err := r.Get([]byte(key)); err != nil || !strings.HasPrefix(string(row), key+" of ") {
		r.t.Errorf("%s is %q, %v", key, row, err)
	}
}

func TestADiskThatNobodyUsesRests(t *testing.T) {
	t.Parallel()
	r := filled(t)
	uses := []struct {
		what  string
		use   func()
		wakes bool
	}{
		{"a read from memory", func() { r.get("b") }, false},
		{"a read from the disk", func() { r.get("a"); r.get("b") }, true},
		{"a write", func() {
			apply(t, r.DB, "c", []byte("c of few bytes"), 3)
			if err := r.Flush(); err != nil {
				t.Error(err)
			}
		}, true},
		{"a scan", func() {
			seen := 0
			if err := r.Scan(nil, func(_, _ []byte) error { seen++; return nil }); err != nil || seen != 3 {
				t.Errorf("%d rows, %v", seen, err)
			}
		}, true},
	}
	for _, u := range uses {
		r.tick(restAfter)
		if !r.closed() {
			t.Errorf("before %s: it does not rest", u.what)
		}
		u.use()
		if r.closed() == u.wakes {
			t.Errorf("%s: wakes %v, want %v", u.what, !u.wakes, u.wakes)
		}
		r.tick(restAfter - 1)
		if r.closed() == u.wakes {
			t.Errorf("after %s it rests too soon", u.what)
		}
	}
	// Close writes how far the rows are complete in any case.
	r.tick(restAfter)
	r.clock.advance(time.Hour)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := openRested(t, r.dir)
	again.get("a")
	again.get("c")
	if p := again.Positions(); len(p) != 1 || p[0].Offset != 3 || !again.AsOf().Equal(r.clock.now()) {
		t.Errorf("it stands at %v of %s", p, again.AsOf())
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestARestWaits(t *testing.T) {
	t.Parallel()
	r := filled(t)
	err := r.Scan(nil, func(key, _ []byte) error {
		r.tick(2 * restAfter)
		if r.closed() {
			t.Errorf("it rests while a scan stands at %q", key)
		}
		return nil
	})
	r.tick(1)
	if err != nil || !r.closed() {
		t.Errorf("it does not rest when the scan has ended, %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	r = openRested(t, r.dir)
	r.tick(2 * restAfter)
	if r.closed() {
		t.Error("it rests while it is restored")
	}
	r.CaughtUp(time.Time{})
	r.tick(restAfter)
	if !r.closed() {
		t.Error("a standby that has caught up does not rest")
	}
	r.get("a")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// What happens to the files meanwhile is noticed, and costs the directory.
func TestARestFromWhichOtherFilesWake(t *testing.T) {
	t.Parallel()
	get := func(r *rested) error { _, err := r.Get([]byte("a")); return err }
	damages := map[string]func(rows, older string) error{
		"lost": func(rows, _ string) error { return os.RemoveAll(rows) },
		"older": func(rows, older string) error {
			return errors.Join(os.RemoveAll(rows), copyFiles(rows, older))
		},
		"cut": func(rows, _ string) error {
			tables, err := filepath.Glob(filepath.Join(rows, "*.sst"))
			if err != nil || len(tables) == 0 {
				return fmt.Errorf("tables %v, %w", tables, err)
			}
			return os.Truncate(tables[0], 100)
		},
		"opened": func(rows, _ string) error {
			other, _, err := openBadger(rows, newLogger())
			if err != nil {
				return err
			}
			return other.close()
		},
	}
	for name, damage := range damages {
		for what, use := range map[string]func(r *rested) error{
			"read": get,
			"scan": func(r *rested) error {
				return r.Scan(nil, func(_, _ []byte) error { return nil })
			},
			"write": func(r *rested) error {
				apply(t, r.DB, "d", []byte("d"), 4)
				return r.Flush()
			},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := filled(t)
				older := copyOf(t, r.dir)
				apply(t, r.DB, "c", []byte("c"), 3)
				if err := r.Flush(); err != nil {
					t.Fatal(err)
				}
				r.tick(restAfter)
				if err := damage(filepath.Join(r.dir, rowsName), filepath.Join(older, rowsName)); err != nil {
					t.Fatal(err)
				}
				err := use(r)
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), r.dir) {
					t.Errorf("a %s: %v", what, err)
				}
				if err := get(r); !errors.Is(err, ErrDamaged) {
					t.Errorf("the next read: %v", err)
				}
				if err := r.Close(); !errors.Is(err, ErrDamaged) {
					t.Errorf("Close: %v", err)
				}
				again := openRested(t, r.dir)
				if err := again.Refused(); name != "lost" && !errors.Is(err, ErrDamaged) || len(again.Positions()) > 0 {
					t.Errorf("refused %v, positions %v", err, again.Positions())
				}
				if err := again.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A waking that fails for the machine's sake does not cost the directory.
func TestARestThatCannotEnd(t *testing.T) {
	t.Parallel()
	r := filled(t)
	r.tick(restAfter)
	r.disk.(*badgerDisk).dir = filepath.Join(r.dir, lockName) // ENOTDIR
	for range 2 {
		if _, err := r.Get([]byte("a")); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "again after a rest") {
			t.Errorf("a read: %v", err)
		}
	}
	if err := r.Close(); err == nil {
		t.Error("Close does not say why the DB failed")
	}
	r = openRested(t, r.dir)
	if err := r.Refused(); err != nil {
		t.Errorf("refused: %v", err)
	}
	r.get("a")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// A disk that fails while it is closed for a rest fails the DB, and nothing waits for it.
func TestARestThatFails(t *testing.T) {
	t.Parallel()
	r := filled(t)
	r.disk.(*badgerDisk).log.complain("no space", nil)
	r.tick(restAfter)
	for _, err := range []error{r.Apply(nil, nil), r.Flush(), r.Close()} {
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("got: %v", err)
		}
	}
}

func TestCondemnedWhileItRests(t *testing.T) {
	t.Parallel()
	r := filled(t)
	r.tick(restAfter)
	if err := r.Condemn(errors.New("the topic ends at 1")); err != nil {
		t.Fatal(err)
	}
	r = openRested(t, r.dir)
	if err := r.Refused(); err == nil || !strings.Contains(err.Error(), "the topic ends at 1") {
		t.Errorf("refused: %v", err)
	}
	if err := errors.Join(r.Apply([]statestore.Put{{Key: []byte("a"), Row: []byte("x")}}, nil), r.Close()); err != nil {
		t.Fatal(err)
	}
}
