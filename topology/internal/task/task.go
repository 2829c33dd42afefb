package task

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/graph"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Task is the state machine of one sub-topology and partition. Open makes one; it
// is used by one goroutine.
type Task struct {
	plan      *Plan
	partition int32
	name      string
	options   Options
	slots     *slots
	machine   topology.OrderMachine // nil without an order
	handlers  []func()              // per source
	widths    []int32               // by index of a sink: partitions of its topic, 0 before they are needed

	// progress
	positions  []int64           // next offset to read, per source
	looked     []int64           // per source: records before it were looked at for strays
	counts     []policies.Counts // of records that no order sees
	clock      int64
	wall       int64 // of the step in hand
	streamTime int64
	commit     int64 // number of the last Take
	reopened   bool  // the next journalled step follows an Open

	// the record in hand
	raw     *record.Record
	source  int
	hand    *slot
	event   *topology.OrderEvent // offered, nil before
	decided bool                 // event has its decision
	passing bool

	// the apply in hand
	applying bool
	decision *topology.Decision
	failed   error
	where    *graph.Node // that failed
	point    savepoint   // where it began
	failure  failure     // the last one

	// the step in hand
	budget  int
	backlog int // of the budget, what may still go into what earlier inputs left
	left    struct{ Events, Bytes int }
	changed bool
	more    bool
	paused  []bool // per source
	facts   map[fact]string

	// what the records to come need
	stateful bool    // they need anything
	ahead    []ahead // per source
	touched  int

	// since the last Take
	outputs   []record.Output
	letters   []record.Output
	alarms    []Alarm
	decisions tally
	strays    Strays
	arena     arena
	pool      [][]byte
	spare     []lists
	steps     []JournalStep
	scratch   []byte
	key       []byte
}

type fact struct {
	source  int
	offset  int64
	attempt int
}

// Options are what a task must know of its surroundings.
type Options struct {
	// Partitions returns the number of partitions of a topic that the task reads or
	// writes; of one that it reads 0 says that nobody knows.
	Partitions func(topic string) int32
	// Cache bounds the bytes of state that stay decoded when they are not in use; 0:
	// all of it stays, as is right where the backend has it in memory too.
	Cache int
}

// A Start is what the group has committed for one source partition.
type Start struct {
	Offset   int64 // next to read; where none is committed, the oldest
	Metadata string
	None     bool // none is committed
}

// Open makes a task from the committed rows of its backend and the committed
// offsets of its source partitions, which are in the order of Plan.Sources. Starts
// that disagree are a *MovedError.
func Open(p *Plan, partition int32, backend statestore.Backend, o Options, starts []Start) (*Task, error) {
	n := len(p.Sources)
	t := &Task{
		plan: p, partition: partition, name: topology.Task(p.Sub.Name, partition), options: o,
		slots:     newSlots(backend, len(p.Sub.Stores), o.Cache),
		positions: make([]int64, n), looked: make([]int64, n), counts: make([]policies.Counts, n), paused: make([]bool, n),
		stateful: p.order != nil || len(p.Sub.Stores) > 0, ahead: make([]ahead, n),
		widths: make([]int32, 1+slices.MaxFunc(p.Sub.Nodes, func(a, b *graph.Node) int { return a.Index - b.Index }).Index),
	}
	t.arena.pool = &t.pool
	m, counts, err := agree(t.name, p.Sources, partition, starts)
	if err != nil {
		return nil, err
	}
	t.commit, t.clock, t.streamTime, t.reopened = m.Commit, m.Clock, m.StreamTime, m.Commit > 0
	for i, s := range starts {
		t.positions[i] = s.Offset
	}
	if p.order != nil {
		t.machine = p.order.NewMachine(host{t}, n)
		prefix := []byte{statestore.KindOrder}
		err := backend.Scan(prefix, func(key, row []byte) error { return t.machine.Restore(key[1:], row) })
		if err == nil {
			err = t.machine.Restored(counts)
		}
		if err != nil {
			return nil, fmt.Errorf("restoring the order: %w", &StateError{t.name, err})
		}
	} else {
		copy(t.counts, counts)
	}
	if err := t.wire(); err != nil {
		return nil, err
	}
	return t, nil
}

// wire makes the handlers of the nodes, last ones first, since a node is given the
// handlers of those behind it.
func (t *Task) wire() error {
	nodes := t.plan.Sub.Nodes
	handlers := make(map[*graph.Node]any, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		next := make([]any, len(n.Next))
		for j, m := range n.Next {
			next[j] = handlers[m]
		}
		h, err := n.Wire(t, next)
		if err != nil {
			return fmt.Errorf("task %s: making %q: %w", t.name, n.Name, err)
		}
		handlers[n] = h
	}
	for _, n := range t.plan.sources {
		t.handlers = append(t.handlers, handlers[n].(func()))
	}
	return nil
}

// Name returns the name of the task, as in "totals_3".
func (t *Task) Name() string { return t.name }

// Positions returns the next offset to read of each source partition. The slice is
// the task's.
func (t *Task) Positions() []int64 { return t.positions }

// Clock returns the task clock.
func (t *Task) Clock() int64 { return t.clock }

// Due returns when the earliest timer fires, in task time, or false.
func (t *Task) Due() (int64, bool) {
	if t.machine == nil {
		return 0, false
	}
	return t.machine.NextDue()
}

// Gaps returns how many entities wait for a missing number, and since when, in task
// time, the one does that waits longest.
func (t *Task) Gaps() (open int, since int64) {
	if t.machine == nil {
		return 0, 0
	}
	return t.machine.Gaps()
}

// Dispositions returns the totals per source partition.
func (t *Task) Dispositions() []policies.Counts {
	totals := make([]policies.Counts, len(t.counts))
	copy(totals, t.counts)
	if t.machine != nil {
		for i, c := range t.machine.Counts() {
			totals[i] = totals[i].Add(c)
		}
	}
	return totals
}

// host is the task as its machine sees it.
type host struct{ t *Task }

// Entity implements topology.OrderHost.
func (h host) Entity(id string) *topology.Entity {
	sl, err := h.t.slots.get([]byte(id))
	if err != nil {
		panic(err) // Step returns it: the calls of a machine have no errors
	}
	return &sl.Entity
}

// Dirty implements topology.OrderHost.
func (h host) Dirty(e *topology.Entity) {
	sl := slotOf(e)
	sl.rowDirty = true
	h.t.slots.mark(sl)
	h.t.changed = true // without a decision too: the end of a drain
}

// Payload implements topology.OrderHost.
func (h host) Payload(*topology.OrderEvent) []byte {
	h.t.scratch = appendPayload(h.t.scratch[:0], h.t.raw)
	return append([]byte(nil), h.t.scratch...)
}

// A StateError says that a backend failed, or gave what is no state. The task is done for, with everything since the last Take; another one may be opened
// from a backend that is whole.
type StateError struct {
	Task string
	Err  error
}

// Error implements error.
func (e *StateError) Error() string {
	return fmt.Sprintf("task %s: its state: %v", e.Task, e.Err)
}

// Unwrap returns the cause.
func (e *StateError) Unwrap() error { return e.Err }
