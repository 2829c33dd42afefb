package badgerdb

import (
	"fmt"
	"time"
)

// start starts the flusher. It ends when stop is closed, or with the first error.
func (db *DB) start() {
	go func() {
		defer close(db.ended)
		ticks := db.options.Ticks
		if ticks == nil {
			t := time.NewTicker(flushInterval) //nolint:forbidigo // the default of Options.Ticks
			defer t.Stop()
			ticks = t.C
		}
		f := flusher{DB: db}
		for {
			ticked := false
			select {
			case <-ticks:
				db.mu.Lock()
				ticked = db.owned != nil || db.trailing
				db.mu.Unlock()
				if !ticked {
					continue
				}
			case <-db.kick:
			case <-db.stop:
				return
			}
			if f.flush() != nil || ticked && f.rest() != nil {
				return
			}
		}
	}()
}

// flusher is the part of a DB that belongs to the goroutine that flushes.
type flusher struct {
	*DB
	group group
	spare []*entry
}

// flush writes what is dirty now, and then how far the rows are complete. Rows that
// change meanwhile are written as they have become: a row may be ahead of the
// checkpoint, since the restore that starts there writes it again.
func (f *flusher) flush() error {
	f.mu.Lock()
	owned := f.owned
	f.mu.Unlock()
	var at time.Time
	if owned != nil {
		at = owned()
	}
	f.mu.Lock()
	asked := f.asked
	if !at.IsZero() { // also one before that of a checkpoint that was written by a wrong clock
		f.wall = at.Round(0) // ages are of the wall clock: the other one may stand still in a suspend
	}
	// An old checkpoint is written anew while its positions are known to have been the
	// ends since.
	age := f.wall.Sub(f.written)
	old := age < 0 || age > 0 && (f.renew || f.options.Origin.DeleteRetention > 0 && age > f.options.Origin.Limit()/8)
	f.renew = false
	var err error
	if len(f.rows.dirty) > 0 || f.moved || old {
		if err := f.use(); err != nil {
			f.mu.Unlock()
			signal(f.progress)
			return err
		}
		f.written = f.wall
		list := f.rows.dirty
		f.flushing, f.rows.dirty = list, f.spare
		f.moved = false
		s := &stand{layout: f.options.Origin.Layout, checkpoint: f.options.Origin.checkpoint(f.positions, f.wall)}
		f.mu.Unlock()

		if err = f.write(list, s); err == nil {
			f.note(s)
		}
		size := f.disk.size()

		f.mu.Lock()
		f.size = size
		f.flushing = nil
		clear(list)
		f.spare = list[:0]
	}
	if err != nil {
		err = f.fail(fmt.Errorf("badgerdb: flushing: %w", err))
	} else {
		f.flushed = asked
	}
	f.mu.Unlock()
	signal(f.progress)
	return err
}

// write writes entries in groups, and where they stand with the last of them.
func (f *flusher) write(list []*entry, s *stand) error {
	for {
		f.group.reset()
		n := 0
		f.mu.Lock()
		for n < len(list) && !f.group.full(len(list[n].key)+len(list[n].row)) {
			f.group.add(list[n].key, list[n].row)
			f.rows.take(list[n])
			n++
		}
		f.mu.Unlock()
		if n == len(list) {
			f.group.stand = s
		}
		if err := f.disk.write(&f.group); err != nil {
			return err
		}
		f.mu.Lock()
		f.disk.committed()
		f.rows.settle(list[:n])
		f.rows.evict(f.bounds.all)
		f.mu.Unlock()
		signal(f.progress)
		if list = list[n:]; f.group.stand != nil {
			return nil
		}
	}
}
