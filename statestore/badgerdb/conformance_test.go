package badgerdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/storetest"
)

// noTicks never ticks: tests say when to flush.
func noTicks() <-chan time.Time { return make(chan time.Time) }

// faults is a disk that can be made to fail.
type faults struct {
	disk
	broken atomic.Bool
}

var errBroken = errors.New("input/output error of a test")

func (f *faults) write(g *group) error {
	if f.broken.Load() {
		return errBroken
	}
	return f.disk.write(g)
}

// copyOf copies a directory as it is at one moment, which is one at which Badger's
// background does not move files.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	files := func() string {
		var s strings.Builder
		all, err := filepath.Glob(filepath.Join(dir, rowsName, "*"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := os.ReadFile(filepath.Join(dir, rowsName, badger.ManifestFilename))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s, "%q %x", all, manifest)
		return s.String()
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		to := filepath.Join(t.TempDir(), "copy")
		before := files()
		if err := copyFiles(to, dir); err == nil && before == files() {
			return to
		}
	}
	t.Fatalf("%s does not come to rest", dir)
	return ""
}

// copyFiles copies files and leaves out zeros at their end, of which a log has many.
func copyFiles(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(at, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(at, bytes.TrimRight(b, "\x00"), 0o600); err != nil {
			return err
		}
		return os.Truncate(at, int64(len(b)))
	})
}

// place is a directory. A crash is a copy of it, made while it is open.
func place(t *testing.T, o Options) storetest.Place {
	dir := t.TempDir()
	var disk *faults
	o.wrap = func(d disk0) disk0 { disk = &faults{disk: d}; return disk }
	return storetest.Place{
		Open:  func() (statestore.Backend, error) { return Open(dir, o) },
		Flush: func(b statestore.Backend) error { return b.(*DB).Flush() },
		Crash: func(b statestore.Backend) {
			to := copyOf(t, dir)
			disk.broken.Store(true)
			_ = b.Close()
			dir = to
		},
		Break: func(statestore.Backend) { disk.broken.Store(true) },
	}
}

type disk0 = disk

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"SmallMemory": {
			Ticks: noTicks(), MemoryBytes: 1 << 10, RestoreBytes: 1 << 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) storetest.Place { return place(t, o) })
		})
	}
	t.Run("Live", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) storetest.Place {
			p := place(t, Options{MemoryBytes: 20 << 10})
			open := p.Open
			p.Open = func() (statestore.Backend, error) {
				b, err := open()
				if err == nil {
					b.(*DB).Live(nil)
				}
				return b, err
			}
			return p
		})
	})
	t.Run("Resting", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) storetest.Place {
			ticks := make(chan time.Time)
			p := place(t, Options{Ticks: ticks, MemoryBytes: 1 << 10, RestoreBytes: 1 << 10})
			open, flush := p.Open, p.Flush
			p.Open = func() (statestore.Backend, error) {
				b, err := open()
				if err == nil {
					b.(*DB).Live(nil)
				}
				return b, err
			}
			p.Flush = func(b statestore.Backend) error {
				err := flush(b)
				for i := 0; err == nil && i < restAfter; i++ {
					ticks <- time.Time{}
				}
				return err
			}
			return p
		})
	})
}
