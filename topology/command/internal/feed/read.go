package feed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// Limits bounds what is read, so that a wrong or hostile file fails early and by
// name. Zero values stand for the defaults.
type Limits struct {
	LineBytes  int // of one event; default 1 MB, what a broker takes by default
	TotalBytes int // of all lines, decompressed; default 1 GB
	Events     int // default 10,000,000
}

func (l Limits) withDefaults() Limits {
	if l.LineBytes <= 0 {
		l.LineBytes = 1_000_000
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = 1_000_000_000
	}
	if l.Events <= 0 {
		l.Events = 10_000_000
	}
	return l
}

// ErrTooLarge is in the error of an input that exceeds its Limits.
var ErrTooLarge = errors.New("input is larger than allowed")

// An Event is one line of the input.
type Event struct {
	Line  int    // from 1, as an editor shows it
	Value []byte // without the line end; not empty
}

// ReadFile reads the events of a file as Read does.
func ReadFile(path string, limits Limits) ([]Event, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("feed: opening the events: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from: closing can lose nothing
	return Read(path, f, limits)
}

// Read reads one event a line; blank lines are skipped, and a carriage return
// before the line end does not belong to the event, nor does a byte order mark before
// the first. An input that begins as gzip
// does is decompressed, whatever it is called. What a line says is not looked at: an
// event that cannot be decoded is for the reader of the topic to judge.
//
// Errors name the input and the line. An input beyond its limits is ErrTooLarge.
func Read(name string, r io.Reader, limits Limits) ([]Event, error) {
	limits = limits.withDefaults()
	buffered, err := decompressed(r)
	if err != nil {
		return nil, fmt.Errorf("feed: reading %s: %w", name, err)
	}
	if mark, _ := buffered.Peek(3); string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // they are there
	}
	var events []Event
	total := 0
	for line, more := 1, true; more; line++ {
		var value []byte
		value, more, err = readLine(buffered, limits.LineBytes)
		if err != nil {
			return nil, fmt.Errorf("feed: reading %s:%d: %w", name, line, err)
		}
		if len(bytes.TrimSpace(value)) == 0 {
			continue
		}
		if total += len(value); total > limits.TotalBytes {
			return nil, fmt.Errorf("feed: reading %s:%d: more than %d bytes: %w", name, line, limits.TotalBytes, ErrTooLarge)
		}
		if len(events) == limits.Events {
			return nil, fmt.Errorf("feed: reading %s:%d: more than %d events: %w", name, line, limits.Events, ErrTooLarge)
		}
		events = append(events, Event{line, value})
	}
	return events, nil
}

// decompressed returns a reader of the plain lines.
func decompressed(r io.Reader) (*bufio.Reader, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	plain, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	return bufio.NewReaderSize(plain, 64<<10), nil
}

// readLine returns the next line without its end, in memory of its own, and
// whether another one may follow.
func readLine(r *bufio.Reader, limit int) (line []byte, more bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		switch {
		case len(text) > limit:
			return nil, false, fmt.Errorf("a line of more than %d bytes: %w", limit, ErrTooLarge)
		case err == nil:
			return text, true, nil
		case errors.Is(err, io.EOF):
			return text, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}
