package topology

import (
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/graph"
	"github.com/streamrun/streamrun/topology/serde"
)

// A Stream is a handle to the records that a node emits. It is a value of the
// builder: nothing flows through it.
type Stream[K, V any] struct {
	builder *Builder
	node    *graph.Node
}

// A Table is a stream of updates together with the store that has the latest value
// of each key.
type Table[K, V any] struct {
	stream *Stream[K, V]
	store  string
}

// TableOf makes a table of a stream of updates and the store that its processor
// keeps them in. Operators use it; processors.Aggregate is one.
func TableOf[K, V any](updates *Stream[K, V], store statestore.KeyValueSpec[K, V]) *Table[K, V] {
	return &Table[K, V]{updates, store.StoreName()}
}

// ToStream returns the updates of the table.
func (t *Table[K, V]) ToStream() *Stream[K, V] { return t.stream }

// Source reads topics, all with the same serdes and the same number of partitions;
// without topics it reads the one that has the source's name.
func Source[K, V any](b *Builder, name string, sd serde.KV[K, V], topics ...string) *Stream[K, V] {
	if len(topics) == 0 {
		topics = []string{name}
	}
	kf, vf := sd.Names()
	n := b.add(&graph.Node{Name: name, Kind: graph.Source, Op: "Source", Topics: topics, Bytes: []graph.Format{{Key: kf, Value: vf}}})
	text := any(sd.Key) == any(serde.String()) // the key's string may be that of its state
	n.Wire = func(env graph.Env, next []any) (any, error) {
		emit := fan[K, V](env, next)
		return func() {
			raw := env.Record()
			r := Record[K, V]{Timestamp: raw.Timestamp, Headers: raw.Headers}
			var err error
			if raw.Key != nil {
				if text {
					*any(&r.Key).(*string) = env.Text(raw.Key)
				} else if r.Key, err = sd.Key.Decode(raw.Key); err != nil {
					env.Fail(n, &DecodeError{Part: "key", Err: err})
					return
				}
			}
			if raw.Value == nil {
				r.Tombstone = true
			} else if r.Value, err = sd.Value.Decode(raw.Value); err != nil {
				env.Fail(n, &DecodeError{Part: "value", Err: err})
				return
			}
			emit(r)
		}, nil
	}
	return &Stream[K, V]{b, n}
}

// A BatchPolicy says what becomes of a batch of a source that cannot be decoded as a
// whole: its bytes are damaged, or written by something that does not know the format.
type BatchPolicy string

// The policies for batches.
const (
	// BatchStop stops the app in front of the batch; the error says where. It is what
	// a source does that says nothing.
	BatchStop BatchPolicy = "stop"
	// BatchSkip goes on behind the batch. Its offsets are counted as skipped, and the
	// journal says which.
	BatchSkip BatchPolicy = "skip"
)

// OnUndecodableBatch sets what becomes of batches that cannot be decoded; the stream
// is that of a Source, which it returns.
func OnUndecodableBatch[K, V any](s *Stream[K, V], p BatchPolicy) *Stream[K, V] {
	switch {
	case s.node.Kind != graph.Source:
		s.node.Errs = append(s.node.Errs, s.node.Fail("OnUndecodableBatch is for sources"))
	case p != BatchStop && p != BatchSkip:
		s.node.Errs = append(s.node.Errs, s.node.Fail("undecodable batch: %q is unknown; say %q or %q", p, BatchStop, BatchSkip))
	}
	s.node.SkipBatches = p == BatchSkip
	return s
}

// A DecodeError says that a record's bytes are not what the source's serde takes.
type DecodeError struct {
	Part string // "key" or "value"
	Err  error
}

// Error implements error.
func (e *DecodeError) Error() string { return "decoding the " + e.Part + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// Sink writes every record of the stream to a topic, in the partition of its key
// (murmur2, as Java producers do).
func Sink[K, V any](s *Stream[K, V], topic string, sd serde.KV[K, V]) {
	n := s.builder.add(&graph.Node{
		Name: s.builder.derive(s.node, "sink"), Kind: graph.Sink, Op: "Sink",
		Parents: []*graph.Node{s.node}, Topics: []string{topic},
	})
	n.Wire = func(env graph.Env, _ []any) (any, error) {
		var key, value []byte
		return func(r Record[K, V]) {
			var err error
			if key, err = sd.Key.Append(key[:0], r.Key); err != nil {
				env.Fail(n, err)
				return
			}
			if r.Tombstone {
				env.Emit(n, key, nil, r.Timestamp, r.Headers)
				return
			}
			if value, err = sd.Value.Append(value[:0], r.Value); err != nil {
				env.Fail(n, err)
				return
			}
			env.Emit(n, key, value, r.Timestamp, r.Headers)
		}, nil
	}
}

// SinkTable publishes the table as a compacted topic: at each commit the last value
// of every key that changed, as the store's serdes write it, in the partition of
// the key.
func SinkTable[K, V any](t *Table[K, V], topic string) {
	b := t.stream.builder
	b.add(&graph.Node{
		Name: b.derive(t.stream.node, "table"), Kind: graph.TableSink, Op: "SinkTable",
		Parents: []*graph.Node{t.stream.node}, Topics: []string{topic}, Stores: []string{t.store},
		Wire: func(graph.Env, []any) (any, error) { return func(Record[K, V]) {}, nil },
	})
}

// fan returns the function that gives a record to every handler. This is where
// types are asserted: once for each edge of a task, never for a record.
func fan[K, V any](env graph.Env, next []any) func(Record[K, V]) {
	handlers := make([]func(Record[K, V]), len(next))
	for i, h := range next {
		handlers[i] = h.(func(Record[K, V]))
	}
	switch len(handlers) {
	case 0:
		return func(Record[K, V]) {}
	case 1:
		return handlers[0]
	}
	return func(r Record[K, V]) {
		for _, h := range handlers {
			if h(r); env.Failed() {
				return
			}
		}
	}
}
