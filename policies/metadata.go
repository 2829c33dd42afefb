package policies

// Metadata is the order metadata of one event.
//
// Entity, Sequence and Epoch place the event; ID makes it the same event when it
// is delivered again. Times are milliseconds since the Unix epoch, 0 when absent.
// The zero value is an event without usable metadata (rule R0).
type Metadata struct {
	Entity      string // entity id
	HasSequence bool   // whether Sequence was given
	Sequence    int64  // per entity and epoch
	Version     int64  // entity version after the event; 0 when absent
	Epoch       int64  // producer epoch (incarnation)
	EventTime   int64  // when it happened
	ProducedAt  int64  // when it was produced
	ID          string // idempotency key; empty: derived from entity, epoch and sequence
	Causation   string // id of the causing event
	Correlation string // id of the business transaction
	Class       string // event class
}
