package task

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/graph"
	"github.com/streamrun/streamrun/topology/internal/record"
)

var _ graph.Env = (*Task)(nil)

// Record implements graph.Env.
func (t *Task) Record() *record.Record { return t.raw }

// Text implements graph.Env.
func (t *Task) Text(key []byte) string {
	if sl := t.slots.known(key); sl != nil {
		return sl.ID
	}
	return string(key)
}

// Position implements graph.Env.
func (t *Task) Position() graph.Position {
	p := graph.Position{Task: t.name, Partition: t.partition, StreamTime: t.streamTime, Clock: t.clock}
	if t.raw != nil {
		p.Topic, p.Offset = t.plan.Sources[t.source], t.raw.Offset
	}
	return p
}

// Fail implements graph.Env.
func (t *Task) Fail(n *graph.Node, err error) {
	if t.failed == nil {
		t.failed, t.where = err, n
	}
}

// Failed implements graph.Env.
func (t *Task) Failed() bool { return t.failed != nil }

// Passing implements graph.Env.
func (t *Task) Passing() bool { return t.passing }

// Emit implements graph.Env.
func (t *Task) Emit(sink *graph.Node, key, value []byte, timestamp int64, headers []record.Header) {
	topic := sink.Topics[0]
	t.outputs = append(t.outputs, record.Output{
		TopicPartition: record.TopicPartition{Topic: topic, Partition: topology.Partition(key, t.width(sink), t.partition)},
		Timestamp:      timestamp, Key: t.arena.copy(key), Value: t.arena.copy(value), Headers: headers,
	})
}

// width returns the number of partitions of a sink's topic, which is asked for once.
func (t *Task) width(sink *graph.Node) int32 {
	if t.widths[sink.Index] == 0 {
		t.widths[sink.Index] = t.options.Partitions(sink.Topics[0])
	}
	return t.widths[sink.Index]
}

// OpenStore implements graph.Env.
func (t *Task) OpenStore(n *graph.Node, name string) (graph.Store, error) {
	if !slices.Contains(n.Stores, name) {
		return nil, fmt.Errorf("topology: node %q opens store %q, which was not passed to it", n.Name, name)
	}
	return &store{t, slices.Index(t.plan.Sub.Stores, name)}, nil
}

// Offer implements graph.Env.
func (t *Task) Offer(n *graph.Node, event any, refused error) bool {
	ev := event.(*topology.OrderEvent)
	ev.Source, ev.Offset, ev.Timestamp, ev.ReadAt = t.source, t.raw.Offset, t.raw.Timestamp, t.wall
	t.event = ev
	key := len(ev.Entity)
	if key == 0 {
		key = len(t.raw.Key)
	}
	if refused == nil && key > maxKey {
		refused = fmt.Errorf("a key of %d bytes; at most %d can be kept", key, maxKey)
	}
	if refused != nil {
		t.failure = failure{t.source, t.raw.Offset, 0, n.Name, refused}
		t.machine.Refuse(ev, policies.RefusedFor(refused))
		return t.decide()
	}
	var sl *slot
	var err error
	switch {
	case ev.Entity != "":
		sl, err = t.slots.get([]byte(ev.Entity))
	case len(t.raw.Key) > 0:
		if sl, err = t.slots.get(t.raw.Key); err == nil {
			ev.Entity = sl.ID
		}
	}
	if err != nil {
		panic(err)
	}
	if sl != nil {
		t.stray(sl)
	}
	if sl == nil {
		t.machine.Record(nil, ev, t.clock)
	} else {
		t.hand = sl
		t.machine.Record(&sl.Entity, ev, t.clock)
	}
	return t.decide()
}
