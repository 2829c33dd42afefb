//go:build linux || darwin

package badgerdb

import (
	"fmt"
	"syscall"
)

// room says why a directory can neither be opened nor rest, if it cannot.
func room(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("asking for the free space: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < leastRoom {
		return fmt.Errorf("%w: %d MiB are free, and %d are needed", syscall.ENOSPC, free>>20, leastRoom>>20)
	}
	return nil
}
