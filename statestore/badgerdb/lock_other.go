//go:build !unix

package badgerdb

import "os"

// lock does nothing where there is no flock; Badger's own lock is left.
func lock(*os.File) error { return nil }

// unlock closes f.
func unlock(f *os.File) error { return f.Close() }
