package runner

import (
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// source is what is fetched of one source partition and not consumed: what each fetch
// brought, as it came.
type source struct {
	record.TopicPartition
	fetched []fetched
	bytes   int
	next    int64 // where the next fetch starts
	stable  int64 // what can be read ends there, as far as is known
	blocked bool  // the first record does not fit until something changes
	broken  int64 // not 0: next is a batch that cannot be decoded, and it is passed over up to there
}

// fetched are records of one fetch, at least one.
type fetched struct {
	records []record.Record
	bytes   int
	next    int64 // position after them, and after what follows them unseen
}

// take keeps what a fetch brought.
func (s *source) take(f *kafka.Fetched) {
	s.next, s.stable = f.Next, f.LastStable
	switch n := len(s.fetched); {
	case len(f.Records) > 0:
		s.fetched = append(s.fetched, fetched{f.Records, f.Bytes, f.Next})
		s.bytes += f.Bytes
	case n > 0:
		s.fetched[n-1].next = f.Next
	}
}

// input offers what came first; where more came it is cut off behind that.
func (s *source) input() task.Input {
	if len(s.fetched) == 0 {
		return task.Input{Next: s.next}
	}
	return task.Input{Records: s.fetched[0].records, Next: s.fetched[0].next, Cut: len(s.fetched) > 1}
}

// consume drops records of the input, and returns the bytes that they had.
func (s *source) consume(n int) int {
	if n == 0 {
		return 0
	}
	f := &s.fetched[0]
	bytes := f.bytes * n / len(f.records)
	f.records, f.bytes = f.records[n:], f.bytes-bytes
	if len(f.records) == 0 {
		copy(s.fetched, s.fetched[1:])
		last := len(s.fetched) - 1
		s.fetched[last] = fetched{}
		s.fetched = s.fetched[:last]
	}
	s.bytes -= bytes
	return bytes
}

// position returns the offset of the next record, or of the next fetch.
func (s *source) position() int64 {
	if len(s.fetched) > 0 {
		return s.fetched[0].records[0].Offset
	}
	return s.next
}
