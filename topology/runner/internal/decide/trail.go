package decide

import (
	"math"
	"time"
)

// A Trail is how far a partition is followed whose end moves on. NewTrail makes one.
type Trail struct {
	next     int64
	readable int64     // where that ends which can be read, as the last answer told it
	high     int64     // where the log ends, as the last answer told it
	end      int64     // where the log ended ...
	marked   time.Time // ... at that time, which next has not reached; zero: it has
	asOf     time.Time
}

// NewTrail returns a Trail that goes on at an offset; what is before it is complete as of
// a time.
func NewTrail(next int64, asOf time.Time) Trail {
	return Trail{next: next, readable: next, high: math.MaxInt64, asOf: asOf}
}

// Read takes what the answer to a request that was sent at a time said: the position
// behind what it brought, and the ends of the partition.
func (t *Trail) Read(sent time.Time, next, highWater, lastStable int64) {
	t.next, t.high, t.readable = next, highWater, lastStable
	if !t.marked.IsZero() && next >= t.end {
		t.complete(t.marked)
	}
	// Under load the end is never reached: where it was at a time is.
	switch {
	case next >= highWater:
		t.complete(sent)
	case t.marked.IsZero():
		t.end, t.marked = highWater, sent
	}
}

// Unchanged takes an answer that said nothing: position and ends are as they were.
func (t *Trail) Unchanged(sent time.Time) {
	if t.next >= t.high {
		t.complete(sent)
	}
}

func (t *Trail) complete(at time.Time) {
	t.marked, t.asOf = time.Time{}, at
}

// Next returns the offset of the next read.
func (t *Trail) Next() int64 { return t.next }

// Lag returns how many offsets can be read that are not.
func (t *Trail) Lag() int64 { return max(0, t.readable-t.next) }

// AsOf returns the last time of which it is known that everything has been read that was
// in the partition then (D6).
func (t *Trail) AsOf() time.Time { return t.asOf }
