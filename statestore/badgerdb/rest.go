package badgerdb

import "fmt"

// restAfter is for how many ticks nobody uses a disk that is then closed until somebody
// does: half a minute. What is read from memory does not use it.
const restAfter = 30

// leastRoom is how many bytes have to be free for Badger to open or close. It writes
// through memory maps, and where there is no space for one the process ends.
const leastRoom = 32 << 20

// rest counts a tick, and closes a disk that nobody uses. Nobody waits for it but who wants
// to use the disk.
func (f *flusher) rest() error {
	f.mu.Lock()
	f.idle++
	rests := f.idle >= restAfter && !f.resting && f.scans == 0 && f.err == nil && f.options.room(f.dir) == nil
	if !rests {
		f.mu.Unlock()
		return nil
	}
	f.resting = true
	done := f.disk.rest()
	f.mu.Unlock()
	err := done()
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	signal(f.progress)
	return f.fail(fmt.Errorf("badgerdb: closing %s for a rest: %w", f.dir, err))
}
