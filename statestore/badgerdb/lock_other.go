//go:build !unix

package badgerdb

import "os"

// lock does nothing where there is no flock; Badger's own lock is left.
func lock(*os.File) error { return nil }
