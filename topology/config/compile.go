package config

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
)

// Topology returns the topology that the file declares: a source, an order, a state
// and the table that it is published as. Each call makes a new one.
func (f *File) Topology() (*topology.Topology, error) {
	b := topology.New(f.Name)
	events := topology.Source(b, f.Input.Name, serde.Of(serde.String(), serde.Serde[*event](eventSerde{f})), f.Input.Topic)
	topology.OnUndecodableBatch(events, f.Input.Undecodable)
	ordered := reorder.InOrder(events, f.InOrder.Name, f.Contract, reorder.Options[string, *event]{
		Metadata: f.metadata, DeadLetters: f.DLQ.Topic, Was: f.InOrder.Was,
	})
	store := f.Store()
	states := topology.Update(ordered, "Aggregate", store, f.apply)
	topology.SinkTable(topology.TableOf(states, store), f.Output.Topic)
	topo, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("config: building the topology of %s: %w", f.Path, err)
	}
	return topo, nil
}

// checkTopology reports what is wrong with the topology that the file declares: at
// the topic that it is about, or at the beginning of the file, where it may be the
// same mistake as one that was reported.
func (r *reader) checkTopology(f *File) {
	_, err := f.Topology()
	if err == nil {
		return
	}
	before := len(r.problems)
	all := []error{err}
	if joined, ok := errors.Unwrap(err).(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		text, use := err.Error(), topicUse{at: value{at: position{1, 1}}}
		named := false
		if node := (*topology.Error)(nil); errors.As(err, &node) {
			text = node.Err.Error()
			use, named = r.topics[node.Topic]
		}
		if named {
			r.add(CodeTwice, use.at.at, use.at.path, "%s", text)
		} else if before == 0 {
			r.add(CodeValue, use.at.at, "", "%s", text)
		}
	}
}

// Store returns the declaration of the state's store, for readers of its changelog
// and of the output table.
func (f *File) Store() statestore.KeyValueSpec[string, any] {
	return statestore.KeyValue(f.State.Store, serde.Of(serde.String(), serde.Serde[any](stateSerde{f})))
}

// An event is a decoded value on its way through the topology.
type event struct {
	value any
	meta  policies.Metadata
	known bool // meta is filled in; not so for an event that waited and was decoded again
}

// metadata reads the order metadata of a record for its order. What could be read of
// unusable ones stands in the letter.
func (f *File) metadata(r topology.Record[string, *event], m *policies.Metadata) error {
	rec := input(&r)
	meta, err := f.Metadata(&rec)
	if err == nil && meta.Entity != r.Key {
		err = &policies.RefusedError{Reason: policies.ReasonWrongKey, Err: f.Input.key.fail(f.Input.key.scalar.at, fmt.Sprintf(
			"the entity is %q, but the key of the record is %q: its producer must send the events of an entity under its name", meta.Entity, r.Key))}
	}
	if err != nil {
		*m = meta
		return err
	}
	if r.Value != nil {
		r.Value.meta, r.Value.known = meta, true
	}
	*m = meta
	return nil
}

// input returns the record as the expressions see it.
func input(r *topology.Record[string, *event]) Record {
	rec := Record{Key: r.Key, Tombstone: r.Tombstone, Timestamp: r.Timestamp, Headers: r.Headers}
	if r.Value != nil {
		rec.Value = r.Value.value
	}
	return rec
}

// apply folds one event into the state of its entity.
func (f *File) apply(_ topology.Context, store *statestore.Store[string, any], r topology.Record[string, *event], emit func(topology.Record[string, any])) error {
	rec := input(&r)
	meta := policies.Metadata{Entity: r.Key}
	if f.State.update.meta {
		if r.Value != nil && r.Value.known {
			meta = r.Value.meta
		} else {
			var err error
			if meta, err = f.Metadata(&rec); err != nil {
				return err
			}
		}
	}
	state, _, err := store.Get(r.Key)
	if err != nil {
		return err
	}
	if state, err = f.Update(&meta, rec.Value, state); err != nil {
		return err
	}
	out := topology.With(rec, r.Key, state)
	if state == nil {
		out.Tombstone = true
		err = store.Delete(r.Key)
	} else {
		err = store.Put(r.Key, state)
	}
	if err != nil {
		return err
	}
	emit(out)
	return nil
}

// eventSerde is the serde of the input's values.
type eventSerde struct{ file *File }

func (s eventSerde) Append(dst []byte, e *event) ([]byte, error) { return encodeJSON(dst, e.value) }

func (s eventSerde) SerdeName() string { return "json" }

func (s eventSerde) Decode(b []byte) (*event, error) {
	v, err := s.file.Decode(b)
	if err != nil {
		return nil, err
	}
	return &event{value: v}, nil
}

// stateSerde is the serde of states.
type stateSerde struct{ file *File }

func (s stateSerde) Append(dst []byte, state any) ([]byte, error) {
	return s.file.EncodeState(dst, state)
}
func (s stateSerde) SerdeName() string            { return "json" }
func (s stateSerde) Decode(b []byte) (any, error) { return s.file.DecodeState(b) }
