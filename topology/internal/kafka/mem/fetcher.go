package mem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// fetcher implements kafka.Fetcher.
type fetcher struct {
	*handle
	opts kafka.FetchOptions
	told map[record.TopicPartition]kafka.Marks // by the last answer that named it
}

func newFetcher(h *handle, opts kafka.FetchOptions) *fetcher {
	opts.MinBytes = cmp.Or(opts.MinBytes, 1)
	opts.MaxWait = cmp.Or(opts.MaxWait, 100*time.Millisecond)
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 16<<20)
	opts.PartitionMaxBytes = cmp.Or(opts.PartitionMaxBytes, 1<<20)
	return &fetcher{handle: h, opts: opts, told: map[record.TopicPartition]kafka.Marks{}}
}

// Wait implements kafka.Fetcher.
func (f *fetcher) Wait(minBytes int32, maxWait time.Duration) {
	f.opts.MinBytes, f.opts.MaxWait = minBytes, maxWait
}

// Unanswered implements kafka.Fetcher: one broker answers for all partitions, or for none.
func (f *fetcher) Unanswered() []record.TopicPartition { return nil }

// Fetch implements kafka.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	fault := code(0)
	err := f.broker.ask(ctx, f.handle, Fetch, func(time.Time) code {
		for _, p := range positions {
			if f.broker.partition(p.TopicPartition) == nil {
				return unknownTopicOrPartition
			}
		}
		return 0
	})
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
		fault = offsetOutOfRange
	case errors.Is(err, errCorrupt):
		fault = corruptMessage
	case err != nil:
		return nil, err
	}
	var answer []kafka.Fetched
	limit := f.broker.opts.Clock.Now().Add(f.opts.MaxWait)
	err = f.broker.await(ctx, f.handle, limit, func(time.Time) bool {
		answer = answer[:0]
		return f.read(positions, fault, &answer)
	})
	if err != nil {
		return nil, fmt.Errorf("mem: %s: %w", Fetch, err)
	}
	for _, got := range answer {
		f.told[got.TopicPartition] = kafka.Marks{LogStart: got.LogStart, HighWater: got.HighWater, LastStable: got.LastStable}
	}
	return answer, nil
}

// read collects what an answer would say now, and reports whether that is worth
// answering before the wait is over.
func (f *fetcher) read(positions []kafka.Position, fault code, answer *[]kafka.Fetched) bool {
	bytes, moved := 0, false
	for i, pos := range positions {
		p := f.broker.partition(pos.TopicPartition)
		got := kafka.Fetched{TopicPartition: pos.TopicPartition, Next: pos.Offset, LogStart: p.start, HighWater: p.end, LastStable: p.lastStable()}
		marks := kafka.Marks{LogStart: got.LogStart, HighWater: got.HighWater, LastStable: got.LastStable}
		old, named := f.told[pos.TopicPartition]
		switch {
		case i == 0 && fault == corruptMessage:
			got.Err = &kafka.UndecodableError{TopicPartition: pos.TopicPartition, Offset: pos.Offset, Next: p.behind(pos.Offset), Err: errCorrupt}
		case i == 0 && fault == offsetOutOfRange, pos.Offset < p.start, pos.Offset > p.end:
			got.Err = fmt.Errorf("mem: %s-%d@%d, the log is %d to %d: %w", pos.Topic, pos.Partition, pos.Offset, p.start, p.end, kafka.ErrOffsetOutOfRange)
		case bytes < int(f.opts.MaxBytes):
			budget := min(int(f.opts.PartitionMaxBytes), int(f.opts.MaxBytes)-bytes)
			got.Records, got.Next, got.Bytes = p.read(pos.Offset, f.opts.ReadUncommitted, budget)
			bytes += got.Bytes
		}
		// A position moved by control records alone does not wait for MinBytes: nothing
		// in front of it may ever come.
		moved = moved || got.Err != nil || got.Next > pos.Offset && got.Bytes == 0
		if got.Err != nil || got.Next > pos.Offset || !named || old != marks {
			*answer = append(*answer, got)
		}
	}
	return moved || bytes >= int(f.opts.MinBytes)
}
