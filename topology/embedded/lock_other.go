//go:build !unix

package embedded

import "os"

// lock does nothing where there is no flock: two brokers on one directory are not
// found out there.
func lock(*os.File) error { return nil }

// unlock closes f.
func unlock(f *os.File) error { return f.Close() }
