package reorder

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/streamrun/streamrun/policies"
)

// formatVersion is the first byte of every stored value.
const formatVersion = 1

// Errors of decoding. A decoder accepts exactly what its encoder writes.
var (
	errVersion   = errors.New("unknown format version")
	errTruncated = errors.New("truncated")
	errTrailing  = errors.New("trailing bytes")
	errMalformed = errors.New("malformed")
)

// flags is the set of parts that a value has.
type flags uint64

func (f flags) has(bit int) bool { return f&(1<<bit) != 0 }

func (f *flags) set(bit int, on bool) {
	if on {
		*f |= 1 << bit
	}
}

// zig maps small numbers of either sign to small ones without.
func zig(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func zag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendInt(b []byte, n int64) []byte { return binary.AppendUvarint(b, zig(n)) }

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A reader takes a value apart. After the first fault it gives zeros; err keeps it.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// check fails unless ok.
func (r *reader) check(ok bool) {
	if !ok {
		r.fail(errMalformed)
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errTruncated)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) version() {
	if r.byte() != formatVersion {
		r.fail(errVersion)
	}
}

func (r *reader) uint() uint64 {
	u, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.check(n == 0) // else it does not fit into 64 bits
		r.fail(errTruncated)
		return 0
	}
	r.check(n == 1 || r.b[n-1] != 0) // the shortest form only
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return u
}

func (r *reader) int() int64 { return zag(r.uint()) }

// nonzero is int for a part that is absent when it is zero.
func (r *reader) nonzero() int64 {
	n := r.int()
	r.check(n != 0)
	return n
}

func (r *reader) hash() uint64 { return uint64(r.long()) }

func (r *reader) long() int64 {
	if len(r.b) < 8 {
		r.fail(errTruncated)
		return 0
	}
	n := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return int64(n)
}

// bytes returns the next bytes, which are still the reader's.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errTruncated)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// text is bytes for a part that is absent when it is empty.
func (r *reader) text() string {
	b := r.bytes()
	r.check(len(b) > 0)
	return string(b)
}

// count returns a number of parts that take at least size bytes each and of which
// there is at least one.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail(errTruncated)
		return 0
	}
	r.check(n > 0)
	return int(n)
}

// end reports the first fault, bytes that are left over included.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = errTrailing
	}
	return r.err
}

// plus is a+b; the reader fails if there is no such number.
func (r *reader) plus(a int64, b uint64) int64 {
	sum := int64(uint64(a) + b)
	r.check(b <= math.MaxInt64 && sum >= a)
	return sum
}

// reasonCodes gives every reason its byte in letters and rows: its index. Codes are
// never reused; new reasons are added at the end.
func reasonCodes() []policies.Reason {
	return []policies.Reason{
		"", policies.ReasonInvalidMetadata, policies.ReasonStaleEpoch, policies.ReasonUnexpectedEpoch,
		policies.ReasonSupersededEpoch, policies.ReasonDuplicate, policies.ReasonDuplicateOfDLQ,
		policies.ReasonBeforeStart, policies.ReasonEntityParked, policies.ReasonSequenceConflict,
		policies.ReasonLate, policies.ReasonSequenceJump, policies.ReasonGap, policies.ReasonRetryExhausted,
		policies.ReasonGapTimeout, policies.ReasonPoison, policies.ReasonVersionBackward,
		policies.ReasonSuperseded, policies.ReasonFutureTimestamp, policies.ReasonCauseTimeout,
		policies.ReasonCauseCycle,
	}
}

func appendReason(b []byte, reason policies.Reason) []byte {
	return append(b, byte(slices.Index(reasonCodes(), reason)))
}

func (r *reader) reason() policies.Reason {
	codes, c := reasonCodes(), int(r.byte())
	if r.check(c > 0 && c < len(codes)); r.err != nil {
		return ""
	}
	return codes[c]
}

func readRule(in *reader) policies.Rule {
	rule := policies.Rule(in.byte())
	in.check(rule <= 19 || rule == policies.NoRule)
	return rule
}
