package reorder

import (
	"errors"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// Options are what InOrder has beside the contract. The zero value reads the order
// metadata from the CloudEvents headers of the record, with the record's key as the
// entity.
type Options[K, V any] struct {
	// Metadata fills in the order metadata of a record. m.Entity left empty means the
	// record's key. An error dead-letters the record, with the error's text in the
	// letter, as policies.ReasonInvalidMetadata or for the reason of a
	// *policies.RefusedError. Nil reads the headers.
	Metadata func(r topology.Record[K, V], m *policies.Metadata) error
	// Headers names the headers; empty fields have the CloudEvents names.
	Headers policies.HeaderNames
	// Scope names the sequence space in the headers; empty: any.
	Scope string
	// DeadLetters is the topic of the letters; empty: <app>-<name>-dlq. It has as
	// many partitions as the source.
	DeadLetters string
	// Was is the name that the order had when its state began, if it was renamed since:
	// its topics keep that name, for as long as the app lives. Empty: it was not.
	Was string
}

// InOrder applies the events of each entity in order, as the contract says. What
// follows it in the topology sees an event when its turn has come, and once.
// The name, or what it was at first, is the identity of the order's state.
func InOrder[K, V any](s *topology.Stream[K, V], name string, contract policies.Contract, o Options[K, V]) *topology.Stream[K, V] {
	codec, err := policies.NewHeaderCodec(o.Headers, o.Scope)
	return topology.Ordered(s, topology.OrderSpec[K, V]{
		Name: name, Contract: contract, Order: New(contract), DeadLetters: o.DeadLetters, Was: o.Was, Err: err,
		Metadata: func(r *topology.Record[K, V], value []byte, m *policies.Metadata) error {
			if o.Metadata != nil {
				return o.Metadata(*r, m)
			}
			return policies.ReadHeaders(codec, m, r.Headers, value)
		},
	})
}

var errTombstone = errors.New("reorder: a tombstone has no value that could carry a sequence number")

// BySequence is InOrder for events that carry their sequence number in the value
// and whose entity is the record's key.
func BySequence[K, V any](s *topology.Stream[K, V], name string, contract policies.Contract, sequence func(V) int64) *topology.Stream[K, V] {
	return InOrder(s, name, contract, Options[K, V]{
		Metadata: func(r topology.Record[K, V], m *policies.Metadata) error {
			if r.Tombstone {
				return errTombstone
			}
			m.HasSequence, m.Sequence = true, sequence(r.Value)
			return nil
		},
	})
}
