package runner

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// stepBudget is the budget of one step: small enough that tasks take turns.
const stepBudget = 4096

// owned is a task that a worker runs.
type owned struct {
	decide.Holding
	plan       *task.Plan
	backend    statestore.Backend
	partitions func(topic string) int32
	cache      int                     // bytes that stay decoded; 0: all
	begin      []int64                 // where each source is read from when none is committed
	committed  []kafka.CommittedOffset // of each source; Offset -1: none
	moves      []task.Step             // that led there from outside, until they are committed

	// made anew by open
	task     *task.Task
	taken    *task.Batch // no transaction has it yet; nothing is stepped meanwhile
	clock    decide.Clock
	sources  []source
	openings int  // how often it was opened: answers to an earlier one are not its own
	more     bool // the last step was ended by its budget
	drained  int  // events that waited and were let go, which no commit has yet
	stuck    bool // nothing goes on before a commit, or before more is fetched
	ticked   int64

	seen   *metrics.Task
	failed bool // not stepped any more
	gone   bool // not the worker's any more
}

// open makes the task from its committed rows and offsets. wall is the time.
func (o *owned) open(wall int64) error {
	starts := make([]task.Start, len(o.committed))
	for i, c := range o.committed {
		starts[i] = task.Start{Offset: c.Offset, Metadata: c.Metadata}
		if c.Offset < 0 {
			starts[i] = task.Start{Offset: o.begin[i], None: true}
		}
	}
	t, err := task.Open(o.plan, o.Partition, o.backend, task.Options{Partitions: o.partitions, Cache: o.cache}, starts)
	if err != nil {
		return err
	}
	o.task, o.taken = t, nil
	o.openings++
	o.ticked = 0
	for _, st := range o.moves {
		if _, err := t.Step(st); err != nil {
			return err
		}
	}
	o.more, o.drained, o.stuck = true, 0, false // a drain that was possible when it ended may be left
	o.sources = make([]source, len(starts))
	for i, s := range starts {
		o.sources[i] = source{TopicPartition: record.TopicPartition{Topic: o.plan.Sources[i], Partition: o.Partition}, next: s.Offset}
	}
	clock := t.Clock()
	if clock == 0 {
		clock = wall // it has no history, so nothing waits yet
	}
	o.clock = decide.NewClock(clock, t.Positions())
	return nil
}

// claims returns where the source partitions begin that have no committed offset.
func (o *owned) claims() (claims []kafka.CommittedOffset) {
	for i, c := range o.committed {
		if c.Offset < 0 {
			c.Offset, c.Metadata = o.begin[i], task.Metadata{Clock: o.task.Clock()}.String()
			claims = append(claims, c)
		}
	}
	return claims
}

// ready reports whether there is something to consume: of every source the next
// record, or the knowledge that there is none, since the smallest timestamp goes
// first.
func (o *owned) ready() bool {
	some := false
	for i := range o.sources {
		s := &o.sources[i]
		switch {
		case s.blocked:
		case len(s.fetched) > 0, s.next > o.task.Positions()[i]:
			some = true
		case s.stable > s.next:
			return false
		}
	}
	return some
}

// skip returns the step that passes over a batch that cannot be decoded, once
// everything before it is consumed; or false.
func (o *owned) skip() (task.Slice, bool) {
	for i := range o.sources {
		if s := &o.sources[i]; s.broken > 0 && len(s.fetched) == 0 && s.next == o.task.Positions()[i] {
			return task.Slice{Source: i, From: s.next, To: s.broken}, true
		}
	}
	return task.Slice{}, false
}

// did is what came of an attempt to step a task.
type did uint8

const (
	nothing did = iota // there was no reason to
	stepped            // and nothing is to be committed
	changed
)

// full reports whether the batch has as much of a drain as it may.
func (o *owned) full(drain int) bool { return o.drained >= drain }

// budget is that of a step which takes records if it can. An eighth of it goes into the
// drain; where less than that is left of what may, it has just enough for the records,
// of which one takes two.
func (o *owned) budget(drain int) int {
	n := 0
	for i := range o.sources {
		n += len(o.sources[i].input().Records)
	}
	return min(max(8*(drain-o.drained), 2*n+2*n/7+1), stepBudget)
}

// step steps the task once, if there is reason to. drain is how many events that
// waited may go into its batch; when they have, only records go on, and what goes with
// them. records and bytes are what it consumed, or let go of what waited: what makes its
// batch grow.
func (o *owned) step(wall int64, drain int) (what did, records, bytes int, err error) {
	if o.stuck || o.taken != nil {
		return nothing, 0, 0, nil
	}
	due, armed := o.task.Due()
	clock := o.clock.Advance(wall, due, armed)
	st := task.Step{Clock: clock, Wall: wall, Budget: o.budget(drain)}
	over, broken := o.skip()
	switch {
	case broken:
		st.Kind, st.Moves = task.StepSkip, []task.Slice{over}
	case o.ready():
		st.Kind, st.Inputs = task.StepRecords, make([]task.Input, len(o.sources))
		for i := range o.sources {
			st.Inputs[i] = o.sources[i].input()
		}
	case o.full(drain):
		return nothing, 0, 0, nil
	case o.more:
		st.Kind = task.StepMore
	case armed && due <= clock && o.ticked < clock:
		st.Kind = task.StepTick
	default:
		return nothing, 0, 0, nil
	}
	o.ticked = clock
	res, err := o.task.Step(st)
	if err != nil {
		return stepped, 0, 0, err
	}
	if broken {
		s := &o.sources[over.Source]
		s.next, s.broken = over.To, 0
	} else {
		o.more = res.More
	}
	o.drained += res.Left.Events
	o.stuck = o.full(drain) && !slices.ContainsFunc(res.Consumed, func(n int) bool { return n > 0 })
	records, bytes = res.Left.Events, res.Left.Bytes
	for i := range o.sources {
		s := &o.sources[i]
		records += res.Consumed[i]
		bytes += s.consume(res.Consumed[i])
		o.clock.Read(i, o.task.Positions()[i])
		switch {
		case res.Changed: // what did not fit may fit now
			o.clock.Unblock(i, wall)
			s.blocked = false
		case res.Paused[i]:
			o.clock.Block(i, wall)
			s.blocked = true
		}
	}
	if res.Changed {
		return changed, records, bytes, nil
	}
	return stepped, records, bytes, nil
}

// ahead takes what the next transaction has, once, and keeps it; nil: nothing.
func (o *owned) ahead() *task.Batch {
	if o.taken == nil {
		o.taken = o.task.Take()
	}
	return o.taken
}

// take takes what is to be committed.
func (o *owned) take() *task.Batch {
	o.drained, o.stuck = 0, false
	b := o.ahead()
	o.taken = nil
	return b
}

// commit gives the rows of a batch to the backend after its transaction was
// committed.
func (o *owned) commit(p *part) error {
	o.moves = nil
	if err := o.backend.Apply(p.batch.Puts, p.positions); err != nil {
		return &task.StateError{Task: o.task.Name(), Err: fmt.Errorf("writing committed rows: %w", err)}
	}
	o.task.Recycle(p.batch)
	o.committed = p.offsets
	return nil
}

// drop throws away what is fetched and stepped.
func (o *owned) drop() {
	o.sources, o.more, o.taken = nil, false, nil
}
