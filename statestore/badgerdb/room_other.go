//go:build !linux && !darwin

package badgerdb

import "errors"

// room has no directory rest where the free space is not known, nor perhaps the lock held.
func room(string) error { return errors.ErrUnsupported }
