package topology

import (
	"errors"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/graph"
)

// A Processor handles the records of one node in one task, one at a time. What it
// writes, emits and schedules for a record that it fails is dropped as a whole.
//
// An error is for good, unless it is (or wraps) Retryable. A processor's fields may
// cache, never decide: after an aborted transaction, a restart or a rebalance its
// Supplier makes a new one.
type Processor[K, V, K2, V2 any] interface {
	Process(ctx Context, r Record[K, V], emit func(Record[K2, V2])) error
}

// ProcessorFunc is a Processor of one function.
type ProcessorFunc[K, V, K2, V2 any] func(ctx Context, r Record[K, V], emit func(Record[K2, V2])) error

// Process implements Processor.
func (f ProcessorFunc[K, V, K2, V2]) Process(ctx Context, r Record[K, V], emit func(Record[K2, V2])) error {
	return f(ctx, r, emit)
}

// A Supplier makes the processor of one task: construction is initialisation. It
// opens the stores with their specs' In.
type Supplier[K, V, K2, V2 any] func(ctx Context) (Processor[K, V, K2, V2], error)

// Process adds a processor with the stores that it may open. The name is the
// node's identity. The records that it emits may have any key: where the key
// changes, an order behind it needs a repartition.
func Process[K, V, K2, V2 any](s *Stream[K, V], name string, p Supplier[K, V, K2, V2], stores ...statestore.Spec) *Stream[K2, V2] {
	return process(s, name, "Process", true, p, stores)
}

// Apply adds a stateless node whose name is derived: f emits what becomes of a
// record. rekeys says whether it may change the key. Operators of package
// processors are made of it.
func Apply[K, V, K2, V2 any](s *Stream[K, V], op string, rekeys bool, f func(r Record[K, V], emit func(Record[K2, V2])) error) *Stream[K2, V2] {
	return process(s, s.builder.derive(s.node, op), op, rekeys, func(Context) (Processor[K, V, K2, V2], error) {
		return ProcessorFunc[K, V, K2, V2](func(_ Context, r Record[K, V], emit func(Record[K2, V2])) error {
			return f(r, emit)
		}), nil
	}, nil)
}

// Update adds a node that keeps the key and has one store: f makes the update that
// a record brings. Operators of package processors are made of it.
func Update[K, V, S any](s *Stream[K, V], op string, store statestore.KeyValueSpec[K, S], f func(ctx Context, store *statestore.Store[K, S], r Record[K, V], emit func(Record[K, S])) error) *Stream[K, S] {
	return process(s, store.StoreName(), op, false, func(ctx Context) (Processor[K, V, K, S], error) {
		opened, err := store.In(ctx)
		if err != nil {
			return nil, err
		}
		return ProcessorFunc[K, V, K, S](func(ctx Context, r Record[K, V], emit func(Record[K, S])) error {
			return f(ctx, opened, r, emit)
		}), nil
	}, []statestore.Spec{store})
}

func process[K, V, K2, V2 any](s *Stream[K, V], name, op string, rekeys bool, p Supplier[K, V, K2, V2], stores []statestore.Spec) *Stream[K2, V2] {
	n := &graph.Node{
		Name: name, Kind: graph.Processor, Op: op, Parents: []*graph.Node{s.node}, Rekeys: rekeys,
		Stores: make([]string, len(stores)),
	}
	for i, st := range stores {
		n.Stores[i] = st.StoreName()
		key, value := st.Formats()
		n.Bytes = append(n.Bytes, graph.Format{Key: key, Value: value})
	}
	n.Wire = func(env graph.Env, next []any) (any, error) {
		emit := fan[K2, V2](env, next)
		ctx := &nodeContext{env, n}
		proc, err := p(ctx)
		if err != nil {
			return nil, err
		}
		return func(r Record[K, V]) {
			if err := proc.Process(ctx, r, emit); err != nil {
				env.Fail(n, err)
			}
		}, nil
	}
	return &Stream[K2, V2]{s.builder, s.builder.add(n)}
}

// Retryable marks a failure as one that a later attempt may not meet: the event is
// tried again as its contract's Retry says.
func Retryable(err error) error { return &retryable{err} }

// IsRetryable reports whether the error was marked by Retryable.
func IsRetryable(err error) bool {
	var r *retryable
	return errors.As(err, &r)
}

type retryable struct{ err error }

func (r *retryable) Error() string { return r.err.Error() }
func (r *retryable) Unwrap() error { return r.err }
