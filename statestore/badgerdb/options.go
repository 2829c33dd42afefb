package badgerdb

import (
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// Larger rows would leave the tree for Badger's value log, which is kept empty.
const (
	MaxRow = statestore.MaxRow
	MaxKey = statestore.MaxKey
)

// Options set up a DB. The zero value is useful in tests: it accepts rows that
// were written with it, however old.
type Options struct {
	// Origin is what the rows in the directory must have come from to be used.
	Origin Origin

	// MemoryBytes bounds the rows in memory. When half of it is not on disk yet, a flush
	// begins; when all of it is not, Apply waits. 0 means 64 MiB.
	MemoryBytes int
	// RestoreBytes takes the place of MemoryBytes until Live is called; a flush then
	// begins when it is nearly full. The more of a restore is in memory, the more writes to
	// one key become one. 0 means 128 MiB.
	RestoreBytes int

	// Ticks says when to flush. nil means every second.
	Ticks <-chan time.Time
	// Now reads the wall clock. nil means the machine's.
	Now func() time.Time

	wrap func(disk) disk    // of tests: puts faults before the disk
	room func(string) error // of tests: takes the place of room
}

// flushInterval is how long a committed row waits for the disk.
const flushInterval = time.Second

func (o Options) withDefaults() Options {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 64 << 20
	}
	if o.RestoreBytes == 0 {
		o.RestoreBytes = 128 << 20
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the directory's age is in wall time, and this is the shell
	}
	if o.room == nil {
		o.room = room
	}
	if o.wrap == nil {
		o.wrap = func(d disk) disk { return d }
	}
	return o
}

// bounds are how many bytes of rows may be in memory, and how many of them not on
// disk before a flush begins and before Apply waits.
type bounds struct{ all, flush, wait int }

func (o Options) bounds(live bool) bounds {
	if live {
		return bounds{o.MemoryBytes, o.MemoryBytes / 2, o.MemoryBytes}
	}
	return bounds{o.RestoreBytes, o.RestoreBytes / 16 * 15, o.RestoreBytes}
}
