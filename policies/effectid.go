package policies

import (
	"fmt"
	"strconv"
	"strings"
)

// An EffectID is the stable id of one effect on the wire: a retry, a redelivery
// and a rebuild reuse it, so a receiver that remembers ids sees the effect once.
// It says nothing about the generation that sends it.
//
// Of Sequence, Event and Timer one says which input asked for the effect: a timer
// if Timer is set, an event without a number if Event is set, else the event with
// the sequence number.
type EffectID struct {
	App    string
	Effect string
	Entity string
	Epoch  int64

	Sequence int64
	Event    string // id of the event, in orders without sequence
	Timer    string // name of the timer that fired
	Due      int64  // when the timer was due, milliseconds since the Unix epoch

	N int // 0 for the first effect of this name that the input asked for
}

// String returns the id as it stands on the wire.
func (id EffectID) String() string { return string(id.Append(nil)) }

// Append appends the id as it stands on the wire: visible ASCII without blanks, fit
// for a header of HTTP or Kafka. Distinct ids have distinct texts.
func (id EffectID) Append(dst []byte) []byte {
	dst = append(escape(dst, id.App), '/')
	dst = append(escape(dst, id.Effect), '/')
	dst = append(escape(dst, id.Entity), '/')
	dst = append(strconv.AppendInt(dst, id.Epoch, 10), '/')
	switch {
	case id.Timer != "":
		dst = append(escape(dst, id.Timer), '@')
		dst = strconv.AppendInt(dst, id.Due, 10)
	case id.Event != "":
		dst = escapeID(dst, id.Event)
	default:
		dst = strconv.AppendInt(dst, id.Sequence, 10)
	}
	return strconv.AppendInt(append(dst, '/'), int64(id.N), 10)
}

// ParseEffectID reads an id back. It accepts exactly the texts that Append makes
// of ids whose app, effect and entity are not empty and whose numbers, but for
// Due, are not negative.
func ParseEffectID(text string) (EffectID, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 6 {
		return EffectID{}, fmt.Errorf("policies: reading effect id %q: it has %d parts, not 6", text, len(parts))
	}
	var id EffectID
	err := firstError(
		unescape(parts[0], &id.App),
		unescape(parts[1], &id.Effect),
		unescape(parts[2], &id.Entity),
		natural(parts[3], &id.Epoch),
		id.parseInput(parts[4]),
	)
	if err == nil {
		var n int64
		err = natural(parts[5], &n)
		id.N = int(n)
	}
	if err == nil && id.String() != text {
		err = fmt.Errorf("it is not written as %q", id.String())
	}
	if err != nil {
		return EffectID{}, fmt.Errorf("policies: reading effect id %q: %w", text, err)
	}
	return id, nil
}

func (id *EffectID) parseInput(part string) error {
	if timer, due, ok := strings.Cut(part, "@"); ok {
		n, err := strconv.ParseInt(due, 10, 64)
		if err != nil {
			return fmt.Errorf("timer due at %q: not a number", due)
		}
		id.Due = n
		return unescape(timer, &id.Timer)
	}
	if digits(part) {
		return natural(part, &id.Sequence)
	}
	return unescape(part, &id.Event)
}

// escape writes every byte but visible ASCII without '/', '@' and '%' as %XX.
func escape(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b > ' ' && b < 0x7f && b != '/' && b != '@' && b != '%' {
			dst = append(dst, b)
		} else {
			dst = escapeByte(dst, b)
		}
	}
	return dst
}

// escapeID is escape, but its result is never taken for a sequence number.
func escapeID(dst []byte, s string) []byte {
	if digits(s) {
		return append(escapeByte(dst, s[0]), s[1:]...)
	}
	return escape(dst, s)
}

func escapeByte(dst []byte, b byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(dst, '%', hex[b>>4], hex[b&15])
}

// unescape takes every %XX for its byte. Which bytes may be written so is asked by
// whoever compares with the canonical text.
func unescape(part string, s *string) error {
	if part == "" {
		return fmt.Errorf("a part is empty")
	}
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] != '%' {
			b.WriteByte(part[i])
			continue
		}
		if i+2 >= len(part) {
			return fmt.Errorf("%q ends within an escape", part)
		}
		n, err := strconv.ParseUint(part[i+1:i+3], 16, 8)
		if err != nil {
			return fmt.Errorf("%q has a bad escape", part)
		}
		b.WriteByte(byte(n))
		i += 2
	}
	*s = b.String()
	return nil
}

func natural(part string, n *int64) error {
	v, err := strconv.ParseInt(part, 10, 64)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a number from 0 to 9223372036854775807", part)
	}
	*n = v
	return nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
