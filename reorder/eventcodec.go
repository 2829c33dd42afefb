package reorder

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Parts of a held event or a letter, as bits of its flags, in the order in which
// they follow.
const (
	evID = iota
	evSequence
	evEpoch
	evVersion
	evEventTime
	evProducedAt
	evCausation
	evCorrelation
	evClass
	evTimestamp
	evPayload
	evWaiting // held only
	evParks   // letter only
	evBare    // letter only
	evParts
)

// appendHeld appends the value of a held row.
func (e *Event) appendHeld(b []byte) []byte {
	var f flags
	f.set(evWaiting, e.waiting || e.state == stateRetrying) // a retry that a restart forgets is decided again
	return e.append(b, f, true)
}

// appendLetter appends the value of a letter row.
func (e *Event) appendLetter(b []byte) []byte {
	var f flags
	f.set(evParks, e.Parks)
	f.set(evBare, e.bare)
	b = e.append(b, f, !e.bare)
	return append(appendReason(b, e.Reason), byte(e.Rule))
}

func (e *Event) append(b []byte, f flags, payload bool) []byte {
	f.set(evID, e.ID != "")
	f.set(evSequence, e.HasSequence)
	f.set(evEpoch, e.Epoch != 0)
	f.set(evVersion, e.Version != 0)
	f.set(evEventTime, e.EventTime != 0)
	f.set(evProducedAt, e.ProducedAt != 0)
	f.set(evCausation, e.Causation != "")
	f.set(evCorrelation, e.Correlation != "")
	f.set(evClass, e.Class != "")
	f.set(evTimestamp, e.Timestamp != 0)
	f.set(evPayload, payload && e.Payload != nil)
	b = binary.AppendUvarint(append(b, formatVersion), uint64(f))
	b = binary.AppendUvarint(b, uint64(e.Source))
	b = appendInt(b, e.Offset)
	if f.has(evID) {
		b = appendText(b, e.ID)
	}
	if f.has(evSequence) {
		b = appendInt(b, e.Sequence)
	}
	for _, n := range []int64{e.Epoch, e.Version, e.EventTime, e.ProducedAt} {
		if n != 0 {
			b = appendInt(b, n)
		}
	}
	for _, s := range []string{e.Causation, e.Correlation, e.Class} {
		if s != "" {
			b = appendText(b, s)
		}
	}
	if f.has(evTimestamp) {
		b = appendInt(b, e.Timestamp)
	}
	if f.has(evPayload) {
		b = appendText(b, e.Payload)
	}
	return b
}

// decodeHeld reads the value of a held row.
func decodeHeld(value []byte) (*Event, error) {
	in := &reader{b: value}
	e, f := readEvent(in)
	in.check(!f.has(evParks) && !f.has(evBare))
	e.state, e.kept, e.waiting = stateHeld, true, f.has(evWaiting)
	return e, in.end()
}

// decodeLetter reads the value of a letter row.
func decodeLetter(value []byte) (*Event, error) {
	in := &reader{b: value}
	e, f := readEvent(in)
	in.check(!f.has(evWaiting) && !(f.has(evBare) && f.has(evPayload)))
	e.state, e.Parks, e.bare = stateLetter, f.has(evParks), f.has(evBare)
	e.Reason = in.reason()
	e.Rule = readRule(in)
	return e, in.end()
}

func readEvent(in *reader) (*Event, flags) {
	e := &Event{}
	in.version()
	f := flags(in.uint())
	in.check(f < 1<<evParts)
	source := in.uint()
	in.check(source < 1<<31)
	e.Source, e.Offset = int(source), in.int()
	if f.has(evID) {
		e.ID = in.text()
	}
	if e.HasSequence = f.has(evSequence); e.HasSequence {
		e.Sequence = in.int()
	}
	for i, n := range []*int64{&e.Epoch, &e.Version, &e.EventTime, &e.ProducedAt} {
		if f.has(evEpoch + i) {
			*n = in.nonzero()
		}
	}
	for i, s := range []*string{&e.Causation, &e.Correlation, &e.Class} {
		if f.has(evCausation + i) {
			*s = in.text()
		}
	}
	if f.has(evTimestamp) {
		e.Timestamp = in.nonzero()
	}
	if f.has(evPayload) {
		e.Payload = append([]byte{}, in.bytes()...)
	}
	return e, f
}

// Kinds of rows: the first byte of a key of the order topic.
const (
	kindEntity byte = 1
	kindTask   byte = 2
	kindHeld   byte = 3
	kindLetter byte = 4
)

// appendEventKey appends the key of a held row or a letter row: kind, entity with
// its length, and two numbers that sort as their bytes do.
func appendEventKey(b []byte, kind byte, entity string, numbers ...int64) []byte {
	b = appendText(append(b, kind), entity)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n)^1<<63)
	}
	return b
}

func appendHeldKey(b []byte, e *Event, entity string) []byte {
	return appendEventKey(b, kindHeld, entity, e.Epoch, e.Number)
}

func appendLetterKey(b []byte, e *Event, entity string) []byte {
	return appendEventKey(b, kindLetter, entity, e.Ordinal)
}

// readEventKey takes the key of a held or letter row apart.
func readEventKey(key []byte, numbers ...*int64) (entity string, err error) {
	in := &reader{b: key}
	in.byte()
	entity = strings.Clone(string(in.bytes()))
	for _, n := range numbers {
		*n = in.long() ^ -1<<63
	}
	if err := in.end(); err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	return entity, nil
}
