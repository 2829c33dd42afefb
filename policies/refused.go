package policies

import "errors"

// A RefusedError says that a record has no usable order metadata for a reason of its
// own. Any other error of a metadata function stands for ReasonInvalidMetadata.
type RefusedError struct {
	Reason Reason
	Err    error // the detail, for people
}

// Error returns the detail; the reason has a header of its own in the letter.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the detail.
func (e *RefusedError) Unwrap() error { return e.Err }

// RefusedFor returns the reason of the letter of a record whose metadata function
// gave the error.
func RefusedFor(err error) Reason {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ReasonInvalidMetadata
}
