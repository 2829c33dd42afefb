package task

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Step is one input of a task.
type Step struct {
	Kind   StepKind
	Clock  int64 // the task clock, milliseconds since the Unix epoch; never goes back
	Wall   int64 // the wall clock: what the task clock is behind after downtime; at least Clock
	Budget int   // decisions, about; a record is one at least, and what earlier inputs left takes an eighth
	// Inputs has, for each source partition, what follows its position; of StepRecords.
	Inputs  []Input
	Command topology.OrderCommand // of StepCommand
	Moves   []Slice               // of StepRewind, StepJump and StepSkip: each source goes on at To
	Facts   []Fact                // of a replay
}

// An Input is what was read of one source partition.
type Input struct {
	Records []record.Record
	Next    int64 // position after the records and what follows them unseen (control records)
	Cut     bool  // more records are known: the step ends when these are consumed
}

// A Result says what a step did.
type Result struct {
	Changed  bool  // there is something to commit
	More     bool  // the budget ended it: StepMore goes on
	Consumed []int // records per source; the others are to be offered again
	// Left has what earlier steps had left and this one saw to: events and their bytes.
	// The batch grows by them as by what is consumed.
	Left struct{ Events, Bytes int }
	// Paused has the sources whose next record does not fit yet. It is offered again
	// with every step; nothing is lost by waiting until another one changes something.
	Paused []bool
}

// Step consumes an input. The result's slices are valid until the next Step. An
// error ends the task: the record is named, nothing of it was applied.
func (t *Task) Step(s Step) (res Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			se, ok := r.(*StateError)
			if !ok {
				panic(r)
			}
			err = se
		}
		// A processor that was refused its own state has not failed; it is done for, as
		// the whole task is, whatever it made of the error.
		if t.slots.failure != nil {
			err = t.slots.failure
		}
		if state := (*StateError)(nil); errors.As(err, &state) {
			state.Task = t.name
		}
	}()
	t.clock = max(t.clock, s.Clock)
	t.wall = max(t.clock, s.Wall)
	t.budget, t.backlog, t.changed, t.more = s.Budget, t.share(s.Budget), false, false
	t.facts, t.left = nil, Result{}.Left
	for _, f := range s.Facts {
		if t.facts == nil {
			t.facts = make(map[fact]string)
		}
		t.facts[fact{f.Source, f.Offset, f.Attempt}] = f.Node
	}
	clear(t.paused)
	opened := t.reopened
	if opened {
		t.steps = append(t.steps, JournalStep{Kind: StepOpen})
	}
	t.steps = append(t.steps, JournalStep{Kind: s.Kind, Clock: t.clock, Wall: t.wall, Budget: s.Budget})
	res.Consumed = make([]int, len(t.positions))
	if s.Kind.moves() {
		t.move(s.Kind, s.Moves)
		t.reopened = false
		res.Changed, res.Paused = true, t.paused
		return res, nil
	}
	if t.machine != nil {
		t.machine.Tick(t.clock)
		t.event = nil
		t.decide()
	}
	switch s.Kind {
	case StepRecords:
		err = t.records(s.Inputs, res.Consumed)
	case StepCommand:
		err = t.command(s.Command)
	case StepMore, StepTick:
	default:
		err = fmt.Errorf("task %s: unknown kind of step %d", t.name, s.Kind)
	}
	res.Changed, res.More, res.Paused, res.Left = t.changed, t.more, t.paused, t.left
	switch {
	case t.changed:
		t.reopened = false
	case opened:
		t.steps = t.steps[:len(t.steps)-2]
	default:
		t.steps = t.steps[:len(t.steps)-1]
	}
	return res, err
}

func (t *Task) command(c topology.OrderCommand) error {
	if t.machine == nil {
		return fmt.Errorf("task %s: command %q: the sub-topology has no order", t.name, c.Kind)
	}
	if err := t.machine.Command(c, t.clock); err != nil {
		return fmt.Errorf("task %s: %w", t.name, err)
	}
	st := &t.steps[len(t.steps)-1]
	st.Entity, st.Word = c.Entity, c.Kind
	t.decide()
	return nil
}

// records consumes records: the one with the smallest timestamp first, then the
// source, then the offset.
func (t *Task) records(inputs []Input, consumed []int) error {
	for i := range t.ahead {
		t.ahead[i].to = 0
	}
	for t.budget > 0 {
		source := t.first(inputs, consumed)
		if source < 0 {
			break
		}
		if t.stateful {
			t.expect(source, inputs[source].Records, consumed[source])
		}
		rec := &inputs[source].Records[consumed[source]]
		if err := t.consume(source, rec); err != nil {
			return err
		}
		if t.event != nil && !t.decided { // it waits for what is left of its entity
			t.more = true
			break
		}
		if t.paused[source] { // not consumed: a replay, which is not offered it, must spend as much
			continue
		}
		t.budget--
		consumed[source]++
		t.streamTime = max(t.streamTime, rec.Timestamp)
		t.changed = true
		if inputs[source].Cut && consumed[source] == len(inputs[source].Records) {
			t.more = true // which record is next cannot be said without what was cut off
			break
		}
	}
	for i, in := range inputs {
		to := t.positions[i]
		switch n := consumed[i]; {
		case n == len(in.Records) && in.Next > to:
			to = in.Next
		case n > 0:
			to = in.Records[n-1].Offset + 1
		}
		if consumed[i] > 0 {
			st := &t.steps[len(t.steps)-1]
			st.Slices = append(st.Slices, Slice{i, t.positions[i], to})
		}
		t.positions[i] = to
		if consumed[i] < len(in.Records) && !t.paused[i] {
			t.more = true
		}
	}
	return nil
}

// first returns the source whose record is next, or -1.
func (t *Task) first(inputs []Input, consumed []int) int {
	best := -1
	for i := range inputs {
		if consumed[i] == len(inputs[i].Records) || t.paused[i] {
			continue
		}
		if best < 0 || inputs[i].Records[consumed[i]].Timestamp < inputs[best].Records[consumed[best]].Timestamp {
			best = i
		}
	}
	return best
}

// consume gives one record to its source's handler and sees to what that decides.
func (t *Task) consume(source int, rec *record.Record) error {
	t.raw, t.source, t.hand = rec, source, nil
	t.event, t.decided, t.passing, t.applying = nil, false, false, false
	t.failed, t.where = nil, nil
	saved := t.savepoint()
	t.run(source)
	if t.event != nil { // an order has seen to it
		return nil
	}
	c := &t.counts[source]
	if t.failed == nil {
		c.Delivered++
		c.Applied++
		t.decisions.add(tallyApplied, policies.NoRule)
		return nil
	}
	t.rollback(saved)
	if t.plan.order != nil && t.ordered(source) {
		t.failure = failure{source, rec.Offset, 1, t.nodeName(source), t.failed}
		t.event = &topology.OrderEvent{Source: source, Offset: rec.Offset, Timestamp: rec.Timestamp, ReadAt: t.wall}
		t.machine.Refuse(t.event, policies.ReasonUndecodable)
		t.decide()
		return nil
	}
	return &StopError{Task: t.name, At: t.at(), Node: t.nodeName(source), Err: t.failed}
}

// ordered reports whether the records of a source go to the order.
func (t *Task) ordered(source int) bool {
	p := t.plan.node.Parents[0]
	for len(p.Parents) > 0 {
		p = p.Parents[0]
	}
	return p == t.plan.sources[source]
}

// run calls a source's handler on the record in hand; a panic in user code becomes
// the failure of the event.
func (t *Task) run(source int) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, ok := r.(*StateError); ok || (t.event != nil && !t.applying) {
			panic(r) // not the user's
		}
		t.failed = fmt.Errorf("panic: %v", r)
		if t.applying && t.event != nil && !t.passing {
			t.Applied()
		}
	}()
	t.handlers[source]()
}

// share is the part of a step's budget that goes into what earlier inputs left: an
// eighth, however much that is, so that the records of others do not wait for it.
// Entities that act on each other wait for all of it.
func (t *Task) share(budget int) int {
	if t.machine == nil || t.machine.Together() {
		return budget
	}
	return (budget + 7) / 8
}

// drainAhead is how many more decisions go into the backlog for a record that joins it,
// so that it becomes smaller however fast its entity's records come.
const drainAhead = 2

// decide does what the machine says until it has nothing more to say, or until the
// budget, or the part of it that goes into the backlog, is spent. It answers true when
// the record in hand is to be applied.
func (t *Task) decide() bool {
	for {
		backlog := t.backlog > 0 && t.budget > 0
		// What is decided goes into this batch: a letter and its mark are one commit.
		if !backlog && (t.event == nil || t.decided) && t.machine.Settled() {
			t.more = t.more || t.machine.Owes()
			return false
		}
		d := t.machine.Next(backlog)
		if d == nil {
			return false
		}
		inHand := t.event != nil && d.Event == t.event
		if d.Kind != topology.DecidePause {
			t.budget--
			t.changed = true
		}
		switch {
		case !inHand:
			t.backlog--
			if d.Event != nil {
				t.left.Events++
				t.left.Bytes += len(d.Event.Payload)
			}
		case d.Kind == topology.DecideHold && t.backlog <= 0:
			t.backlog = drainAhead
		}
		switch d.Kind {
		case topology.DecideApply:
			if node, ok := t.facts[fact{d.Event.Source, d.Event.Offset, d.Attempt}]; ok {
				t.note(Fact{d.Event.Source, d.Event.Offset, d.Attempt, node})
				t.failure = failure{d.Event.Source, d.Event.Offset, d.Attempt, node, nil}
				t.machine.Outcome(topology.OutcomeRetryable)
				if inHand { // as Applied goes on in the live task
					t.decided = true
					continue
				}
				break
			}
			t.begin(d)
			if inHand {
				t.decided = true
				return true
			}
			t.applyKept(d)
		case topology.DecideCompensate:
			t.begin(d)
			t.failed = errors.New("there is no compensation function")
			t.finish()
		case topology.DecideDeadLetter:
			t.decisions.add(tallyDeadLettered, d.Rule)
			t.letter(d)
		case topology.DecidePause:
			t.paused[d.Event.Source] = true
		case topology.DecideAlarm, topology.DecideRequestRebuild:
			t.alarm(d)
		case topology.DecideHold:
			t.decisions.add(tallyHeld, d.Rule)
		case topology.DecideDrop:
			t.decisions.add(tallyDropped, d.Rule)
		case topology.DecideFence:
			t.decisions.add(tallyFenced, d.Rule)
		case topology.DecideAbsorb:
			t.decisions.add(tallyAbsorbed, d.Rule)
		case topology.DecideRetry:
			if d.Event != nil { // else it is a gap that is looked at again
				t.decisions.add(tallyRetrying, d.Rule)
			}
		case topology.DecideArm, topology.DecideResolve, topology.DecidePark, topology.DecideUnpark, topology.DecideSkip:
		}
		t.decided = t.decided || inHand
	}
}

// begin starts an apply with a savepoint.
func (t *Task) begin(d *topology.Decision) {
	t.applying, t.decision, t.failed, t.where = true, d, nil, nil
	if d.Entity != nil {
		t.hand = slotOf(d.Entity)
	}
	t.point = t.savepoint()
}

// Applied implements graph.Env: the record in hand went through.
func (t *Task) Applied() {
	t.finish()
	t.decide()
}

// applyKept applies an event that waited: its record is decoded and goes through
// the nodes from its source on.
func (t *Task) applyKept(d *topology.Decision) {
	raw, source := t.raw, t.source
	rec, err := decodePayload(d.Event.Payload)
	if err != nil {
		panic(&StateError{Err: err})
	}
	rec.Offset = d.Event.Offset
	t.raw, t.source, t.passing = &rec, d.Event.Source, true
	t.run(t.source)
	t.passing = false
	// The record in hand is back before the outcome: the machine may decide to keep it then.
	t.raw, t.source = raw, source
	t.finish()
}

// finish tells the machine how the apply ended, and takes back what a failed one did.
func (t *Task) finish() {
	outcome := topology.OutcomeDone
	if t.failed != nil {
		t.rollback(t.point)
		ev := t.decision.Event
		t.failure = failure{ev.Source, ev.Offset, t.decision.Attempt, t.nodeName(ev.Source), t.failed}
		outcome = topology.OutcomePoison
		if topology.IsRetryable(t.failed) {
			outcome = topology.OutcomeRetryable
			t.note(Fact{ev.Source, ev.Offset, t.decision.Attempt, t.nodeName(ev.Source)})
		}
	}
	if outcome == topology.OutcomeDone {
		done := tallyApplied
		if t.decision.Kind == topology.DecideCompensate {
			done = tallyCompensated
		}
		t.decisions.add(done, t.decision.Rule)
	}
	t.applying = false
	t.machine.Outcome(outcome)
}

// note adds a fact to the step in hand.
func (t *Task) note(f Fact) {
	st := &t.steps[len(t.steps)-1]
	st.Facts = append(st.Facts, f)
}

// A savepoint is how far the batch was when an event began.
type savepoint struct{ outputs int }

func (t *Task) savepoint() savepoint {
	t.slots.begin()
	return savepoint{len(t.outputs)}
}

func (t *Task) rollback(s savepoint) {
	t.slots.rollback()
	t.outputs = t.outputs[:s.outputs]
}

// at names the record in hand.
func (t *Task) at() string {
	return fmt.Sprintf("%s-%d@%d", t.plan.Sources[t.source], t.partition, t.raw.Offset)
}

// nodeName names the node that failed.
func (t *Task) nodeName(source int) string {
	if t.where == nil {
		return t.plan.sources[source].Name
	}
	return t.where.Name
}

// A StopError says that a record failed where no contract and no policy says what
// to do: the task stops in front of it.
type StopError struct {
	Task string
	At   string // topic-partition@offset
	Node string
	Err  error
}

// Error implements error.
func (e *StopError) Error() string {
	return fmt.Sprintf("task %s: %s: node %q: %v; fix the handler or the record and start again, or put the events in order behind a contract that dead-letters them", e.Task, e.At, e.Node, e.Err)
}

// Unwrap returns the cause.
func (e *StopError) Unwrap() error { return e.Err }
