package dev

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// taskTopics are the topics of one task as they were read back, one partition each.
type taskTopics struct {
	plan       *task.Plan
	partition  int32
	partitions func(topic string) int32
	input      []record.Record
	changelogs [][]record.Record // in the order of Plan.Changelogs
	journal    []record.Record
	committed  kafka.CommittedOffset
}

// restored is the state of a task as a restart would find it.
type restored struct {
	rows   *statestore.Memory
	counts policies.Counts
}

// restore folds the order topic and the changelogs, and reads the committed metadata.
func (t *taskTopics) restore() (restored, error) {
	r := restored{rows: statestore.NewMemory()}
	for i, records := range t.changelogs {
		position := int64(0)
		if n := len(records); n > 0 {
			position = records[n-1].Offset + 1
		}
		if err := t.plan.Restore(r.rows, i, t.partition, records, position); err != nil {
			return r, err
		}
	}
	if t.committed.Offset < 0 {
		return r, nil
	}
	m, err := task.ParseMetadata(t.committed.Metadata)
	if err != nil {
		return r, fmt.Errorf("%s-%d: %w", t.committed.Topic, t.committed.Partition, err)
	}
	r.counts = m.Counts
	return r, nil
}

// replay folds the task once more, by the production task from inputs and journal
// alone.
func (t *taskTopics) replay() (restored, error) {
	r, err := task.NewReplay(t.plan, t.partition, task.Options{Partitions: t.partitions}, t.slice)
	if err != nil {
		return restored{}, err
	}
	for i := range t.journal {
		j, err := task.DecodeJournal(t.journal[i].Value)
		if err != nil {
			return restored{}, fmt.Errorf("%s-%d@%d: %w", t.plan.Journal, t.partition, t.journal[i].Offset, err)
		}
		if _, err := r.Commit(j); err != nil {
			return restored{}, err
		}
	}
	rows, ok := r.Backend().(*statestore.Memory)
	if !ok {
		return restored{}, fmt.Errorf("the replay keeps its rows in a %T", r.Backend())
	}
	return restored{rows, r.Dispositions()[0]}, nil
}

// slice implements task.Reader for the one source.
func (t *taskTopics) slice(_ int, from, to int64) ([]record.Record, error) {
	at := func(offset int64) int {
		return sort.Search(len(t.input), func(i int) bool { return t.input[i].Offset >= offset })
	}
	return t.input[at(from):at(to)], nil
}

// difference returns the first difference between two states of a task, "" if they
// are the same, byte for byte.
func (r restored) difference(other restored) (string, error) {
	if r.counts != other.counts {
		return fmt.Sprintf("dispositions %+v, folded again %+v", r.counts, other.counts), nil
	}
	a, err := rowsOf(r.rows)
	if err != nil {
		return "", err
	}
	b, err := rowsOf(other.rows)
	if err != nil {
		return "", err
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i == len(b) || i < len(a) && bytes.Compare(a[i].Key, b[i].Key) < 0:
			return fmt.Sprintf("row %q is there, but is not when folded again", a[i].Key), nil
		case i == len(a) || bytes.Compare(a[i].Key, b[i].Key) > 0:
			return fmt.Sprintf("row %q is there only when folded again", b[i].Key), nil
		case !bytes.Equal(a[i].Row, b[i].Row):
			return fmt.Sprintf("row %q is %q, folded again %q", a[i].Key, a[i].Row, b[i].Row), nil
		}
	}
	return "", nil
}

// rowsOf returns the rows in key order.
func rowsOf(b statestore.Backend) ([]statestore.Put, error) {
	var rows []statestore.Put
	err := b.Scan(nil, func(key, row []byte) error {
		rows = append(rows, statestore.Put{Key: bytes.Clone(key), Row: bytes.Clone(row)})
		return nil
	})
	return rows, err
}
