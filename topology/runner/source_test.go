package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

func TestASourceOffersWhatItTook(t *testing.T) {
	t.Parallel()
	records := func(offsets ...int64) (all []record.Record) {
		for _, o := range offsets {
			all = append(all, record.Record{Offset: o})
		}
		return all
	}
	s := source{next: 3}
	check := func(want task.Input, bytes int, position int64) {
		t.Helper()
		if d := cmp.Diff(want, s.input()); d != "" || s.bytes != bytes || s.position() != position {
			t.Fatalf("%d bytes, want %d; position %d, want %d\n%s", s.bytes, bytes, s.position(), position, d)
		}
	}
	check(task.Input{Next: 3}, 0, 3)
	s.take(&kafka.Fetched{Next: 4}) // a marker
	check(task.Input{Next: 4}, 0, 4)
	s.take(&kafka.Fetched{Records: records(4, 6), Bytes: 100, Next: 7})
	check(task.Input{Records: records(4, 6), Next: 7}, 100, 4)
	s.take(&kafka.Fetched{Next: 8})
	check(task.Input{Records: records(4, 6), Next: 8}, 100, 4)
	s.take(&kafka.Fetched{Records: records(9), Bytes: 7, Next: 10})
	check(task.Input{Records: records(4, 6), Next: 8, Cut: true}, 107, 4)
	if n := s.consume(1); n != 50 {
		t.Fatalf("a record of 100 bytes for two had %d", n)
	}
	check(task.Input{Records: records(6), Next: 8, Cut: true}, 57, 6)
	s.consume(1)
	check(task.Input{Records: records(9), Next: 10}, 7, 9)
	s.consume(1)
	check(task.Input{Next: 10}, 0, 10)
}
