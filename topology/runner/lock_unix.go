//go:build unix

package runner

import (
	"errors"
	"os"
	"syscall"
)

// lock takes f exclusively for this process; it is given back when f is closed or
// the process ends, also by a kill. ErrInUse: another process has it.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

// unlock gives the lock back and closes f. A child process that another goroutine is
// starting has f until it runs its program: closing alone would leave it the lock.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
