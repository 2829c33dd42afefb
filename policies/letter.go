package policies

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxLetterText bounds Exception and Message of a letter in bytes, so that no
// error text makes a letter too large to publish.
const MaxLetterText = 4096

// A Letter is what the headers of a dead-letter record say beside the original
// record, whose key, value and headers stand unchanged. The names are those of
// Kafka Streams (KIP-1034) and our own: see the package comment.
type Letter struct {
	Topic     string // where the event was read
	Partition int32
	Offset    int64
	Exception string // kind of the failure; empty if no handler failed
	Message   string // for people; empty if there is nothing to say beyond the reason

	ID          string // of the event; empty if it has none, or could not be decoded
	Reason      Reason
	Rule        Rule
	Entity      string // empty if the event names none
	Epoch       int64
	HasSequence bool
	Sequence    int64
	Step        string // node that refused it
	Attempts    int    // of the handler, or looks at the gap; 0 if there was none
	FirstAt     int64  // when it was first refused or failed, milliseconds since the Unix epoch
}

// The header names, in the order of writing. They never change.
const (
	letterTopic     = "__streams.errors.topic"
	letterPartition = "__streams.errors.partition"
	letterOffset    = "__streams.errors.offset"
	letterException = "__streams.errors.exception"
	letterMessage   = "__streams.errors.message"

	letterPrefix   = "streamrun.dlq."
	letterID       = letterPrefix + "id"
	letterReason   = letterPrefix + "reason"
	letterRule     = letterPrefix + "rule"
	letterEntity   = letterPrefix + "entity"
	letterEpoch    = letterPrefix + "epoch"
	letterSequence = letterPrefix + "sequence"
	letterStep     = letterPrefix + "step"
	letterAttempts = letterPrefix + "attempts"
	letterFirstAt  = letterPrefix + "first_at"
)

// AppendLetter appends the headers of the letter to those of the original record
// and returns the extended slice. Exception and Message are cut to MaxLetterText.
// FirstAt outside the years 0 to 9999 is written as the nearest time that can be.
func AppendLetter[H HeaderLike](dst []H, l *Letter) []H {
	add := func(name string, value []byte) { dst = append(dst, H(Header{[]byte(name), value})) }
	text := func(name, s string) {
		if s != "" {
			add(name, []byte(s))
		}
	}
	number := func(name string, n int64) { add(name, strconv.AppendInt(nil, n, 10)) }
	add(letterTopic, []byte(l.Topic))
	number(letterPartition, int64(l.Partition))
	number(letterOffset, l.Offset)
	text(letterException, cut(l.Exception))
	text(letterMessage, cut(l.Message))
	text(letterID, l.ID)
	add(letterReason, []byte(l.Reason))
	add(letterRule, []byte(l.Rule.String()))
	text(letterEntity, l.Entity)
	number(letterEpoch, l.Epoch)
	if l.HasSequence {
		number(letterSequence, l.Sequence)
	}
	add(letterStep, []byte(l.Step))
	number(letterAttempts, int64(l.Attempts))
	add(letterFirstAt, appendTime(nil, min(max(l.FirstAt, firstTime), lastTime)))
	return dst
}

// cut shortens s to MaxLetterText at a character's end.
func cut(s string) string {
	if len(s) <= MaxLetterText {
		return s
	}
	n := MaxLetterText
	for n > MaxLetterText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ErrNoLetter says that a record has no letter headers at all.
var ErrNoLetter = errors.New("policies: reading a letter: the record is no dead letter")

// ReadLetter reads the letter headers of a dead-letter record; every other header
// is the original record's. Of a header that occurs twice the last counts: a dead
// letter that was dead-lettered again says why it is here now. Numbers and times
// must be written as AppendLetter does, none of the headers that it always writes
// may be missing, and an unknown streamrun.dlq header is an error, since a newer
// version may mean something by it.
func ReadLetter[H HeaderLike](headers []H) (Letter, error) {
	var l Letter
	var seen letterFields
	for i := range headers {
		h := Header(headers[i])
		if err := l.read(&seen, string(h.Key), h.Value); err != nil {
			return Letter{}, err
		}
	}
	if seen == (letterFields{}) {
		return Letter{}, ErrNoLetter
	}
	if missing := seen.missing(); missing != "" {
		return Letter{}, fmt.Errorf("policies: reading a letter: header %s is missing", missing)
	}
	return l, nil
}

// LetterCause returns the headers of a letter that say why it is one, as they are
// written; for counting, which needs no more. Of a header that occurs twice the last
// counts. What is missing is empty.
func LetterCause[H HeaderLike](headers []H) (reason, rule []byte) {
	for i := len(headers) - 1; i >= 0 && (reason == nil || rule == nil); i-- {
		switch h := Header(headers[i]); {
		case reason == nil && string(h.Key) == letterReason:
			reason = h.Value
		case rule == nil && string(h.Key) == letterRule:
			rule = h.Value
		}
	}
	return reason, rule
}

// letterFields are the headers that every letter has.
type letterFields struct {
	topic, partition, offset, reason, rule, epoch, step, attempts, firstAt bool
}

func (s *letterFields) missing() string {
	for _, f := range []struct {
		seen bool
		name string
	}{
		{s.topic, letterTopic},
		{s.partition, letterPartition},
		{s.offset, letterOffset},
		{s.reason, letterReason},
		{s.rule, letterRule},
		{s.epoch, letterEpoch},
		{s.step, letterStep},
		{s.attempts, letterAttempts},
		{s.firstAt, letterFirstAt},
	} {
		if !f.seen {
			return f.name
		}
	}
	return ""
}

// read reads one header.
func (l *Letter) read(seen *letterFields, name string, value []byte) error {
	var n int64
	var err error
	switch name {
	case letterTopic:
		l.Topic, seen.topic = string(value), true
	case letterPartition:
		n, err = canonical(name, value, 32)
		l.Partition, seen.partition = int32(n), true
	case letterOffset:
		l.Offset, err = canonical(name, value, 64)
		seen.offset = true
	case letterException:
		l.Exception, err = letterText(name, value, MaxLetterText)
	case letterMessage:
		l.Message, err = letterText(name, value, MaxLetterText)
	case letterID:
		l.ID, err = letterText(name, value, len(value))
	case letterReason:
		l.Reason, seen.reason = Reason(value), true
		if len(value) == 0 {
			err = badHeader(name, value, "is no reason")
		}
	case letterRule:
		l.Rule, err = readRule(name, value)
		seen.rule = true
	case letterEntity:
		l.Entity, err = letterText(name, value, len(value))
	case letterEpoch:
		l.Epoch, err = canonical(name, value, 64)
		seen.epoch = true
	case letterSequence:
		l.Sequence, err = canonical(name, value, 64)
		l.HasSequence = true
	case letterStep:
		l.Step, seen.step = string(value), true
	case letterAttempts:
		n, err = canonical(name, value, strconv.IntSize)
		l.Attempts, seen.attempts = int(n), true
	case letterFirstAt:
		l.FirstAt, err = readLetterTime(name, value)
		seen.firstAt = true
	default:
		if strings.HasPrefix(name, letterPrefix) {
			err = badHeader(name, value, "is a header that this version does not know")
		}
	}
	return err
}

// canonical reads a number that is written the only way there is.
func canonical(name string, value []byte, bits int) (int64, error) {
	n, err := strconv.ParseInt(string(value), 10, bits)
	if err != nil || strconv.FormatInt(n, 10) != string(value) {
		return 0, badHeader(name, value, "is not a plain number of "+strconv.Itoa(bits)+" bits")
	}
	return n, nil
}

func letterText(name string, value []byte, limit int) (string, error) {
	if len(value) == 0 || len(value) > limit {
		return "", badHeader(name, value, "is empty or longer than "+strconv.Itoa(limit)+" bytes")
	}
	return string(value), nil
}

func readRule(name string, value []byte) (Rule, error) {
	for r := range Rule(20) {
		if r.String() == string(value) {
			return r, nil
		}
	}
	if NoRule.String() == string(value) {
		return NoRule, nil
	}
	return 0, badHeader(name, value, "is no rule")
}

func readLetterTime(name string, value []byte) (int64, error) {
	t, err := time.Parse(timeLayout, string(value))
	if err != nil || string(appendTime(nil, t.UnixMilli())) != string(value) {
		return 0, badHeader(name, value, "is not a time like "+timeLayout)
	}
	return t.UnixMilli(), nil
}
