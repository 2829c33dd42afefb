package badgerdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// clock is a wall clock that tests move.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// gate is a disk whose writes wait until they are let through.
type gate struct {
	disk
	wrote chan *stand   // one for every write that begins; nil: without a checkpoint
	let   chan struct{} // one for every write that may go on
}

func (g *gate) write(gr *group) error {
	g.wrote <- gr.stand
	<-g.let
	return g.disk.write(gr)
}

func newGate() *gate {
	return &gate{wrote: make(chan *stand, 100), let: make(chan struct{}, 100)}
}

func (g *gate) wrap(d disk) disk { g.disk = d; return g }

func mustOpen(t *testing.T, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func apply(t *testing.T, db *DB, key string, row []byte, offset int64) {
	t.Helper()
	if err := db.Apply([]statestore.Put{{Key: []byte(key), Row: row}}, []statestore.Position{{Topic: "t", Offset: offset}}); err != nil {
		t.Fatal(err)
	}
}

func TestFlushesOnTicksWhenLive(t *testing.T) {
	t.Parallel()
	ticks := make(chan time.Time)
	g := newGate()
	db := mustOpen(t, t.TempDir(), Options{Ticks: ticks, wrap: g.wrap})
	apply(t, db, "s", []byte("1"), 1)
	ticks <- time.Time{}
	ticks <- time.Time{} // the first is dealt with
	if len(g.wrote) > 0 {
		t.Error("a restore is flushed by a tick")
	}
	db.Live(nil)
	g.let <- struct{}{}
	<-g.wrote
	if err := db.Flush(); err != nil { // has nothing left to write
		t.Fatal(err)
	}
	apply(t, db, "s", []byte("2"), 2)
	g.let <- struct{}{}
	ticks <- time.Time{}
	if s := <-g.wrote; s == nil || s.checkpoint.Changelogs[0].Offset != 2 {
		t.Errorf("a tick writes %+v", s)
	}
	ticks <- time.Time{}
	ticks <- time.Time{}
	if len(g.wrote) > 0 {
		t.Error("a tick writes though nothing changed")
	}
	g.let <- struct{}{} // of Close, which renews the wall time
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// While a flush is under way the owner reads and writes as before.
func TestApplyDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGate()
	db := mustOpen(t, dir, Options{Ticks: noTicks(), wrap: g.wrap})
	apply(t, db, "s1", []byte("1"), 1)
	apply(t, db, "s2", []byte("1"), 2)
	db.Live(nil)
	first := <-g.wrote // it is in the disk now
	apply(t, db, "s1", []byte("2"), 3)
	apply(t, db, "s2", nil, 4)
	for key, want := range map[string]string{"s1": "2", "s2": ""} {
		if row, err := db.Get([]byte(key)); err != nil || string(row) != want {
			t.Errorf("%s is %q, %v", key, row, err)
		}
	}
	seen := ""
	if err := db.Scan(nil, func(k, row []byte) error { seen += string(k) + string(row); return nil }); err != nil || seen != "s12" {
		t.Errorf("a scan sees %q, %v", seen, err)
	}
	if first.checkpoint.Changelogs[0].Offset != 2 {
		t.Errorf("the flush stands for %+v", first.checkpoint)
	}
	g.let <- struct{}{}
	g.let <- struct{}{}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	g.let <- struct{}{}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	defer db.Close()
	if row, err := db.Get([]byte("s1")); err != nil || string(row) != "2" {
		t.Errorf("s1 is %q, %v", row, err)
	}
	if row, err := db.Get([]byte("s2")); err != nil || row != nil {
		t.Errorf("s2 is %q, %v", row, err)
	}
}

func TestApplyWaitsWhenTooMuchIsNotOnDisk(t *testing.T) {
	t.Parallel()
	g := newGate()
	db := mustOpen(t, t.TempDir(), Options{Ticks: noTicks(), RestoreBytes: 10_000, wrap: g.wrap})
	var done sync.WaitGroup
	var applied atomic.Int64
	done.Go(func() {
		for i := range int64(100) {
			if err := db.Apply([]statestore.Put{{Key: ownKey(i), Row: make([]byte, 1000)}}, nil); err != nil {
				t.Error(err)
			}
			applied.Add(1)
		}
	})
	<-g.wrote // about 7 rows; it does not end
	for range 10_000 {
		db.mu.Lock()
		pinned := db.rows.pinned
		db.mu.Unlock()
		if pinned > 10_000+2000 {
			t.Errorf("%d bytes are not on disk, bound 10000", pinned)
		}
	}
	if n := applied.Load(); n > 10 {
		t.Errorf("%d rows of 1000 bytes are applied while at most 10000 bytes may wait", n)
	}
	close(g.let)
	done.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db.rows.bytes > 10_000 {
		t.Errorf("%d bytes are in memory, bound 10000", db.rows.bytes)
	}
}

// The age of a checkpoint is that of the last moment at which its positions were the
// ends of the changelogs.
func TestWallTimeOfTheCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ticks := make(chan time.Time)
	c := new(clock)
	o := Options{Ticks: ticks, Now: c.now, Origin: sampleOrigin()}
	var last *stand
	o.wrap = func(d disk) disk { return recorder{d, &last} }
	db := mustOpen(t, dir, o)
	expect := func(what string, want time.Duration) {
		t.Helper()
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(last.checkpoint.Wall) * time.Millisecond; got != want {
			t.Errorf("%s: the checkpoint is of %s, want %s", what, got, want)
		}
	}
	put := func(offset int64) {
		t.Helper()
		if err := db.Apply(nil, []statestore.Position{{Topic: "t", Partition: 2, Offset: offset}}); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(time.Hour)
	put(1)
	expect("a restore into an empty directory", 0)
	db.Live(nil)
	put(2)
	expect("live", time.Hour)
	c.advance(time.Hour)
	ticks <- time.Time{}
	expect("nothing to do for an hour", time.Hour)
	c.advance(time.Hour)
	ticks <- time.Time{}
	expect("nothing to do for an eighth of the limit", 3*time.Hour)
	c.advance(time.Minute)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := last.checkpoint.Wall; got != (3*time.Hour + time.Minute).Milliseconds() {
		t.Errorf("closed: the checkpoint is of %d", got)
	}
	c.advance(time.Hour)
	db = mustOpen(t, dir, o)
	put(3)
	expect("a restore of the tail", 3*time.Hour+time.Minute)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c.advance(9 * time.Hour)
	db = mustOpen(t, dir, o)
	if err := db.Refused(); err == nil || !strings.Contains(err.Error(), "old") || len(db.Positions()) != 0 {
		t.Errorf("too old: refused %v, positions %v", err, db.Positions())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = mustOpen(t, dir, o)
	if err := db.Refused(); err != nil {
		t.Errorf("a directory that was refused is not refused again: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of a task that may be another's meanwhile, the age stands still.
func TestWallTimeIsWhatTheOwnerKnows(t *testing.T) {
	t.Parallel()
	dir, ticks, c := t.TempDir(), make(chan time.Time), new(clock)
	var known clock
	db := mustOpen(t, dir, Options{Ticks: ticks, Now: c.now, Origin: sampleOrigin()})
	known.advance(time.Minute)
	var lost atomic.Bool
	db.Live(func() time.Time {
		if lost.Load() {
			return time.Time{}
		}
		return known.now()
	})
	apply(t, db, "s", []byte("1"), 1)
	if err := db.Flush(); err != nil || db.AsOf() != known.now() {
		t.Errorf("as of %v, %v", db.AsOf(), err)
	}
	known.advance(time.Minute)
	as := known.now()
	ticks <- time.Time{}
	if err := db.Flush(); err != nil || db.AsOf() != as {
		t.Errorf("later: as of %v, %v", db.AsOf(), err)
	}
	lost.Store(true)
	c.advance(10 * time.Hour)
	apply(t, db, "s", []byte("2"), 2)
	ticks <- time.Time{}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = mustOpen(t, dir, Options{Ticks: ticks, Origin: sampleOrigin(), Now: known.now})
	if db.Refused() != nil || db.AsOf() != as {
		t.Errorf("opened again: as of %v, refused %v", db.AsOf(), db.Refused())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A checkpoint of a clock that was ahead is corrected, and not used if it was far ahead: how
// old its rows are is not known.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), new(clock)
	o := Options{Ticks: noTicks(), Now: c.now, Origin: sampleOrigin()}
	limit := o.Origin.DeleteRetention - o.Origin.Limit()
	c.advance(limit) // ahead
	db := mustOpen(t, dir, o)
	db.Live(nil)
	apply(t, db, "s", []byte("1"), 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ahead := copyOf(t, dir)
	c.ms.Store(0)
	db = mustOpen(t, dir, o)
	if err := db.Refused(); err != nil {
		t.Errorf("%v ahead: refused: %v", limit, err)
	}
	db.Live(nil)
	if err := errors.Join(db.Flush(), db.Close()); err != nil || db.AsOf() != c.now() {
		t.Errorf("live: as of %v, want %v, %v", db.AsOf(), c.now(), err)
	}
	c.ms.Store(-1)
	for at, refused := range map[string]bool{dir: false, ahead: true} {
		db = mustOpen(t, at, o)
		if err := db.Refused(); (err != nil) != refused {
			t.Errorf("opened again: refused: %v, want %v", err, refused)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// recorder keeps the last stand that was written.
type recorder struct {
	disk
	last **stand
}

func (r recorder) write(g *group) error {
	if g.stand != nil {
		*r.last = g.stand
	}
	return r.disk.write(g)
}

func TestRefusesWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, t.TempDir(), Options{Ticks: noTicks()})
	for _, p := range []statestore.Put{
		{Key: []byte("s1"), Row: make([]byte, MaxRow+1)}, {Key: make([]byte, MaxKey+1), Row: []byte("x")},
	} {
		err := db.Apply([]statestore.Put{{Key: []byte("s0"), Row: []byte("x")}, p}, nil)
		if err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%v", err)
		}
	}
	if row, err := db.Get([]byte("s0")); row != nil || err != nil {
		t.Errorf("half of an Apply is seen: %q, %v", row, err)
	}
	key := make([]byte, MaxKey)
	if err := db.Apply([]statestore.Put{{Key: key, Row: make([]byte, MaxRow)}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("the largest row and key: %v", err)
	}
}

func TestOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := mustOpen(t, dir, Options{Ticks: noTicks()})
	apply(t, db, "s", []byte("x"), 1)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("a second Open: %v", err)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Get([]byte("t")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	i, err := os.Stat(filepath.Join(dir, rowsName))
	if err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", i.Mode(), err)
	}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	defer db.Close()
	if row, err := db.Get([]byte("s")); err != nil || string(row) != "x" {
		t.Errorf("%q, %v", row, err)
	}
}

// What says nothing about the directory does not cost it.
func TestMachineErrorsKeepTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := mustOpen(t, dir, Options{Ticks: noTicks()})
	apply(t, db, "s", []byte("x"), 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// Whoever runs Badger there without us holds its lock only.
	other, _, err := openBadger(filepath.Join(dir, rowsName), newLogger())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("it opens beside another Badger")
	}
	if err := other.close(); err != nil {
		t.Fatal(err)
	}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	defer db.Close()
	if err := db.Refused(); err != nil || len(db.Positions()) != 1 {
		t.Errorf("refused %v, positions %v", err, db.Positions())
	}
}

// What a damaged row says is not taken for an error of the machine.
func TestDamageMayQuoteAnything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := mustOpen(t, dir, Options{Ticks: noTicks()})
	apply(t, db, "s", []byte("x"), 1)
	if err := db.Condemn(fmt.Errorf("row %q: %w", syscall.EACCES.Error(), ErrDamaged)); err != nil {
		t.Fatal(err)
	}
	if err := db.Condemn(errors.New("again")); !errors.Is(err, ErrClosed) {
		t.Errorf("Condemn of a closed DB: %v", err)
	}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	if err := db.Refused(); !errors.Is(err, ErrDamaged) {
		t.Errorf("refused: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk, or one that Badger cannot write to while it closes, is an error.
func TestADiskThatTakesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	full := func(string) error { return syscall.ENOSPC }
	if _, err := Open(dir, Options{room: full}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open without room: %v", err)
	}
	db := mustOpen(t, dir, Options{Ticks: noTicks()})
	apply(t, db, "s", []byte("x"), 1)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	rows, away := filepath.Join(dir, rowsName), filepath.Join(dir, "away")
	db.wall = db.options.Now().Add(time.Hour) // nothing is left to write
	if err := os.Rename(rows, away); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err == nil || !strings.Contains(err.Error(), "in the background") {
		t.Errorf("Close: %v", err)
	}
	opensAgain(t, dir, func() error { return os.Rename(away, rows) })
}

// A row whose bytes changed under an open DB is an error, and not used after it.
func TestDamagedRowCondemnsTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const mark = "a row that is easy to find"
	db := mustOpen(t, dir, Options{Ticks: noTicks()})
	apply(t, db, "s", []byte(mark), 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	tables, err := filepath.Glob(filepath.Join(dir, rowsName, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(b), mark); at >= 0 {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("A"), int64(at)); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	if row, err := db.Get([]byte("s")); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged row is %q, %v", row, err)
	}
	if err := db.Close(); !errors.Is(err, ErrDamaged) {
		t.Errorf("Close: %v", err)
	}
	db = mustOpen(t, dir, Options{Ticks: noTicks()})
	defer db.Close()
	if err := db.Refused(); !errors.Is(err, ErrDamaged) || len(db.Positions()) != 0 {
		t.Errorf("refused %v, positions %v", err, db.Positions())
	}
}

// opensAgain fails unless a directory stays with the Badger that goes on in it, whatever
// the garbage collector takes, until it is let go.
func opensAgain(t *testing.T, dir string, letGo func() error) {
	t.Helper()
	for range 3 {
		runtime.GC() // files that nobody has are closed, and with them their locks gone
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "open already") {
			t.Errorf("Open beside a Badger that goes on: %v", err)
		}
	}
	if err := letGo(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(30 * time.Second); ; {
		db, err := Open(dir, Options{Ticks: noTicks()})
		if err == nil {
			if db.Refused() != nil || len(db.Positions()) != 1 {
				t.Errorf("refused %v, positions %v", db.Refused(), db.Positions())
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("it is not given back: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
