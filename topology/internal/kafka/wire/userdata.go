package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka/assign"
)

// userDataFormat is the first byte of the user data of a subscription and of an
// assignment.
const userDataFormat = 1

// appendState appends the user data of a subscription: what a member has of the state of
// tasks, by number. What is not positive is left out.
func appendState(b []byte, state map[int32]int64) []byte {
	state = maps.Clone(state)
	maps.DeleteFunc(state, func(_ int32, amount int64) bool { return amount <= 0 })
	b = binary.AppendUvarint(append(b, userDataFormat), uint64(len(state)))
	for _, n := range slices.Sorted(maps.Keys(state)) {
		b = binary.AppendUvarint(b, uint64(n))
		b = binary.AppendUvarint(b, uint64(state[n]))
	}
	return b
}

// decodeState reads what appendState wrote; it is never nil without an error.
func decodeState(b []byte) (map[int32]int64, error) {
	r := reader{b: b}
	state := map[int32]int64{}
	for range r.count() {
		n := r.number()
		state[n] = int64(r.uvarint(1, math.MaxInt64))
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("kafka/wire: decoding the state that a member has: %w", err)
	}
	return state, nil
}

// appendShare appends the user data of an assignment: all of a share but its partitions.
func appendShare(b []byte, s assign.Share) []byte {
	gives := byte(0)
	if s.Gives {
		gives = 1
	}
	b = binary.AppendUvarint(append(b, userDataFormat), uint64(len(s.Standby)))
	for _, n := range s.Standby {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(b, gives)
}

// decodeShare reads what appendShare wrote.
func decodeShare(b []byte) (s assign.Share, err error) {
	r := reader{b: b}
	for range r.count() {
		s.Standby = append(s.Standby, r.number())
	}
	s.Gives = r.uvarint(0, 1) == 1
	if err := r.end(); err != nil {
		return assign.Share{}, fmt.Errorf("kafka/wire: decoding the user data of an assignment: %w", err)
	}
	return s, nil
}

// reader reads user data; after its first error it reads zeros.
type reader struct {
	b    []byte
	next uint64 // the smallest task number that may come: they are sorted
	err  error
}

// count checks the format and returns how many entries there are.
func (r *reader) count() uint64 {
	if len(r.b) == 0 {
		r.err = errors.New("there is none")
		return 0
	}
	if r.b[0] != userDataFormat {
		r.err = fmt.Errorf("unknown format %d", r.b[0])
		return 0
	}
	r.b = r.b[1:]
	return r.uvarint(0, uint64(len(r.b)))
}

// number returns the number of a task.
func (r *reader) number() int32 {
	n := r.uvarint(r.next, math.MaxInt32)
	r.next = n + 1
	return int32(n)
}

func (r *reader) uvarint(least, most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	switch {
	case n <= 0 || n > 1 && r.b[n-1] == 0:
		r.err = errors.New("a number is cut short, or too long")
	case v < least || v > most:
		r.err = fmt.Errorf("%d is not from %d to %d", v, least, most)
	default:
		r.b = r.b[n:]
		return v
	}
	return 0
}

// end returns the first error; bytes that are left are one.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	return r.err
}
