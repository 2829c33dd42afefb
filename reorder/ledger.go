package reorder

import (
	"github.com/tidwall/btree"

	"github.com/streamrun/streamrun/policies"
)

// A ledger counts every delivery under exactly one disposition, per source, and
// knows the offsets that must not be committed yet. It balances after every call.
type ledger struct {
	durable bool // held events survive a restart
	counts  []policies.Counts
	pending []btree.Set[int64]
}

func newLedger(sources int, durable bool) *ledger {
	return &ledger{durable: durable, counts: make([]policies.Counts, sources), pending: make([]btree.Set[int64], sources)}
}

// column names a terminal disposition.
type column uint8

const (
	colApplied column = iota
	colDuplicate
	colDuplicateOfDLQ
	colSuperseded
	colLateDropped
	colDeadLettered
	colCompensated
	colAbsorbed
	colFenced
	colResolvedAgain
)

func (l *ledger) at(source int, c column) *int64 {
	n := &l.counts[source]
	switch c {
	case colApplied:
		return &n.Applied
	case colDuplicate:
		return &n.Duplicate
	case colDuplicateOfDLQ:
		return &n.DuplicateOfDLQ
	case colSuperseded:
		return &n.Superseded
	case colLateDropped:
		return &n.LateDropped
	case colDeadLettered:
		return &n.DeadLettered
	case colCompensated:
		return &n.Compensated
	case colAbsorbed:
		return &n.Absorbed
	case colFenced:
		return &n.Fenced
	default:
		return &n.ResolvedAgain
	}
}

// keeps reports whether a durable buffer keeps the event until it is decided.
func (l *ledger) keeps(e *Event) bool { return l.durable && e.kept }

// leave takes the event out of the disposition it has.
func (l *ledger) leave(e *Event) {
	n := &l.counts[e.Source]
	switch e.state {
	case stateFresh:
		n.Delivered++
	case stateHeld:
		n.Held--
		if !l.durable {
			l.pending[e.Source].Delete(e.Offset)
		}
	case stateRetrying:
		n.Retrying--
		if !l.keeps(e) {
			l.pending[e.Source].Delete(e.Offset)
		}
	case stateLetter:
		n.DeadLettered--
	case stateDone:
	}
}

// move gives the event another disposition that is not terminal, or a letter.
func (l *ledger) move(e *Event, to state) {
	l.leave(e)
	n := &l.counts[e.Source]
	e.state = to
	switch to {
	case stateHeld:
		n.Held++
		if !l.durable {
			l.pending[e.Source].Insert(e.Offset)
		}
	case stateRetrying:
		n.Retrying++
		if !l.keeps(e) {
			l.pending[e.Source].Insert(e.Offset)
		}
	case stateLetter:
		n.DeadLettered++
	case stateFresh, stateDone:
	}
}

// end gives the event its terminal disposition.
func (l *ledger) end(e *Event, c column) {
	l.leave(e)
	e.state = stateDone
	*l.at(e.Source, c)++
}

// lowest returns the lowest offset of the source that must not be committed yet.
func (l *ledger) lowest(source int) (int64, bool) { return l.pending[source].Min() }
