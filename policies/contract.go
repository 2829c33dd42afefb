package policies

import "time"

// A Contract says how the events of one ordering scope (one entity key and one
// sequence space) are kept in order, and what happens to those that are early,
// late, duplicate, missing or poisonous.
//
// EventsFor and Because are mandatory; every other zero value means the default
// of the contract's Shape, which WithDefaults fills in. A Contract is a value:
// it is safe to copy and to share between goroutines as long as nobody writes
// its Classes map.
type Contract struct {
	// EventsFor names the entity and Because gives the reason: together they are
	// the sentence "events for EventsFor must be processed in order because Because".
	EventsFor string
	Because   string

	Shape   Shape   // what an event carries; default Delta, Snapshot if OrderBy is ByVersion
	OrderBy OrderBy // default BySequence, ByVersion if Shape is Snapshot
	Start   Start   // first sequence number of an entity; default StartAt(1)
	Reset   Reset   // what a greater producer epoch does; default ResetForbid

	Gap        Gap        // what an event beyond the next number does; default GapBuffer
	OnTimeout  OnTimeout  // what the hole timer does; default OnTimeoutPark, OnTimeoutSkip if Shape is Snapshot
	OnOverflow OnOverflow // what an event does that would exceed MaxHeld; default OnOverflowPause, OnOverflowSkip if OrderBy is ByEventTime

	MaxWait  time.Duration // hole timer and causal wait; default 30 s
	AutoWait bool          // the hole timer is estimated from how long past holes took to fill, from MinWait to MaxWait
	MinWait  time.Duration // the shortest wait of AutoWait; default 10 ms
	MaxHeld  int           // held events per entity; default 1000
	IDMemory int           // remembered ids per entity; default 16
	MaxHoles int           // ranges of holes, ahead and void numbers together, per entity; default 1000
	MaxDLQ   int           // letters per entity; default 10000
	MaxJump  int64         // a sequence number further than this above the highest is refused; default 1000000

	Retry  Retry  // of a handler that failed retryably, and of the looks of GapRetry; default 3 retries, 100 ms apart
	Buffer Buffer // whether held events survive a restart; default BufferDurable

	// OnVersionBackward says what happens to an event in sequence whose version is
	// smaller than the greatest version applied; default VersionCount. Sequence order only.
	OnVersionBackward OnVersionBackward

	Slack     time.Duration // event time only: how far the watermark trails; default 0
	MaxFuture time.Duration // event time only: how far ahead of the clock an event time may be; default 1 min

	Causal   bool // hold an event until the event of its causation id is applied
	MaxDepth int  // length of a chain of held causes; default 20

	// Class holds the policies of events whose class is not in Classes; a zero field
	// of a class in Classes inherits from it.
	Class   Class
	Classes map[string]Class
}

// A Class is the part of a Contract that may differ by an event's class.
type Class struct {
	Early     Early     // EarlyWait (default) follows the contract's Gap
	Late      Late      // an event in a hole that was given up; default LateReject, LateDrop if Shape is Snapshot
	Duplicate Duplicate // an id that is already decided; default DuplicateDrop
	Conflict  Conflict  // a number that another id has; default ConflictReject
	Poison    Poison    // an event that fails for good; default PoisonPark, PoisonSkip if Shape is Snapshot
	Effects   Effects   // which applied events request effects; default EffectsInOrder
}

// Retry bounds how often and how fast something is tried again.
type Retry struct {
	Max   int           // retries after the first attempt; negative means none
	Delay time.Duration // between attempts
}

// Shape says what one event carries.
type Shape string

// Shapes. A snapshot replaces the state, a delta changes it, a command asks for a change.
const (
	Snapshot Shape = "snapshot"
	Delta    Shape = "delta"
	Command  Shape = "command"
)

// OrderBy says which part of the order metadata orders the events of an entity.
type OrderBy string

// Orders.
const (
	BySequence  OrderBy = "sequence"
	ByVersion   OrderBy = "version"
	ByEventTime OrderBy = "event_time"
)

// Start is the first sequence number of an entity. The zero value is StartAt(1).
type Start struct {
	firstSeen bool
	set       bool
	at        int64
}

// StartAt declares that every entity starts at sequence number n.
func StartAt(n int64) Start { return Start{set: true, at: n} }

// StartFirstSeen takes the number of the first event seen of an entity as its start.
func StartFirstSeen() Start { return Start{set: true, firstSeen: true} }

// FirstSeen reports whether an entity starts at the first number seen.
func (s Start) FirstSeen() bool { return s.firstSeen }

// At returns the declared first number; 1 for the zero value.
func (s Start) At() int64 {
	if !s.set {
		return 1
	}
	return s.at
}

// Reset says what an event of a greater producer epoch does.
type Reset string

// Resets.
const (
	ResetForbid Reset = "forbid" // it is dead-lettered
	ResetEpoch  Reset = "epoch"  // it starts the entity's sequence again
)

// Gap says what an event does whose number is beyond the next one.
type Gap string

// Gap policies.
const (
	GapBuffer  Gap = "buffer"  // held until the missing ones come
	GapReject  Gap = "reject"  // dead-lettered
	GapRetry   Gap = "retry"   // looked at again every Retry.Delay
	GapRebuild Gap = "rebuild" // held, and a rebuild of the entity is requested
	GapApply   Gap = "apply"   // applied; the numbers it skipped become holes
)

// OnTimeout says what the hole timer does.
type OnTimeout string

// Timeout policies.
const (
	OnTimeoutPark    OnTimeout = "park"    // the held events are dead-lettered and the entity parked
	OnTimeoutSkip    OnTimeout = "skip"    // the missing numbers become holes
	OnTimeoutRebuild OnTimeout = "rebuild" // a rebuild is requested, holding goes on
	OnTimeoutHold    OnTimeout = "hold"    // an alarm, holding goes on
)

// OnOverflow says what an event does that would exceed MaxHeld.
type OnOverflow string

// Overflow policies.
const (
	OnOverflowPause OnOverflow = "pause" // it is not consumed; its partition stops
	OnOverflowSkip  OnOverflow = "skip"  // the missing numbers become holes; under event time the earliest held event is released
	OnOverflowPark  OnOverflow = "park"  // the entity is parked
)

// Buffer says where held events live.
type Buffer string

// Buffers.
const (
	BufferDurable  Buffer = "durable"  // in the order topic: their offsets can be committed
	BufferVolatile Buffer = "volatile" // in memory: their offsets are held back
)

// OnVersionBackward says what an event in sequence with a smaller version does.
type OnVersionBackward string

// Version policies.
const (
	VersionCount  OnVersionBackward = "count"  // applied and counted
	VersionReject OnVersionBackward = "reject" // dead-lettered as version_backward, then as its class's Poison says
)

// Early says what an event beyond the next number does.
type Early string

// Early policies.
const (
	EarlyWait  Early = "wait"  // as the contract's Gap says
	EarlyApply Early = "apply" // applied at once, ahead of its turn
)

// Late says what an event does whose number was given up.
type Late string

// Late policies. In all four the hole closes.
const (
	LateReject     Late = "reject"     // dead-lettered
	LateDrop       Late = "drop"       // dropped and counted
	LateRebuild    Late = "rebuild"    // absorbed by a rebuild of the entity, which is requested
	LateCompensate Late = "compensate" // handed to the compensation function
)

// Duplicate says what an event does whose id is already decided.
type Duplicate string

// Duplicate policies.
const (
	DuplicateDrop   Duplicate = "drop"   // dropped and counted
	DuplicateReject Duplicate = "reject" // dead-lettered as duplicate; leaves no letter in the entity and does not park
)

// Conflict says what an event does whose number belongs to another id.
type Conflict string

// Conflict policies.
const (
	ConflictReject Conflict = "reject" // dead-lettered as sequence_conflict
	ConflictPark   Conflict = "park"   // dead-lettered, and the entity is parked
)

// Poison says what an event does that fails for good.
type Poison string

// Poison policies.
const (
	PoisonPark Poison = "park" // dead-lettered, and the entity is parked
	PoisonSkip Poison = "skip" // dead-lettered; its number becomes a hole
)

// Effects says which applied events of a class request effects.
type Effects string

// Effect policies.
const (
	EffectsInOrder Effects = "in_order" // every event but a late one
	EffectsAlways  Effects = "always"   // late ones too
	EffectsNever   Effects = "never"
)
