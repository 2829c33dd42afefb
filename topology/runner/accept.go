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

// record returns the last record, nil where there is none.
func (j *journal) record() *task.JournalRecord {
	if !j.some {
		return nil
	}
	return &j.last
}

// unexplained says what is wrong with offsets of which some are not committed, ""
// if nothing is: a task without any has never been committed, and a partition that
// the last journal record does not name is new. state says that something of its changelogs is there.
func unexplained(p *task.Plan, partition int32, committed []kafka.CommittedOffset, state bool, j *journal) string {
	var gone []string
	for i, c := range committed {
		if c.Offset < 0 {
			gone = append(gone, p.Sources[i])
		}
	}
	switch {
	case len(gone) == 0:
		return ""
	case len(gone) == len(committed):
		var holds []string
		if state {
			for _, c := range p.Changelogs {
				holds = append(holds, c.Topic)
			}
		}
		if j.some {
			holds = append(holds, p.Journal)
		}
		if len(holds) == 0 {
			return ""
		}
		return fmt.Sprintf("none is committed for %v, but partition %d of %v holds committed records", p.Sources, partition, holds)
	case !j.some:
		return fmt.Sprintf("none is committed for partition %d of %v, one is for the other sources, and the journal %s, which would say whether it is new, is empty", partition, gone, p.Journal)
	}
	for _, topic := range gone {
		if s := j.last.Source(topic); s != nil {
			return fmt.Sprintf("none is committed for %s-%d, which commit %d left at %d", topic, partition, j.last.Commit, s.Offset)
		}
	}
	return ""
}

// describeMoves says where the moves lead.
func describeMoves(p *task.Plan, moves []task.Step) []string {
	var all []string
	for _, st := range moves {
		for _, m := range st.Moves {
			all = append(all, fmt.Sprintf("%s from %d to %d", p.Sources[m.Source], m.From, m.To))
		}
	}
	return all
}

// accept makes committed offsets that were moved from outside agree: every partition
// goes on where its offset stands (where there is none, at its beginning), and the
// task where its latest commit, by offsets or journal, left it. moves are the steps
// that say so in the journal.
func accept(p *task.Plan, committed []kafka.CommittedOffset, begin []int64, j *journal) (agreed []kafka.CommittedOffset, moves []task.Step) {
	var m task.Metadata
	metas := make([]task.Metadata, len(committed))
	bare := make([]bool, len(committed))
	for i, c := range committed {
		var err error
		metas[i], err = task.ParseMetadata(c.Metadata) // what is not ours counts as none
		bare[i] = err != nil
		if metas[i].Commit > m.Commit {
			m = metas[i]
		}
	}
	if j.some {
		m.Journal = j.next
		if n := len(j.last.Steps); j.last.Commit > m.Commit && n > 0 {
			m.Commit, m.Clock, m.StreamTime = j.last.Commit, max(m.Clock, j.last.Steps[n-1].Clock), j.last.StreamTime
		}
	}
	agreed = make([]kafka.CommittedOffset, len(committed))
	starts := make([]task.Start, len(committed))
	for i, c := range committed {
		own := m
		own.Counts = metas[i].Counts
		bare[i] = bare[i] || metas[i].Commit != m.Commit
		if s := j.record().Source(p.Sources[i]); s != nil && j.last.Commit == m.Commit {
			own.Counts = s.Counts
		}
		if c.Offset < 0 {
			c.Offset = begin[i]
		}
		c.Metadata = own.String()
		agreed[i], starts[i] = c, task.Start{Offset: c.Offset}
	}
	return agreed, p.Moves(starts, bare, j.record())
}
