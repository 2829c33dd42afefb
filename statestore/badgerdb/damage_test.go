package badgerdb

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var every = flag.Int("every", 4096, "bytes between two places that the damage tests damage")

func openTest(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(dir, Options{Ticks: noTicks()})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// written returns a directory, as a crash leaves it, with the stream up to end: in
// two tables and two logs, the older of which was about to become a table.
func written(t *testing.T, s stream) (dir string, end int64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	for _, to := range []int64{30, 60} { // a Close makes a table
		db := openTest(t, dir)
		for n := s.from(db); n < to; n++ {
			if err := s.apply(db, n); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(dir string, to int64) string {
		db := openTest(t, dir)
		for n := s.from(db); n < to; n++ {
			if err := errors.Join(s.apply(db, n), db.Flush()); err != nil {
				t.Fatal(err)
			}
		}
		crashed := copyOf(t, dir)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return crashed
	}
	older := logged(dir, 80)
	again := filepath.Join(t.TempDir(), "db")
	if err := copyFiles(again, older); err != nil {
		t.Fatal(err)
	}
	newer := logged(again, 100)
	// Badger makes a table of the older log when it opens; here it has not yet.
	logs, err := filepath.Glob(filepath.Join(newer, rowsName, "*.mem"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(older, rowsName, filepath.Base(logs[0])), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return older, 100
}

// Whatever is cut, flipped or lost: the directory opens at where the stream stood
// once, or is refused, and never holds other rows.
func TestDamageIsNeverUsed(t *testing.T) {
	t.Parallel()
	s := stream{pad: 60}
	dir, end := written(t, s)
	files, err := filepath.Glob(filepath.Join(dir, rowsName, "*"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(t *testing.T, what string, damage func(rows string) error) (refused bool, from int64) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "db")
		if err := copyFiles(to, dir); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(to, rowsName)); err != nil {
			t.Fatal(err)
		}
		db, err := Open(to, Options{Ticks: noTicks()})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return false, 0
		}
		from = s.from(db)
		if db.Refused() != nil && from != 0 {
			t.Errorf("%s: refused, and open at %d: %v", what, from, db.Refused())
		}
		if err := s.check(t, db, end); err != nil {
			t.Errorf("%s: open at %d (refused: %v): %v", what, from, db.Refused(), err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return db.Refused() != nil, from
	}
	if refused, from := try(t, "nothing", func(string) error { return nil }); refused || from != end {
		t.Fatalf("without damage it opens at %d (refused: %v), want %d", from, refused, end)
	}
	for _, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := len(strings.TrimRight(string(b), "\x00"))
		step := min(*every, max(used/4, 1)) // a small file is damaged at some places, too
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var places, refusals, older int
			count := func(refused bool, from int64) {
				places++
				switch {
				case refused:
					refusals++
				case from < end:
					older++
				}
			}
			count(try(t, name+" lost", func(rows string) error { return os.Remove(filepath.Join(rows, name)) }))
			for at := 0; at < used; at += step {
				count(try(t, name+" cut", func(rows string) error { return os.Truncate(filepath.Join(rows, name), int64(at)) }))
				flip := func(at int) {
					count(try(t, name+" flipped", func(rows string) error {
						c := append([]byte{}, b...)
						c[at] ^= 1 << (at % 8)
						return os.WriteFile(filepath.Join(rows, name), c, 0o600)
					}))
				}
				flip(at)
				flip(min(at+step/2, used-1))
			}
			for back := 1; back <= min(12, used) && strings.HasSuffix(name, ".sst"); back++ { // lengths are at the end
				at := used - back
				count(try(t, name+" flipped near its end", func(rows string) error {
					c := append([]byte{}, b...)
					c[at] ^= 1 << (at % 8)
					return os.WriteFile(filepath.Join(rows, name), c, 0o600)
				}))
			}
			t.Logf("%s (%d bytes): damaged in %d ways: %d refused, %d opened at an older stand, %d whole", name, used, places, refusals, older, places-refusals-older)
		})
	}
}

// A crash while Badger makes a log leaves a file of no bytes; it costs nothing.
func TestUnbornLogsAreNoDamage(t *testing.T) {
	t.Parallel()
	s := stream{pad: 60}
	dir, end := written(t, s)
	for _, name := range []string{"00003.mem", "000004.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, rowsName, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := openTest(t, dir)
	if err := db.Refused(); err != nil || s.from(db) != end {
		t.Errorf("refused %v, open at %d, want %d", err, s.from(db), end)
	}
	if err := errors.Join(s.check(t, db, end), db.Close()); err != nil {
		t.Error(err)
	}
}
