package policies

import (
	"fmt"
	"strconv"
)

// A Header is one record header. The functions of this package take slices of any
// type that is built like it, so that no record is converted on its way.
type Header struct {
	Key   []byte
	Value []byte
}

// HeaderLike is the type of a record header of any package.
type HeaderLike interface {
	~struct {
		Key   []byte
		Value []byte
	}
}

// HeaderNames are the names of the headers that carry order metadata. The zero
// value, and every empty field, is the CloudEvents name in the comment. A name
// that begins with "ce_" is a CloudEvents attribute: in structured mode it is read
// from the JSON body; any other name is read from headers alone.
type HeaderNames struct {
	ID          string // ce_id
	Sequence    string // ce_sequence
	Version     string // ce_ordversion
	Epoch       string // ce_ordepoch
	Scope       string // ce_ordscope
	EventTime   string // ce_time
	ProducedAt  string // ce_recordedtime
	Entity      string // ce_partitionkey
	Subject     string // ce_subject: the entity where Entity is absent
	Class       string // ce_type
	Correlation string // ce_correlationid
	Causation   string // ce_causationid
}

// field is one of the header names, in the order of writing.
type field uint8

const (
	fieldID field = iota
	fieldSequence
	fieldVersion
	fieldEpoch
	fieldScope
	fieldEventTime
	fieldProducedAt
	fieldEntity
	fieldSubject
	fieldClass
	fieldCorrelation
	fieldCausation
	fieldContentType // of the structured mode; not configurable
	fields
)

// attribute begins the headers of the binary mode.
const attribute = "ce_"

// A HeaderCodec reads and writes order metadata. It is immutable and safe for
// concurrent use; NewHeaderCodec makes one.
type HeaderCodec struct {
	names    [fields]string
	keys     [fields][]byte // the same as bytes
	byLength [][]field      // the fields whose names have that length: few, so that no map is asked per header
	scope    string
}

// NewHeaderCodec makes the codec for the names. A scope that is not empty names
// the sequence space: it is written, and a record that names another is refused.
// An error says which two fields have one name.
func NewHeaderCodec(names HeaderNames, scope string) (*HeaderCodec, error) {
	c := &HeaderCodec{scope: scope}
	for f, n := range map[field][2]string{
		fieldID:          {names.ID, "ce_id"},
		fieldSequence:    {names.Sequence, "ce_sequence"},
		fieldVersion:     {names.Version, "ce_ordversion"},
		fieldEpoch:       {names.Epoch, "ce_ordepoch"},
		fieldScope:       {names.Scope, "ce_ordscope"},
		fieldEventTime:   {names.EventTime, "ce_time"},
		fieldProducedAt:  {names.ProducedAt, "ce_recordedtime"},
		fieldEntity:      {names.Entity, "ce_partitionkey"},
		fieldSubject:     {names.Subject, "ce_subject"},
		fieldClass:       {names.Class, "ce_type"},
		fieldCorrelation: {names.Correlation, "ce_correlationid"},
		fieldCausation:   {names.Causation, "ce_causationid"},
		fieldContentType: {"", "content-type"},
	} {
		c.names[f] = n[0]
		def(&c.names[f], n[1])
	}
	for f := range fields {
		name := c.names[f]
		c.keys[f] = []byte(name)
		if _, taken := c.field(c.keys[f]); taken {
			return nil, fmt.Errorf("policies: naming headers: %q has two meanings", name)
		}
		for len(c.byLength) <= len(name) {
			c.byLength = append(c.byLength, nil)
		}
		c.byLength[len(name)] = append(c.byLength[len(name)], f)
	}
	return c, nil
}

// field returns which field a header name means.
func (c *HeaderCodec) field(name []byte) (field, bool) {
	if len(name) < len(c.byLength) {
		for _, f := range c.byLength[len(name)] {
			if string(name) == c.names[f] {
				return f, true
			}
		}
	}
	return 0, false
}

// A HeaderError is a header, or an attribute of a structured event, whose value
// cannot be what its name says. The record has no usable metadata (rule R0).
type HeaderError struct {
	Header  string
	Value   string // as it came, cut after 64 bytes
	Problem string
}

// Error names header, value and problem.
func (e *HeaderError) Error() string {
	return "policies: reading header " + e.Header + ": " + strconv.Quote(e.Value) + " " + e.Problem
}

func badHeader(name string, value []byte, problem string) error {
	return &HeaderError{Header: name, Value: string(value[:min(len(value), 64)]), Problem: problem}
}
