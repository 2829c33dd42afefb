package badgerdb

import (
	"time"
)

// MaxRow is the size of the largest row. A larger one would leave the tree for
// Badger's value log, which is kept empty.
const MaxRow = 1<<20 - 64

// MaxKey is the size of the largest key.
const MaxKey = 60_000

// Options set up a DB. The zero value is useful in tests: it accepts the rows of
// any changelog, however old.
type Options struct {
	// Origin is what the rows in the directory must have come from to be used.
	Origin Origin

	// CacheBytes bounds the committed rows that are kept in memory. 0 means 32 MiB.
	CacheBytes int
	// DirtyBytes bounds the rows that are not on disk yet; at half of it a flush
	// begins, at the whole of it Apply waits. 0 means 32 MiB.
	DirtyBytes int
	// RestoreBytes takes the place of DirtyBytes until Live is called: the more of a
	// restore is in memory, the more writes to one key become one. 0 means 128 MiB.
	RestoreBytes int

	// Ticks says when to flush. nil means every second.
	Ticks <-chan time.Time
	// Now reads the wall clock. nil means the machine's.
	Now func() time.Time

	wrap func(disk) disk // of tests: puts faults before the disk
}

// flushInterval is how long a committed row waits for the disk.
const flushInterval = time.Second

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.DirtyBytes == 0 {
		o.DirtyBytes = 32 << 20
	}
	if o.RestoreBytes == 0 {
		o.RestoreBytes = 128 << 20
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the directory's age is in wall time, and this is the shell
	}
	if o.wrap == nil {
		o.wrap = func(d disk) disk { return d }
	}
	return o
}
