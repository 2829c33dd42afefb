package runner

import (
	"context"
	"fmt"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// journal is the end of a task's journal.
type journal struct {
	some bool // it holds a committed record
	last task.JournalRecord
	next int64 // the position behind it
}

// journalWindow is how much of the end of a journal is read first for its last
// record; most of what stands there are records and markers.
const journalWindow = 256

// lastJournal reads the last committed record of a journal partition.
func (r *restorer) lastJournal(ctx context.Context, tp record.TopicPartition, marks kafka.Marks) (j journal, err error) {
	for window := int64(journalWindow); ; window *= 16 {
		from := max(marks.LogStart, marks.HighWater-window)
		for at := from; at < min(marks.HighWater, marks.LastStable); {
			fetched, err := r.fetcher.Fetch(ctx, []kafka.Position{{TopicPartition: tp, Offset: at}})
			if err != nil {
				return j, err
			}
			for _, f := range fetched {
				if f.Err != nil {
					return j, fmt.Errorf("%s-%d@%d: %w", tp.Topic, tp.Partition, at, f.Err)
				}
				at = f.Next
				if n := len(f.Records); n > 0 {
					last := f.Records[n-1]
					if j.last, err = task.DecodeJournal(last.Value); err != nil {
						return j, fmt.Errorf("%s-%d@%d: %w", tp.Topic, tp.Partition, last.Offset, err)
					}
					j.some, j.next = true, last.Offset+1
				}
			}
		}
		if j.some || from == marks.LogStart {
			return j, nil
		}
	}
}

// accept makes committed offsets that were moved from outside agree: every partition
// goes on where its offset stands (where there is none, at its beginning), and the
// task where its latest commit, by offsets or journal, left it.
func accept(committed []kafka.CommittedOffset, begin []int64, j journal) []kafka.CommittedOffset {
	var m task.Metadata
	metas := make([]task.Metadata, len(committed))
	for i, c := range committed {
		metas[i], _ = task.ParseMetadata(c.Metadata) // what is not ours counts as none
		if metas[i].Commit > m.Commit {
			m = metas[i]
		}
	}
	if j.some {
		m.Journal = j.next
		if n := len(j.last.Steps); j.last.Commit > m.Commit && n > 0 {
			m.Commit, m.Clock = j.last.Commit, max(m.Clock, j.last.Steps[n-1].Clock)
		}
	}
	out := make([]kafka.CommittedOffset, len(committed))
	for i, c := range committed {
		own := m
		own.Counts = metas[i].Counts
		if j.some && j.last.Commit == m.Commit && i < len(j.last.Counts) {
			own.Counts = j.last.Counts[i]
		}
		if c.Offset < 0 {
			c.Offset = begin[i]
		}
		c.Metadata = own.String()
		out[i] = c
	}
	return out
}
