//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

const (
	partitions = 4
	keyBytes   = 16
	valueBytes = 100 // of events and of states
)

// An event adds an amount to its key.
type event struct {
	sequence int64 // from 1 for each key
	amount   int64
	created  int64 // nanoseconds since the Unix epoch
}

func appendEvent(b []byte, e event) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.sequence))
	b = binary.BigEndian.AppendUint64(b, uint64(e.amount))
	b = binary.BigEndian.AppendUint64(b, uint64(e.created))
	return append(b, filler[:valueBytes-24]...)
}

func decodeEvent(b []byte) (event, error) {
	if len(b) != valueBytes {
		return event{}, fmt.Errorf("an event of %d bytes", len(b))
	}
	return event{
		sequence: int64(binary.BigEndian.Uint64(b)),
		amount:   int64(binary.BigEndian.Uint64(b[8:])),
		created:  int64(binary.BigEndian.Uint64(b[16:])),
	}, nil
}

// A total is the state of a key.
type total struct{ last, count, sum, created int64 }

func (t total) add(e event) total {
	return total{e.sequence, t.count + 1, t.sum + e.amount, e.created}
}

func appendTotal(b []byte, t total) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.last))
	b = binary.BigEndian.AppendUint64(b, uint64(t.count))
	b = binary.BigEndian.AppendUint64(b, uint64(t.sum))
	b = binary.BigEndian.AppendUint64(b, uint64(t.created))
	return append(b, filler[:valueBytes-32]...)
}

func decodeTotal(b []byte) (total, error) {
	if len(b) != valueBytes {
		return total{}, fmt.Errorf("a total of %d bytes", len(b))
	}
	return total{
		int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])),
		int64(binary.BigEndian.Uint64(b[16:])), int64(binary.BigEndian.Uint64(b[24:])),
	}, nil
}

const filler = "the rest of a value is the same for all of them, and long enough for any of what has to be filled up"

// skew is the exponent of the Zipf distribution: of 100,000 keys the first has 13 % of
// the events, and the first 1,000 have three quarters.
const skew = 1.1

// stream draws events: every key once, in no order, then keys at random, all alike or
// by Zipf's law.
type stream struct {
	random *rand.Rand
	zipf   *rand.Zipf // nil: all alike
	seen   []int64
	first  []int32 // keys that did not have their first turn
}

func newStream(keys int, seed uint64, zipf bool) *stream {
	s := &stream{random: rand.New(rand.NewPCG(seed, 0)), seen: make([]int64, keys), first: make([]int32, keys)}
	for i := range s.first {
		s.first[i] = int32(i)
	}
	s.random.Shuffle(keys, func(i, j int) { s.first[i], s.first[j] = s.first[j], s.first[i] })
	if zipf {
		s.zipf = rand.NewZipf(s.random, skew, 1, uint64(keys-1))
	}
	return s
}

// next returns an event and its key's number.
func (s *stream) next() (key int, e event) {
	switch n := len(s.first); {
	case n > 0:
		key, s.first = int(s.first[n-1]), s.first[:n-1]
	case s.zipf != nil:
		key = int(s.zipf.Uint64())
	default:
		key = s.random.IntN(len(s.seen))
	}
	s.seen[key]++
	return key, event{sequence: s.seen[key], amount: s.random.Int64N(1000)}
}

// appendKey appends the bytes of a key.
func appendKey(b []byte, key int) []byte {
	return fmt.Appendf(b, "key-%0*d", keyBytes-4, key)
}
