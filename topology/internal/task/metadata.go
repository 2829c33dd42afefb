package task

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/streamrun/streamrun/policies"
)

const metadataFormat = 1

// A Writer names the producer that wrote a commit.
type Writer struct {
	ProducerID int64
	Epoch      int16
}

// Metadata is what stands beside every committed offset of a task. All but Counts
// is the same on every source partition of the task.
type Metadata struct {
	Commit     int64 // number of the commit, from 1
	Writer     Writer
	Clock      int64 // task clock
	StreamTime int64
	Journal    int64 // position in the journal partition: the next record to read
	Counts     policies.Counts
}

// counters are the fields of Counts in the order in which formats write them. A
// new one is added at the end.
func counters(c *policies.Counts) []*int64 {
	return []*int64{
		&c.Delivered, &c.Applied, &c.Duplicate, &c.DuplicateOfDLQ, &c.Superseded, &c.LateDropped, &c.DeadLettered,
		&c.Compensated, &c.Absorbed, &c.Fenced, &c.Held, &c.Retrying, &c.ResolvedAgain, &c.Lost, &c.VersionBackward,
		&c.Skipped,
	}
}

// String returns the metadata as the string that the broker keeps: base64, since
// brokers and clients take it for UTF-8.
func (m Metadata) String() string {
	b := []byte{metadataFormat}
	for _, v := range []int64{m.Commit, m.Writer.ProducerID, int64(m.Writer.Epoch), m.Clock, m.StreamTime, m.Journal} {
		b = binary.AppendVarint(b, v)
	}
	b = appendCounts(b, &m.Counts)
	return base64.RawStdEncoding.EncodeToString(b)
}

// ParseMetadata reads what String wrote.
func ParseMetadata(s string) (Metadata, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err == nil && strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		err = errors.New("a line break")
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("task: offset metadata: %w", err)
	}
	r := reader{b: b}
	if f := r.byte(); r.err == nil && f != metadataFormat {
		return Metadata{}, fmt.Errorf("task: offset metadata: unknown format %d", f)
	}
	var m Metadata
	var epoch int64
	for _, v := range []*int64{&m.Commit, &m.Writer.ProducerID, &epoch, &m.Clock, &m.StreamTime, &m.Journal} {
		*v = r.varint()
	}
	m.Writer.Epoch = int16(epoch)
	if int64(m.Writer.Epoch) != epoch {
		r.fail("epoch out of range")
	}
	r.counts(&m.Counts)
	if err := r.end(); err != nil {
		return Metadata{}, fmt.Errorf("task: offset metadata: %w", err)
	}
	return m, nil
}

// appendCounts writes the counters: how many, then each.
func appendCounts(b []byte, c *policies.Counts) []byte {
	fields := counters(c)
	n := len(fields)
	for n > 0 && *fields[n-1] == 0 {
		n--
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, f := range fields[:n] {
		b = binary.AppendVarint(b, *f)
	}
	return b
}

// reader reads the parts of a format; the first error sticks.
type reader struct {
	b   []byte
	err error
}

var errCut = errors.New("cut short")

func (r *reader) fail(problem string) {
	if r.err == nil {
		r.err = errors.New(problem)
	}
}

func (r *reader) byte() byte {
	if r.err != nil || len(r.b) == 0 {
		r.fail(errCut.Error())
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail(errCut.Error())
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// bytes reads a length and so many bytes, which alias the input.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.b)) {
		r.fail(errCut.Error())
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// length reads the length of a list whose entries take at least size bytes each.
func (r *reader) length(size int) int {
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.b)/size) {
		r.fail(errCut.Error())
		return 0
	}
	return int(n)
}

func (r *reader) counts(c *policies.Counts) {
	fields := counters(c)
	n := r.length(1)
	if n > len(fields) {
		r.fail(fmt.Sprintf("%d counters, this version knows %d", n, len(fields)))
		return
	}
	for _, f := range fields[:n] {
		*f = r.varint()
	}
	if r.err == nil && n > 0 && *fields[n-1] == 0 {
		r.fail("a zero counter at the end")
	}
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail(fmt.Sprintf("%d bytes too many", len(r.b)))
	}
	return r.err
}
