//go:build unix

package badgerdb

import (
	"os"
	"syscall"
)

// lock takes f exclusively for this process; it is given back when f is closed or
// the process ends, also by a kill.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
