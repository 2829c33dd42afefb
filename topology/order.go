package topology

import "github.com/streamrun/streamrun/policies"

// An Order keeps the events of a source in order per entity before any processor
// sees them. reorder.InOrder makes one; a task drives it. The interface stands
// here so that the task knows orders without importing the one that implements them.
type Order interface {
	// Contract returns the contract with its defaults.
	Contract() policies.Contract
	// NewMachine makes the state machine of one task with so many source partitions.
	NewMachine(host OrderHost, sources int) OrderMachine
	// AppendEntityKey appends the key of an entity's row in the order topic to dst.
	AppendEntityKey(dst []byte, entity string) []byte
	// EntityOf returns the entity whose row the key of the order topic names, or
	// false: a row of kind task, held or letter.
	EntityOf(key []byte) (entity []byte, ok bool)
}

// OrderHost is what a machine needs of the task that drives it.
type OrderHost interface {
	// Entity returns the entity's slot, loaded from the store or new; never nil. It
	// is for the slow paths (Restore, Command, a cause): a record comes with its slot.
	// The pointer stays valid as long as the machine is not Idle about it.
	Entity(id string) *Entity
	// Dirty says that the entity's row changed since the last Changes. It is one that
	// Entity gave, or OrderMachine.Record, and no other.
	Dirty(e *Entity)
	// Payload returns the bytes of the event in hand for keeping: held or in a letter.
	// It is called only while an event offered by OrderMachine.Record is undecided.
	Payload(ev *OrderEvent) []byte
}

// An Entity is the slot of one entity in a task: its order row and, in the task's
// own part, the values of the stores that follow it. The task owns the slot; the
// machine owns Row.
type Entity struct {
	ID     string
	Row    any    // the machine's decoded row, nil until the machine has decoded Stored
	Stored []byte // the row as it was stored, nil when there is none
}

// An OrderEvent is one delivered record as a machine sees it.
type OrderEvent struct {
	policies.Metadata
	Source    int    // index of the source partition in the task
	Offset    int64  // of the record
	Timestamp int64  // of the record, milliseconds since the Unix epoch
	ReadAt    int64  // wall-clock time at which the record was read; a record is from the future beyond it (R17)
	Payload   []byte // what OrderHost.Payload gave; nil for the event in hand
}

// DecisionKind says what a decision asks the task to do.
type DecisionKind uint8

// Kinds of decisions. After DecideApply and DecideCompensate the task must call
// OrderMachine.Outcome before it asks for the next decision; the others inform,
// and their bookkeeping is done inside the machine.
const (
	DecideApply          DecisionKind = iota // run the handler on the event
	DecideHold                               // the event waits for earlier ones, or for its cause
	DecideDrop                               // the event is dropped; Reason says why
	DecideDeadLetter                         // publish the event to the dead-letter topic; Reason says why
	DecideCompensate                         // hand the event to the compensation function
	DecideRetry                              // the handler runs again at Due; or the gap is looked at again at Due
	DecidePause                              // the event is not consumed; its partition stops
	DecideAlarm                              // a hole stays open past its wait
	DecideRequestRebuild                     // a rebuild of the entity from sequence From is asked for
	DecideArm                                // the hole timer is armed for Due
	DecideFence                              // the event belongs to an older owner; nothing is written
	DecideResolve                            // the letter of the event is resolved, the apply came before
	DecideAbsorb                             // the event is taken up by a requested rebuild
	DecidePark                               // the entity is parked
	DecideUnpark                             // the entity is no longer parked
	DecideSkip                               // the numbers From to To become holes
)

// A Decision is one step of what a machine made of an input.
type Decision struct {
	Kind     DecisionKind
	Rule     policies.Rule
	Reason   policies.Reason
	Event    *OrderEvent // the event decided about; nil for DecideAlarm, DecideArm, DecidePark, DecideUnpark, DecideSkip
	Entity   *Entity     // nil only where the event has no entity
	Mode     ApplyMode   // of DecideApply
	Attempt  int         // of DecideApply and DecideRetry: 1 for the first
	Due      int64       // of DecideRetry and DecideArm
	From, To int64       // of DecideRequestRebuild and DecideSkip
	Blocker  int64       // of DecideHold: the number (or, causal, 0) it waits for
}

// ApplyMode says how an applied event stands in its order.
type ApplyMode uint8

// Apply modes.
const (
	ApplyInOrder   ApplyMode = iota // next in sequence, or any apply of the other orders
	ApplyAhead                      // early=apply: before its turn
	ApplyUnordered                  // its cause did not come in time
)

// ApplyOutcome is how an apply ended.
type ApplyOutcome uint8

// Outcomes.
const (
	OutcomeDone ApplyOutcome = iota
	OutcomeRetryable
	OutcomePoison
)

// An OrderMachine is the ordering state of one task. It is a function of its
// inputs: no clock, goroutine, I/O or map-order dependence. It is not safe for
// concurrent use.
//
// The task offers one input (Record, Tick, Command), then calls Next until it
// answers false, or stops early (a budget) and comes back later: what is left
// stays in the machine, and another record may be offered meanwhile.
type OrderMachine interface {
	// Restore takes one stored row of kind task, held or letter back, key and value
	// as Changes gave them; entity rows come through OrderHost.Entity. Restored ends
	// it: counts are the totals of the last commit; what was volatile is counted as
	// lost; a drain that is possible is pending.
	Restore(key, value []byte) error
	Restored(counts []policies.Counts) error

	// Touch brings what the machine keeps of an entity into the processor's cache: the
	// next input may be about it. It changes nothing.
	Touch(e *Entity)
	// Record offers a delivered record of an entity; entity is nil when the record
	// names none (R0). The machine keeps neither ev nor what it points to: what must
	// outlive the decision it copies, with OrderHost.Payload. now is the task clock
	// in milliseconds.
	Record(entity *Entity, ev *OrderEvent, now int64)
	// Tick fires the timers due at or before now, in time order. Every step starts with one.
	Tick(now int64)
	// Command offers a command; an unknown kind or entity is an error.
	Command(c OrderCommand, now int64) error
	// Refuse counts a delivered record that has no metadata (ReasonUndecodable and
	// the like) as a letter of no entity; Next then hands out its DecideDeadLetter.
	Refuse(ev *OrderEvent, reason policies.Reason)

	// Next returns the next decision, or nil. It is valid until the following call of
	// Next or Outcome, and until more is offered. Without backlog nothing that earlier
	// inputs left is gone on with: only the record offered last is decided, if it does
	// not have to wait for what is left of its entity. One that has to is to be offered
	// again; nothing has changed.
	Next(backlog bool) *Decision
	// Owes reports whether something is left of earlier inputs.
	Owes() bool
	// Together reports whether entities act on each other, so that everything that is
	// left comes before the next record.
	Together() bool
	// Settled reports whether everything that is decided has been handed out. The task
	// stops early, and takes a batch, only then.
	Settled() bool
	// Outcome ends the apply or compensation that Next handed out last.
	Outcome(o ApplyOutcome)

	// Idle reports whether the machine needs nothing of the entity but its stored row,
	// so that the task may forget the slot, once the row is stored, and load it again.
	Idle(e *Entity) bool

	// Pending returns the lowest offset of the source that must not be committed yet
	// although it was consumed (volatile, retrying), or false.
	Pending(source int) (int64, bool)
	// Paused reports whether the record offered last was not consumed. The task
	// offers it again after every later step that decided something.
	Paused() bool
	// NextDue returns when the earliest timer is due, or false.
	NextDue() (int64, bool)
	// Gaps returns how many entities wait for a missing number under a hole timer,
	// and since when the one does that waits longest, in time of the task clock.
	Gaps() (open int, since int64)
	// Counts returns the disposition totals per source partition.
	Counts() []policies.Counts

	// Position returns the epoch, the last sequence number and the greatest version
	// of an entity, for readers of its changelog.
	Position(e *Entity) (epoch, sequence, version int64)

	// Changes hands out every row of kind task, held and letter that changed since
	// the last call, in key order; a nil value deletes. Entity rows are encoded with AppendRow.
	Changes(put func(key, value []byte))
	// AppendRow appends the encoded row of an entity to dst: nothing when the row is
	// not worth storing.
	AppendRow(dst []byte, e *Entity) []byte
}

// OrderCommand is an operator's word to a machine.
type OrderCommand struct {
	Kind   string // "redrive"
	Entity string
}
