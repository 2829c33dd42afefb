package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
)

// A Position is the place of an event in the order of its entity. Epochs that were
// opened are 1 or more, so the zero value is no position.
type Position struct {
	Epoch    int64
	Sequence int64
}

// A Source remembers what was given out. It is the caller's, and durable, except
// for Memory. Its methods are called by as many goroutines as call Stamp.
type Source interface {
	// Epoch returns the epoch that numbers are given out under; 0 if the source is
	// new, or has lost what it knew.
	Epoch(ctx context.Context) (int64, error)
	// OpenEpoch makes the epoch, which is greater than Epoch, the one that numbers
	// are given out under.
	OpenEpoch(ctx context.Context, epoch int64) error
	// Lookup returns the position that was recorded last for the entity, and the one
	// that was recorded for the id; zero where there is none.
	Lookup(ctx context.Context, entity, id string) (last, own Position, err error)
	// Record records the position of the id, durable when the event is. It fails with
	// an error that is ErrEpoch if the epoch of p is not the open one, and else ErrTaken
	// if p does not follow what was recorded last for the entity (another producer was
	// faster) or the id has a position already.
	Record(ctx context.Context, entity, id string, p Position) error
}

// ErrTaken says that a position, or an id, was recorded by somebody else meanwhile.
var ErrTaken = errors.New("producer: the number was given out meanwhile")

// ErrEpoch says that another epoch was opened since the Numberer was: Open it again.
var ErrEpoch = errors.New("producer: another epoch was opened meanwhile")

// ErrNoID says that an event has no id.
var ErrNoID = errors.New("producer: the event has no id: a retry of it could not be told from a new event")

// ErrNoEntity says that an event names no entity.
var ErrNoEntity = errors.New("producer: the event names no entity")

// Start is the first number of an entity in an epoch, as in the default contract.
const Start = 1

// A Numberer stamps events. It is immutable and safe for concurrent use.
type Numberer struct {
	source Source
	epoch  int64
}

// Open makes a Numberer that goes on under the epoch of the source. If the source
// has none, because it is new or was lost, it opens the epoch fresh, which must be
// greater than every epoch before: milliseconds of the wall clock, or the number of
// the producer's incarnation.
func Open(ctx context.Context, source Source, fresh int64) (*Numberer, error) {
	epoch, err := source.Epoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("producer: reading the epoch: %w", err)
	}
	if epoch == 0 {
		if fresh < 1 {
			return nil, fmt.Errorf("producer: opening an epoch: %d is less than 1", fresh)
		}
		if err := source.OpenEpoch(ctx, fresh); err != nil {
			return nil, fmt.Errorf("producer: opening epoch %d: %w", fresh, err)
		}
		epoch = fresh
	}
	return &Numberer{source: source, epoch: epoch}, nil
}

// Epoch returns the epoch that new numbers are given out under.
func (n *Numberer) Epoch() int64 { return n.epoch }

// Stamp returns m with epoch and sequence number: those that its id has, or the
// next of its entity. m must have Entity and ID. Where another producer was faster
// Stamp asks again. After an error the event may or may not have a number; stamping
// it again with the same id finds out.
func (n *Numberer) Stamp(ctx context.Context, m policies.Metadata) (policies.Metadata, error) {
	switch {
	case m.Entity == "":
		return m, ErrNoEntity
	case m.ID == "":
		return m, ErrNoID
	}
	for {
		p, err := n.position(ctx, m.Entity, m.ID)
		if errors.Is(err, ErrTaken) && ctx.Err() == nil {
			continue // every round somebody gets a number
		}
		if err != nil {
			return m, fmt.Errorf("producer: numbering event %q of %q: %w", m.ID, m.Entity, err)
		}
		m.Epoch, m.Sequence, m.HasSequence = p.Epoch, p.Sequence, true
		return m, nil
	}
}

func (n *Numberer) position(ctx context.Context, entity, id string) (Position, error) {
	last, own, err := n.source.Lookup(ctx, entity, id)
	if err != nil {
		return Position{}, err
	}
	if own != (Position{}) {
		return own, nil
	}
	p := Position{Epoch: n.epoch, Sequence: Start}
	if last.Epoch == n.epoch {
		p.Sequence = last.Sequence + 1
	}
	return p, n.source.Record(ctx, entity, id, p)
}
