package task

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
)

// A MovedError says that the committed offsets of a task are not what the task left
// behind: they were moved from outside (a reset, an expiry, a failover).
type MovedError struct {
	Task    string
	Problem string
}

// Error implements error.
func (e *MovedError) Error() string {
	return fmt.Sprintf("task %s: its committed offsets were moved from outside: %s; put them back, or accept them (--accept-offsets)", e.Task, e.Problem)
}

// agree reads the offset metadata of a task's source partitions. All of a task must
// agree; a partition without an offset is new when no commit of the task can have
// named it, which the caller knows from the journal: here none at all, or all.
func agree(name string, topics []string, partition int32, starts []Start) (m Metadata, counts []policies.Counts, err error) {
	counts = make([]policies.Counts, len(starts))
	first := -1
	for i, s := range starts {
		if s.None {
			continue
		}
		if s.Metadata == "" {
			return m, nil, &MovedError{name, fmt.Sprintf("%s-%d has offset %d without the metadata that a commit leaves", topics[i], partition, s.Offset)}
		}
		got, err := ParseMetadata(s.Metadata)
		if err != nil {
			return m, nil, &MovedError{name, fmt.Sprintf("%s-%d: %v", topics[i], partition, err)}
		}
		counts[i] = got.Counts
		got.Counts = policies.Counts{}
		switch {
		case first < 0:
			first, m = i, got
		case got != m:
			return m, nil, &MovedError{name, fmt.Sprintf("%s-%d is of commit %d, %s-%d of commit %d",
				topics[first], partition, m.Commit, topics[i], partition, got.Commit)}
		}
	}
	return m, counts, nil
}
