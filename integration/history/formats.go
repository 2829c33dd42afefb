package history

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Counts are the dispositions of one source partition, in the order in which the
// formats have them.
type Counts [16]int64

// Positions in Counts. All from applied to lost are dispositions.
const (
	delivered    = 0
	applied      = 1
	duplicate    = 2
	deadLettered = 6
	held         = 10
	retrying     = 11
	lost         = 13
	skipped      = 15
)

// Delivered returns how many records came.
func (c *Counts) Delivered() int64 { return c[delivered] }

// Held returns the number of events that wait.
func (c *Counts) Held() int64 { return c[held] + c[retrying] }

// balanced reports whether every delivered record has one disposition.
func (c *Counts) balanced() bool {
	sum := int64(0)
	for _, n := range c[applied : lost+1] {
		sum += n
	}
	return sum == c[delivered]
}

// Metadata is what stands beside a committed offset.
type Metadata struct {
	Commit     int64
	ProducerID int64
	Epoch      int64
	Clock      int64
	StreamTime int64
	Journal    int64 // the offset behind the last journal record of the commit
	Counts     Counts
}

// ParseMetadata reads the metadata of a committed offset.
func ParseMetadata(s string) (m Metadata, err error) {
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return m, fmt.Errorf("history: offset metadata: %w", err)
	}
	r := reader{b: b}
	r.version()
	for _, v := range []*int64{&m.Commit, &m.ProducerID, &m.Epoch, &m.Clock, &m.StreamTime, &m.Journal} {
		*v = r.varint()
	}
	m.Counts = r.counts()
	if err := r.end(); err != nil {
		return m, fmt.Errorf("history: offset metadata: %w", err)
	}
	return m, nil
}

// A journalRecord is what one commit consumed, or the continuation of one.
type journalRecord struct {
	commit    int64
	plan      uint64
	continued bool
	steps     []step
	time      int64 // stream time
	sources   []sourceEnd
}

// A sourceEnd is a source partition as a commit left it.
type sourceEnd struct {
	topic  string
	offset int64
	counts Counts
}

type step struct {
	kind   byte
	clock  int64
	slices []slice
}

// A slice is a part of a source partition: offsets from to to, to not included.
type slice struct {
	source   uint64
	from, to int64
}

// Kinds of steps that differ from the others.
const (
	openStep    = 4
	commandStep = 5
	rewindStep  = 6 // this one and those above it go on elsewhere in a source
)

// parseJournal reads a journal record.
func parseJournal(b []byte) (j journalRecord, err error) {
	r := reader{b: b}
	r.version()
	j.commit = r.varint()
	j.plan = binary.BigEndian.Uint64(r.take(8))
	j.continued = r.byte() == 1
	for range r.count() {
		s := step{kind: r.byte(), clock: r.varint()}
		r.uvarint() // wall clock minus clock
		r.uvarint() // budget
		for range r.count() {
			s.slices = append(s.slices, slice{r.uvarint(), r.varint(), r.varint()})
		}
		if s.kind == commandStep {
			r.text()
			r.text()
		}
		for range r.count() { // facts
			r.uvarint()
			r.varint()
			r.uvarint()
			r.text()
		}
		j.steps = append(j.steps, s)
	}
	j.time = r.varint()
	for range r.count() {
		j.sources = append(j.sources, sourceEnd{r.text(), r.varint(), r.counts()})
	}
	return j, r.end()
}

// Kinds of rows of an order topic: the first byte of the key.
const (
	entityRow = 1
	taskRow   = 2
	heldRow   = 3
	letterRow = 4
)

// parseOrderKey returns the kind of a row and the entity that it is about.
func parseOrderKey(key []byte) (kind byte, entity string, err error) {
	r := reader{b: key}
	switch kind = r.byte(); kind {
	case entityRow:
		return kind, string(r.b), r.err
	case taskRow:
		return kind, "", r.err
	case heldRow:
		entity = r.text()
		r.take(16) // epoch, number
	case letterRow:
		entity = r.text()
		r.take(8) // ordinal
	default:
		return kind, "", fmt.Errorf("a row of unknown kind %d", kind)
	}
	return kind, entity, r.end()
}

// parseOrderRow returns how far an entity's order row says that it is.
func parseOrderRow(value []byte) (epoch, last int64, err error) {
	const hasEpoch, hasStart = 1, 2
	r := reader{b: value}
	r.version()
	parts, start := r.uvarint(), int64(1)
	if parts&hasEpoch != 0 {
		epoch = r.varint()
	}
	if parts&hasStart != 0 {
		start = r.varint()
	}
	return epoch, int64(r.uvarint()) + start - 1, r.err
}

// orderHeader is the header that tells readers of a state where it stands.
const orderHeader = "streamrun.order"

// parsePosition returns the sequence number of an order header:
// epoch/sequence/version.
func parsePosition(value []byte) (int64, error) {
	parts := strings.Split(string(value), "/")
	if len(parts) != 3 {
		return 0, fmt.Errorf("header %s is %q, not epoch/sequence/version", orderHeader, value)
	}
	return strconv.ParseInt(parts[1], 10, 64)
}

// A reader takes bytes apart. After the first fault nothing is left, and zeros come.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errors.New("cut short")
		}
		r.b = nil
		return make([]byte, min(n, 16))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte { return r.take(1)[0] }

func (r *reader) version() {
	if v := r.byte(); v != 1 && r.err == nil {
		r.b, r.err = nil, fmt.Errorf("unknown format %d", v)
	}
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.take(uint64(len(r.b)) + 1)
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads the length of a list; every entry takes a byte at least.
func (r *reader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.take(n)
		return 0
	}
	return n
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) counts() (c Counts) {
	n := r.count()
	if n > uint64(len(c)) {
		r.b, r.err = nil, fmt.Errorf("%d counters, known are %d", n, len(c))
		return c
	}
	for i := range n {
		c[i] = r.varint()
	}
	return c
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	return r.err
}
