package policies

import (
	"fmt"
	"strconv"
	"time"
)

// timeLayout is how times are written: UTC, to the millisecond.
const timeLayout = "2006-01-02T15:04:05.000Z"

// AppendHeaders appends the headers of m in binary mode and returns the extended
// slice: what is absent is left out, the sequence number is padded to 19 digits so
// that its text sorts as it does, and the scope of the codec is written if it has
// one. ReadHeaders gives m back. The headers own their values; keys are shared and
// must not be written to.
//
// An application that wants whole CloudEvents adds ce_specversion and ce_source.
//
// It is an error, and nothing is appended, if m has a negative sequence number,
// version or epoch, or a time outside the years 0 to 9999, which no header can say.
func AppendHeaders[H HeaderLike](c *HeaderCodec, dst []H, m *Metadata) ([]H, error) {
	switch {
	case m.HasSequence && m.Sequence < 0:
		return dst, fmt.Errorf("policies: writing header %s: %d is negative", c.names[fieldSequence], m.Sequence)
	case m.Version < 0:
		return dst, fmt.Errorf("policies: writing header %s: %d is negative", c.names[fieldVersion], m.Version)
	case m.Epoch < 0:
		return dst, fmt.Errorf("policies: writing header %s: %d is negative", c.names[fieldEpoch], m.Epoch)
	case !writable(m.EventTime):
		return dst, fmt.Errorf("policies: writing header %s: %d ms is outside the years 0 to 9999", c.names[fieldEventTime], m.EventTime)
	case !writable(m.ProducedAt):
		return dst, fmt.Errorf("policies: writing header %s: %d ms is outside the years 0 to 9999", c.names[fieldProducedAt], m.ProducedAt)
	}
	add := func(f field, value []byte) { dst = append(dst, H(Header{c.keys[f], value})) }
	text := func(f field, s string) {
		if s != "" {
			add(f, []byte(s))
		}
	}
	number := func(f field, n int64) {
		if n != 0 {
			add(f, strconv.AppendInt(nil, n, 10))
		}
	}
	text(fieldID, m.ID)
	if m.HasSequence {
		add(fieldSequence, fmt.Appendf(nil, "%019d", m.Sequence))
	}
	number(fieldVersion, m.Version)
	number(fieldEpoch, m.Epoch)
	text(fieldScope, c.scope)
	if m.EventTime != 0 {
		add(fieldEventTime, appendTime(nil, m.EventTime))
	}
	if m.ProducedAt != 0 {
		add(fieldProducedAt, appendTime(nil, m.ProducedAt))
	}
	text(fieldEntity, m.Entity)
	text(fieldClass, m.Class)
	text(fieldCorrelation, m.Correlation)
	text(fieldCausation, m.Causation)
	return dst, nil
}

func appendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, timeLayout)
}

// writable reports whether RFC 3339 has four digits for the year.
func writable(ms int64) bool { return ms >= firstTime && ms <= lastTime }

// The times that can be written: 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
const (
	firstTime = -62167219200000
	lastTime  = 253402300799999
)
