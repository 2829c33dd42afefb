//go:build !unix

package runner

import "os"

// lock does nothing where there is no flock: two processes with one directory are
// found out by their fencing each other.
func lock(*os.File) error { return nil }

// unlock closes f.
func unlock(f *os.File) error { return f.Close() }
