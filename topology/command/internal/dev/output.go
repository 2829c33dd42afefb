package dev

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// An output is a file that is written at the end, and opened at the start so that
// nobody waits for what cannot be written then. nil is none.
type output struct {
	file *os.File
	made bool // it did not exist
}

// An OutputError says that a file cannot be written; nothing was started.
type OutputError struct{ Err error }

// Error implements error.
func (e *OutputError) Error() string { return "dev: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OutputError) Unwrap() error { return e.Err }

// openOutputs opens both files, or neither. What is in them stays until they are
// written.
func openOutputs(tablePath, lettersPath string) (table, letters *output, err error) {
	if table, err = openOutput(tablePath); err != nil {
		return nil, nil, err
	}
	if letters, err = openOutput(lettersPath); err != nil {
		if table != nil && table.made {
			err = errors.Join(err, os.Remove(tablePath))
		}
		return nil, nil, errors.Join(err, table.close())
	}
	return table, letters, nil
}

func openOutput(path string) (*output, error) {
	if path == "" {
		return nil, nil
	}
	_, missing := os.Lstat(path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, &OutputError{err}
	}
	return &output{f, errors.Is(missing, os.ErrNotExist)}, nil
}

// write replaces what is in the file.
func (o *output) write(put func(io.Writer) error) error {
	if o == nil {
		return nil
	}
	info, err := o.file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() { // a pipe or device has nothing to replace
		if err := o.file.Truncate(0); err != nil {
			return fmt.Errorf("emptying it: %w", err)
		}
	}
	return put(o.file)
}

func (o *output) close() error {
	if o == nil {
		return nil
	}
	return o.file.Close()
}
