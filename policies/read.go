package policies

import (
	"math"
	"strings"
	"time"
)

// ReadHeaders reads the order metadata that the headers, or in structured mode the
// value, carry into m. A field that is absent stays as it was, so that a caller
// sets what it knows from elsewhere (the entity from the record's key) before.
// Of a header that occurs twice the last counts; a header without a value is absent.
//
// m keeps no reference to headers or value. Reading numbers and times allocates
// nothing, all texts together one string; an Entity that m has already costs nothing.
// Structured mode costs a pass over the JSON. An error is a *HeaderError; m is
// then half read.
func ReadHeaders[H HeaderLike](c *HeaderCodec, m *Metadata, headers []H, value []byte) error {
	var r metadataReader
	structured := false
	for i := range headers {
		h := Header(headers[i])
		f, ok := c.field(h.Key)
		if !ok || h.Value == nil {
			continue
		}
		if f == fieldContentType {
			mode, err := modeOf(h.Value)
			if err != nil {
				return err
			}
			structured = mode
			continue
		}
		if err := r.take(c, m, f, c.names[f], h.Value); err != nil {
			return err
		}
	}
	if structured {
		if err := r.body(c, m, value); err != nil {
			return err
		}
	}
	r.texts(m)
	return nil
}

// A metadataReader gathers the texts of an event, to copy them at once.
type metadataReader struct {
	entity, subject, id, class, correlation, causation []byte
}

// take reads the value of one field.
func (r *metadataReader) take(c *HeaderCodec, m *Metadata, f field, name string, value []byte) error {
	var err error
	switch f {
	case fieldID:
		r.id = value
	case fieldSequence:
		m.Sequence, err = readNumber(name, value)
		m.HasSequence = err == nil
	case fieldVersion:
		m.Version, err = readNumber(name, value)
	case fieldEpoch:
		m.Epoch, err = readNumber(name, value)
	case fieldScope:
		if c.scope != "" && string(value) != c.scope {
			err = badHeader(name, value, "is not the scope "+c.scope)
		}
	case fieldEventTime:
		m.EventTime, err = readTime(name, value)
	case fieldProducedAt:
		m.ProducedAt, err = readTime(name, value)
	case fieldEntity:
		r.entity = value
	case fieldSubject:
		r.subject = value
	case fieldClass:
		r.class = value
	case fieldCorrelation:
		r.correlation = value
	case fieldCausation:
		r.causation = value
	case fieldContentType, fields:
	}
	return err
}

// texts copies the texts into one string that m's fields share.
func (r *metadataReader) texts(m *Metadata) {
	if len(r.entity) == 0 {
		r.entity = r.subject
	}
	if string(r.entity) == m.Entity {
		r.entity = nil
	}
	all := [...]struct {
		from []byte
		to   *string
	}{
		{r.entity, &m.Entity},
		{r.id, &m.ID},
		{r.class, &m.Class},
		{r.correlation, &m.Correlation},
		{r.causation, &m.Causation},
	}
	size := 0
	for i := range all {
		size += len(all[i].from)
	}
	if size == 0 {
		return
	}
	var b strings.Builder
	b.Grow(size)
	for i := range all {
		b.Write(all[i].from)
	}
	text := b.String()
	for i := range all {
		if n := len(all[i].from); n > 0 {
			*all[i].to, text = text[:n], text[n:]
		}
	}
}

// readNumber reads a number from 0 to 2^63-1 with any number of leading zeros.
func readNumber(name string, value []byte) (int64, error) {
	if len(value) == 0 {
		return 0, badHeader(name, value, "is not a number: it is empty")
	}
	var n int64
	for _, d := range value {
		if d < '0' || d > '9' {
			return 0, badHeader(name, value, "is not a number of digits")
		}
		if n > (math.MaxInt64-int64(d-'0'))/10 {
			return 0, badHeader(name, value, "is greater than 9223372036854775807")
		}
		n = n*10 + int64(d-'0')
	}
	return n, nil
}

// readTime reads an RFC 3339 time, to the millisecond. Its offset may not lead out
// of the years that can be written.
func readTime(name string, value []byte) (int64, error) {
	var t time.Time
	if err := t.UnmarshalText(value); err != nil || !writable(t.UnixMilli()) {
		return 0, badHeader(name, value, "is not an RFC 3339 time")
	}
	return t.UnixMilli(), nil
}
