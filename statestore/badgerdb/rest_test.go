package badgerdb

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

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
	full  atomic.Bool // there is no room
}

var errFull = fmt.Errorf("%w in a test", syscall.ENOSPC)

func openRested(t *testing.T, dir string) *rested {
	t.Helper()
	r := &rested{t: t, dir: dir, ticks: make(chan time.Time), clock: new(clock)}
	r.DB = mustOpen(t, dir, Options{Ticks: r.ticks, Now: r.clock.now, MemoryBytes: 1000, RestoreBytes: 1000, room: func(string) error {
		if r.full.Load() {
			return errFull
		}
		return nil
	}})
	return r
}

// filled has rows a and b on disk, and a is not in memory.
func filled(t *testing.T) *rested {
	t.Helper()
	r := openRested(t, filepath.Join(t.TempDir(), "db"))
	r.Live(nil)
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
	number := r.disk.(*badgerDisk).last
	uses := []struct {
		what  string
		use   func()
		wakes bool
	}{
		{"a read from memory", func() { r.get("b") }, false},
		{"a read from the disk", func() { r.get("a"); r.get("b") }, true},
		{"another one", func() { r.get("a"); r.get("b") }, true},
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
		r.get("b")
	}
	if got := r.disk.(*badgerDisk).last; got != number+1 {
		t.Errorf("the last transaction is %d, want %d", got, number+1)
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
	r.tick(restAfter - 1)
	if r.closed() {
		t.Error("it rests too soon after a scan")
	}
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
		"registry": func(rows, _ string) error { // Badger complains, cleans up and does not open
			return os.Truncate(filepath.Join(rows, badger.KeyRegistryFileName), 3)
		},
		"flipped": func(rows, _ string) error { // a length, at which Badger would end the process
			tables, err := filepath.Glob(filepath.Join(rows, "*.sst"))
			if err != nil || len(tables) == 0 {
				return fmt.Errorf("tables %v, %w", tables, err)
			}
			b, err := os.ReadFile(tables[0])
			if err != nil {
				return err
			}
			b[len(b)-4] ^= 0x40
			return os.WriteFile(tables[0], b, 0o600)
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
				damaged := func(err error) bool { // Badger says of its registry what it likes
					return errors.Is(err, ErrDamaged) || err != nil && name == "registry"
				}
				err := use(r)
				if !damaged(err) || !strings.Contains(err.Error(), r.dir) {
					t.Errorf("a %s: %v", what, err)
				}
				if err := get(r); !damaged(err) {
					t.Errorf("the next read: %v", err)
				}
				if err := r.Close(); !damaged(err) {
					t.Errorf("Close: %v", err)
				}
				again := openRested(t, r.dir)
				if err := again.Refused(); !damaged(err) || len(again.Positions()) > 0 {
					t.Errorf("refused %v, positions %v", err, again.Positions())
				}
				if err := again.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Files that only look different are read whole, and used.
func TestARestFromWhichTheSameFilesWake(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]func(rows string) error{
		"touched": func(rows string) error {
			return os.Chtimes(filepath.Join(rows, badger.ManifestFilename), time.Time{}, time.Unix(1, 0))
		},
		"with another": func(rows string) error { return os.WriteFile(filepath.Join(rows, ".DS_Store"), []byte("x"), 0o600) },
		"opened": func(rows string) error {
			other, _, err := openBadger(rows, newLogger())
			if err != nil {
				return err
			}
			return other.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := filled(t)
			r.tick(restAfter)
			if err := touch(filepath.Join(r.dir, rowsName)); err != nil {
				t.Fatal(err)
			}
			r.get("a")
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A waking that fails for the machine's sake does not cost the directory.
func TestARestThatCannotEnd(t *testing.T) {
	t.Parallel()
	for name, prevent := range map[string]func(r *rested) (allow func() error, text string){
		"another has it open": func(r *rested) (func() error, string) {
			other, _, err := openBadger(filepath.Join(r.dir, rowsName), newLogger())
			if err != nil {
				t.Fatal(err)
			}
			return other.close, "Cannot acquire directory lock"
		},
		"no room": func(r *rested) (func() error, string) {
			r.full.Store(true)
			return func() error { return nil }, errFull.Error()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := filled(t)
			r.tick(restAfter)
			allow, text := prevent(r)
			for range 2 {
				if _, err := r.Get([]byte("a")); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "again after a rest") || !strings.Contains(err.Error(), text) {
					t.Errorf("a read: %v", err)
				}
			}
			if err := allow(); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("Close: %v", err)
			}
			r = openRested(t, r.dir)
			if err := r.Refused(); err != nil {
				t.Errorf("refused: %v", err)
			}
			r.get("a")
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestADiskThatIsFullDoesNotRest(t *testing.T) {
	t.Parallel()
	r := filled(t)
	r.full.Store(true)
	r.tick(2 * restAfter)
	if r.closed() {
		t.Error("it rests")
	}
	r.get("a")
	r.full.Store(false)
	r.tick(restAfter)
	if !r.closed() {
		t.Error("it does not rest when there is room")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// Badger tries for ever to close a directory that it cannot write to. The DB fails,
// nothing waits, and nobody gets the directory before Badger has done with it.
func TestARestThatFails(t *testing.T) {
	t.Parallel()
	r := filled(t)
	rows, away := filepath.Join(r.dir, rowsName), filepath.Join(r.dir, "away")
	if err := os.Rename(rows, away); err != nil {
		t.Fatal(err)
	}
	r.tick(restAfter)
	for _, err := range []error{r.Apply(nil, nil), r.Flush(), r.Close()} {
		if err == nil || !strings.Contains(err.Error(), "in the background") {
			t.Errorf("got: %v", err)
		}
	}
	opensAgain(t, r.dir, func() error { return os.Rename(away, rows) })
}

// slowRest is a disk whose rest waits, and may then fail.
type slowRest struct {
	disk
	begun, end chan struct{}
	err        error
}

func (s *slowRest) rest() (done func() error) {
	close(s.begun)
	inner := s.disk.rest()
	return func() error {
		<-s.end
		return errors.Join(inner(), s.err)
	}
}

// While a disk goes to rest, what memory can do goes on, and what cannot waits for it and
// is told how it ends.
func TestARestIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, fails := range []error{nil, errBroken} {
		s := &slowRest{begun: make(chan struct{}), end: make(chan struct{}), err: fails}
		ticks := make(chan time.Time)
		db := mustOpen(t, t.TempDir(), Options{Ticks: ticks, wrap: func(d disk) disk { s.disk = d; return s }})
		db.Live(nil)
		apply(t, db, "a", []byte("1"), 1)
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
		for range restAfter {
			ticks <- time.Time{}
		}
		<-s.begun
		apply(t, db, "a", []byte("2"), 2)
		if row, err := db.Get([]byte("a")); err != nil || string(row) != "2" || db.Bytes() == 0 {
			t.Errorf("a is %q, %v, of %d bytes", row, err, db.Bytes())
		}
		ended := make(chan error)
		go func() {
			if fails == nil {
				_, err := db.Get([]byte("b")) // overtakes the rest, if it can
				ended <- err
				return
			}
			ended <- db.Flush()
		}()
		select {
		case err := <-ended:
			t.Errorf("it does not wait for the rest: %v", err)
			return
		case <-time.After(50 * time.Millisecond):
		}
		close(s.end)
		if err := <-ended; !errors.Is(err, fails) {
			t.Errorf("a read, or Flush: %v, want %v", err, fails)
		}
		if err := db.Close(); !errors.Is(err, fails) {
			t.Errorf("Close: %v, want %v", err, fails)
		}
	}
}

// An owner, ticks without a pause and readers, all at once.
func TestRestsBesideEverything(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(*seed, 1))
	r := openRested(t, filepath.Join(t.TempDir(), "db"))
	r.Live(nil)
	var beside sync.WaitGroup
	stop := make(chan struct{})
	beside.Go(func() {
		for {
			select {
			case r.ticks <- time.Time{}:
			case <-stop:
				return
			}
		}
	})
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.Bytes()
				r.AsOf()
				runtime.Gosched()
			}
		}
	})
	rows := map[string]string{}
	check := func(i int, key string, row []byte) {
		if string(row) != rows[key] {
			t.Fatalf("seed %d, step %d: %s is %.20q, want %.20q", *seed, i, key, row, rows[key])
		}
	}
	for i := range 2000 {
		key := fmt.Sprint("k", random.IntN(50))
		var err error
		switch random.IntN(20) {
		case 0:
			err = r.Flush()
		case 1:
			seen := 0
			err = r.Scan(nil, func(k, row []byte) error { seen++; check(i, string(k), row); return nil })
			if seen != len(rows) {
				t.Fatalf("seed %d, step %d: %d rows, want %d", *seed, i, seen, len(rows))
			}
		case 2:
			delete(rows, key)
			err = r.Apply([]statestore.Put{{Key: []byte(key)}}, []statestore.Position{{Topic: "t", Offset: int64(i)}})
		case 3, 4, 5:
			rows[key] = fmt.Sprintf("%d%100s", i, "")
			err = r.Apply([]statestore.Put{{Key: []byte(key), Row: []byte(rows[key])}}, []statestore.Position{{Topic: "t", Offset: int64(i)}})
		default:
			var row []byte
			row, err = r.Get([]byte(key))
			check(i, key, row)
		}
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", *seed, i, err)
		}
	}
	close(stop)
	beside.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = openRested(t, r.dir)
	for key := range rows {
		row, err := r.Get([]byte(key))
		if err != nil || r.Refused() != nil {
			t.Fatalf("opened again: %v, refused %v", err, r.Refused())
		}
		check(2000, key, row)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
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
