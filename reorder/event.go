package reorder

import (
	"strings"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// An Event is a delivered event that is kept: it waits, is being tried again, or
// has a letter. The sequencer makes it; the Held store that keeps it owns it.
type Event struct {
	topology.OrderEvent
	Number int64 // key among the held: the sequence number, or an arrival number in the other orders

	// Of a letter.
	Reason  policies.Reason
	Rule    policies.Rule
	Parks   bool  // the letter keeps the entity parked while it can be next
	Ordinal int64 // order of arrival among the letters of the entity

	hash    uint64 // of the id; 0 when the number is the id
	state   state
	waiting bool // held only until the entity is no longer busy, then decided again
	kept    bool // a durable buffer has its row until it is decided
	bare    bool // a letter that can never be next: its bytes are not kept

	// Local retry and looks.
	try      tryKind
	attempts int   // handler runs, or looks, so far
	due, arm int64 // when it is tried again; due of one that joined a drain: when it did

	// Bookkeeping of the machine.
	owner        *entity
	changed      bool // listed among the changed ones
	heldStored   bool // the order topic has its held row
	letterStored bool // the order topic has its letter row
	indexed      bool // in the machine's indexes of waiting events
}

// state is what became of a kept event so far.
type state uint8

const (
	stateFresh    state = iota // in hand, not counted yet
	stateHeld                  // waits for earlier ones, for its cause or for a watermark
	stateRetrying              // in local retry, or waiting for a look
	stateLetter                // has a letter
	stateDone                  // decided
)

// tryKind says what is tried again.
type tryKind uint8

const (
	tryNone       tryKind = iota
	tryOrder              // the handler, in order
	tryAhead              // the handler, ahead
	tryUnordered          // the handler, without the cause
	tryCompensate         // the compensation
	tryLook               // the gap
)

// own copies the strings that the event shares with the record it came with.
func (e *Event) own() {
	e.Entity = strings.Clone(e.Entity)
	e.ID = strings.Clone(e.ID)
	e.Causation = strings.Clone(e.Causation)
	e.Correlation = strings.Clone(e.Correlation)
	e.Class = strings.Clone(e.Class)
}

// position is the number of the event in its epoch, or noNumber.
func (e *Event) position() int64 {
	if !usable(&e.Metadata) {
		return noNumber
	}
	return e.Sequence
}

// usable reports whether the event has a sequence number that R0 lets pass.
func usable(m *policies.Metadata) bool {
	return m.HasSequence && m.Sequence >= 0 && m.Sequence <= maxSequence
}

// maxSequence is the greatest sequence number (R0).
const maxSequence = 1<<63 - 2

// earlier orders events by event time, sequence number and id (R17).
func earlier(a, b *Event) bool {
	if a.EventTime != b.EventTime {
		return a.EventTime < b.EventTime
	}
	if a.Sequence != b.Sequence {
		return a.Sequence < b.Sequence
	}
	if a.ID != b.ID {
		return a.ID < b.ID
	}
	if a.Entity != b.Entity {
		return a.Entity < b.Entity
	}
	return a.Number < b.Number
}
