package topology

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/graph"
)

// An OrderSpec is what Ordered needs; reorder.InOrder fills it in.
type OrderSpec[K, V any] struct {
	Name        string
	Was         string            // its name when its state began; empty: Name
	Contract    policies.Contract // as declared, without defaults
	Order       Order
	DeadLetters string // topic; empty: Names.DeadLetters
	Err         error  // what is wrong with the declaration, for Build
	// Metadata fills in the order metadata of a record. value are the record's bytes.
	// An empty entity means the record's key; an error that the record has no usable
	// metadata and is dead-lettered for policies.RefusedFor(error).
	Metadata func(r *Record[K, V], value []byte, m *policies.Metadata) error
}

// Ordered adds a node that keeps the events of a stream in order per entity;
// reorder.InOrder is the way to call it.
//
// Only stateless nodes that keep the key may stand between the source and the order:
// an event that waited is decoded and goes through them once more when its turn comes.
func Ordered[K, V any](s *Stream[K, V], o OrderSpec[K, V]) *Stream[K, V] {
	n := s.builder.add(&graph.Node{
		Name: o.Name, Kind: graph.Order, Op: "InOrder", Parents: []*graph.Node{s.node}, Order: o.Order, DLQ: o.DeadLetters, Was: o.Was,
	})
	if n.DLQ == "" {
		n.DLQ = Names{App: s.builder.graph.App}.DeadLetters(n.Owner())
	}
	if o.Err != nil {
		n.Errs = append(n.Errs, n.Fail("%w", o.Err))
	}
	// Every path from the source runs through this order, or Build refuses it. What only
	// exactly once asks for is for the runner to ask, which knows the guarantee.
	facts := policies.Facts{SequencedPaths: true, AtLeastOnce: true}
	if err := o.Contract.Validate(facts); err != nil {
		n.Errs = append(n.Errs, n.Fail("%w", err))
	}
	n.Wire = func(env graph.Env, next []any) (any, error) {
		emit := fan[K, V](env, next)
		var ev OrderEvent // reused: the machine keeps copies only
		var in Record[K, V]
		return func(r Record[K, V]) {
			if env.Passing() {
				emit(r)
				return
			}
			ev, in = OrderEvent{}, r
			refused := o.Metadata(&in, env.Record().Value, &ev.Metadata)
			if env.Offer(n, &ev, refused) {
				emit(r)
				env.Applied()
			}
		}, nil
	}
	return &Stream[K, V]{s.builder, n}
}
