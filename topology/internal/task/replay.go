package task

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Replay folds a task again from its inputs and its journal: the production task,
// without what it emits. It is used by one goroutine.
type Replay struct {
	plan      *Plan
	partition int32
	options   Options
	read      Reader
	backend   *statestore.Memory
	task      *Task
	starts    []Start
	commit    int64
	continued bool
	last      *Batch // nil: there is none, or its memory is used again
}

// A Reader returns the committed records of a source partition from offset from to
// offset to, to not included.
type Reader func(source int, from, to int64) ([]record.Record, error)

// A PlanError says that a commit was made under another plan, so that folding it
// again under this one means nothing.
type PlanError struct {
	Task   string
	Commit int64
	Was    uint64 // plan hash
	Is     uint64
}

// Error implements error.
func (e *PlanError) Error() string {
	return fmt.Sprintf("task %s: journal of commit %d: plan hash %016x, this topology has %016x", e.Task, e.Commit, e.Was, e.Is)
}

// NewReplay starts a replay at the beginning of the journal.
func NewReplay(p *Plan, partition int32, o Options, read Reader) (*Replay, error) {
	r := &Replay{plan: p, partition: partition, options: o, read: read, backend: statestore.NewMemory(), starts: make([]Start, len(p.Sources))}
	for i := range r.starts {
		r.starts[i].None = true
	}
	return r, r.open()
}

func (r *Replay) open() (err error) {
	r.task, err = Open(r.plan, r.partition, r.backend, r.options, r.starts)
	return err
}

// Commit folds one journal record; j is in the order of the journal. A difference
// between what the journal says and what comes out is an error: the replayed code
// is not the code that wrote the journal. A commit under another plan is a *PlanError.
// It returns what the task did, when j is the last record of its commit; that is the
// caller's until the next call.
func (r *Replay) Commit(j JournalRecord) (*Batch, error) {
	if r.last != nil {
		r.task.Recycle(r.last)
		r.last = nil
	}
	if j.Plan != r.plan.Hash {
		return nil, &PlanError{r.task.name, j.Commit, j.Plan, r.plan.Hash}
	}
	if want := r.commit + 1; j.Commit != want && !r.continued || r.continued && j.Commit != r.commit+1 {
		return nil, fmt.Errorf("task %s: journal: commit %d where %d is next", r.task.name, j.Commit, want)
	}
	for _, s := range j.Steps {
		if s.Kind == StepOpen {
			if err := r.open(); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.step(s); err != nil {
			return nil, err
		}
	}
	if r.continued = j.Continued; r.continued {
		return nil, nil //nolint:nilnil // it has not ended
	}
	r.commit = j.Commit
	b := r.task.Take()
	if b == nil {
		return nil, fmt.Errorf("task %s: journal of commit %d: its steps change nothing", r.task.name, j.Commit)
	}
	for i, topic := range r.plan.Sources {
		switch s := j.Source(topic); {
		case s == nil:
			return nil, fmt.Errorf("task %s: commit %d: the journal does not name %s", r.task.name, j.Commit, topic)
		case s.Counts != b.Dispositions[i]:
			return nil, fmt.Errorf("task %s: commit %d: %s: dispositions %+v, the journal has %+v", r.task.name, j.Commit, topic, b.Dispositions[i], s.Counts)
		case s.Offset != b.offsets[i]:
			return nil, fmt.Errorf("task %s: commit %d: %s: offset %d, the journal has %d", r.task.name, j.Commit, topic, b.offsets[i], s.Offset)
		}
	}
	if err := r.backend.Apply(b.Puts, nil); err != nil {
		return nil, err
	}
	for i, o := range b.Offsets(Writer{}, 0) {
		r.starts[i] = Start{Offset: o.Offset, Metadata: o.Metadata}
	}
	r.last = b
	return b, nil
}

func (r *Replay) step(s JournalStep) error {
	step := Step{Kind: s.Kind, Clock: s.Clock, Wall: s.Wall, Budget: s.Budget, Facts: s.Facts}
	step.Command.Entity, step.Command.Kind = s.Entity, s.Word
	for _, sl := range s.Slices {
		if sl.Source >= len(r.plan.Sources) {
			return fmt.Errorf("task %s: the journal names source %d of %d", r.task.name, sl.Source, len(r.plan.Sources))
		}
	}
	if s.Kind.moves() {
		step.Moves = s.Slices
		_, err := r.task.Step(step)
		return err
	}
	if s.Kind == StepRecords {
		step.Inputs = make([]Input, len(r.plan.Sources))
	}
	for _, sl := range s.Slices {
		records, err := r.read(sl.Source, sl.From, sl.To)
		if err != nil {
			return fmt.Errorf("task %s: reading %s-%d from %d to %d again: %w", r.task.name, r.plan.Sources[sl.Source], r.partition, sl.From, sl.To, err)
		}
		step.Inputs[sl.Source] = Input{Records: records, Next: sl.To}
		r.task.positions[sl.Source] = sl.From
	}
	res, err := r.task.Step(step)
	if err != nil {
		return err
	}
	for _, sl := range s.Slices {
		if n := len(step.Inputs[sl.Source].Records); res.Consumed[sl.Source] != n {
			return fmt.Errorf("task %s: %s-%d from %d to %d: %d of %d records consumed", r.task.name, r.plan.Sources[sl.Source], r.partition, sl.From, sl.To, res.Consumed[sl.Source], n)
		}
	}
	return nil
}

// Backend returns the rows so far.
func (r *Replay) Backend() statestore.Backend { return r.backend }

// Dispositions returns the totals per source partition so far.
func (r *Replay) Dispositions() []policies.Counts { return r.task.Dispositions() }
