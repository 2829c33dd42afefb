//go:build unix

package badgerdb

import (
	"errors"
	"os"
	"syscall"
)

// lock takes f exclusively for this process; it is given back when f is closed or
// the process ends, also by a kill.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// unlock gives the lock back and closes f. A child process that another goroutine is
// starting has f until it runs its program: closing alone would leave it the lock.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
