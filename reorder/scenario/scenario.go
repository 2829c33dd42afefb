package scenario

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
)

// A File is one parsed scenario file.
type File struct {
	Path  string
	Cases []Case
}

// A Case is a contract, the steps it lives through and what they must lead to.
type Case struct {
	ID       string
	From     string // the anchor the case is derived from
	Doc      string
	Line     int // in the file, from 1
	Contract policies.Contract
	Permute  bool // every permutation of the event steps must give Expect
	Steps    []Step
	Expect   Expect
}

// A Step is one thing that happens at a virtual time. Kind says which of the
// other fields is meant.
type Step struct {
	At         int64 // ms
	Kind       Kind
	Event      Event   // Deliver
	Generation int64   // Assign: the new owner generation
	Entity     string  // Redrive
	ID         string  // Fix
	Rebuild    Rebuild // RebuildEntity
}

// Kind is the kind of a step.
type Kind uint8

// Kinds of steps, with the key that writes each in a file.
const (
	Deliver       Kind = iota // ev: one delivered record
	Tick                      // tick: only advances time
	Crash                     // crash: the process dies and restarts
	Assign                    // assign: a new owner generation
	Redrive                   // redrive: an operator re-drives the letters of Entity
	Fix                       // fix: the poisonous event ID would now succeed
	RebuildEntity             // rebuild: a shadow rebuild from a log, its diff, swap and drain
	Flush                     // flush: end of input; the watermark is infinite
)

// An Event is one delivered record.
type Event struct {
	Entity      string // empty: absent
	HasSequence bool
	Sequence    int64  // an integer that int64 cannot hold is math.MaxInt64 or math.MinInt64
	ID          string // idempotency key; the parser fills in "<entity>-<sequence>"
	Class       string
	Version     int64
	EventTime   int64 // ms
	Epoch       int64
	Data        string

	Partition     int
	HasOffset     bool // otherwise the next unused offset of Partition
	Offset        int64
	HasGeneration bool // otherwise the current generation
	Generation    int64
	After         string // id of the causing event

	Fail   int        // retryable failures of the handler before it succeeds
	Poison bool       // the handler fails for good until Fix
	Sink   SinkFaults // of the event's effect
	Crash  CrashPoint
}

// SinkFaults are faults of the receiver of an event's effect.
type SinkFaults struct {
	LostAck int // times the effect is performed and its acknowledgement lost
	Down    int // times the effect is not performed
}

// CrashPoint is where the process dies while it handles an event. It restarts at once.
type CrashPoint string

// Crash points.
const (
	NoCrash     CrashPoint = ""
	BeforeState CrashPoint = "before_state" // nothing of the event was written
	AfterState  CrashPoint = "after_state"  // its atomic write is done, its effect is not sent
	AfterEffect CrashPoint = "after_effect" // its effect was sent, the outcome is not recorded
)

// A Rebuild rebuilds one entity from a log.
type Rebuild struct {
	Entity string
	Cutoff int64   // last when the rebuild began: for information
	Log    []Event // all of Entity
}

// An Entry is an event, or an entity, in one list of an Outcome.
type Entry struct {
	Entity string
	ID     string // of the event; of the entity in Parked and Rebuilds
	Note   string // the reason; "from 2" in Rebuilds; empty where the list has none
}

// String returns the entry as a scenario file writes it.
func (e Entry) String() string {
	if e.Note == "" {
		return e.ID
	}
	return e.ID + " " + e.Note
}

// A Span is the numbers From to To, both included. A hole may be as wide as numbers
// are, so that nothing counts its numbers out.
type Span struct{ From, To int64 }

// String returns "[2 3]" without the brackets, or "2..99" of a wide span.
func (s Span) String() string {
	const wide = 8
	if s.To-s.From >= wide || s.To-s.From < 0 {
		return fmt.Sprintf("%d..%d", s.From, s.To)
	}
	text := fmt.Sprint(s.From)
	for n := s.From; n < s.To; n++ {
		text += fmt.Sprint(" ", n+1)
	}
	return text
}

// An Outcome is what has become of everything delivered so far.
//
// Lists hold one Entry per delivery, except Applied, Compensated and Resolved
// (one per event), Parked (one per entity) and Rebuilds (one per request). All
// but Applied are multisets: their order says nothing. A letter that was
// re-driven is in Applied and Resolved, not in DLQ.
type Outcome struct {
	Applied     []Entry // in order of application
	Held        []Entry // waiting for an earlier or a causing event
	DLQ         []Entry // unresolved letters, with reason
	Dropped     []Entry // with reason
	Paused      []Entry // not consumed
	Retrying    []Entry // in local retry, or waiting for a look
	Fenced      []Entry
	Rebuilds    []Entry // requests
	Compensated []Entry
	Resolved    []Entry
	Parked      []Entry
	Unordered   []Entry // applied without their cause

	Holes   map[string][]Span // entity: numbers given up
	Effects map[string]int    // effect key: attempts
	Last    map[string]int64  // entity
	State   map[string]string // entity
	Commit  map[int]int64     // partition: the offset to read next after a restart

	Suppressed []Entry              // effect keys (in ID) that rebuilds did not send
	Diff       map[string][2]string // entity: state before and after a rebuild, where they differ

	Counts    map[int]policies.Counts // partition: dispositions of its deliveries
	Decisions []Decision              // in the order they were made
}

// A Decision says what was decided about an event, by which rule and why.
type Decision struct {
	Entity      string
	ID          string
	Rule        policies.Rule
	Disposition policies.Disposition
	Reason      policies.Reason // empty where the disposition has none
	Explanation string          // for people
}

// A Host is an implementation of the rules in the smallest system that can run
// a case: one task with its partitions, a store, a sink with a ledger, an
// operator. It is used by one goroutine.
type Host interface {
	// Do lets every timer due at or before step.At fire, then performs the step.
	// Times of successive steps never go backwards. An error means that the host
	// cannot perform the step, not that an event was refused.
	Do(step Step) error
	// Outcome returns what has become of everything so far. The caller may keep it.
	Outcome() (Outcome, error)
}

// NewHost makes the Host of a case. The contract is whole (see the package comment).
type NewHost func(policies.Contract) (Host, error)

// An Expect is the expected outcome of a case. Lists hold entries as written in
// the file; a nil one must be empty in the outcome.
type Expect struct {
	Only []string // nil: every field is compared; else the fields named here

	Applied, Held, DLQ, Dropped, Paused, Retrying, Fenced,
	Rebuilds, Compensated, Resolved, Parked, Unordered []string

	Holes   map[string][]int64
	Effects map[string]int    // nil: one attempt per event applied live and nothing else
	Last    map[string]int64  // only the named entities are compared
	State   map[string]string // only the named entities are compared
	Commit  map[int]int64     // only the named partitions are compared

	Suppressed []string             // nil: not compared
	Diff       map[string][2]string // nil: not compared
}
