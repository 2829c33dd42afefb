package topologytest

import (
	"maps"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/serde"
)

// An InputTopic writes to a topic that the topology reads.
type InputTopic[K, V any] struct {
	driver *Driver
	topic  string
	serde  serde.KV[K, V]
}

// Input returns a writer of a source topic.
func Input[K, V any](d *Driver, topic string, sd serde.KV[K, V]) *InputTopic[K, V] {
	return &InputTopic[K, V]{d, topic, sd}
}

// Send writes a record at the virtual time, in the partition of its key, and runs
// the topology.
func (in *InputTopic[K, V]) Send(key K, value V) {
	in.driver.tb.Helper()
	in.SendRecord(topology.Record[K, V]{Key: key, Value: value, Timestamp: in.driver.now.UnixMilli()})
}

// SendRecord writes a record as it is, and runs the topology.
func (in *InputTopic[K, V]) SendRecord(r topology.Record[K, V]) {
	in.driver.tb.Helper()
	in.Write(r)
	in.driver.run()
}

// Write writes a record and leaves it to the next Send, Advance or Restart to run
// the topology: records that are written before make one step.
func (in *InputTopic[K, V]) Write(r topology.Record[K, V]) {
	d := in.driver
	d.tb.Helper()
	key, err := in.serde.Key.Append([]byte{}, r.Key)
	if err != nil {
		d.tb.Fatal(err)
	}
	o := record.Output{Timestamp: r.Timestamp, Key: key, Headers: r.Headers}
	o.Topic, o.Partition = in.topic, topology.Partition(key, int32(d.options.Partitions), 0)
	if !r.Tombstone {
		if o.Value, err = in.serde.Value.Append([]byte{}, r.Value); err != nil {
			d.tb.Fatal(err)
		}
	}
	d.append(o)
}

// An OutputTopic reads a topic that the topology writes.
type OutputTopic[K, V any] struct {
	driver *Driver
	topic  string
	serde  serde.KV[K, V]
	read   []int
}

// Output returns a reader of a topic.
func Output[K, V any](d *Driver, topic string, sd serde.KV[K, V]) *OutputTopic[K, V] {
	return &OutputTopic[K, V]{d, topic, sd, make([]int, d.options.Partitions)}
}

// Read returns the records that were committed since the last Read, partition by
// partition.
func (out *OutputTopic[K, V]) Read() []topology.Record[K, V] {
	out.driver.tb.Helper()
	var records []topology.Record[K, V]
	for p := range out.read {
		log := out.driver.log(out.topic, int32(p))
		for _, r := range log[out.read[p]:] {
			records = append(records, decode(out.driver, out.serde, r))
		}
		out.read[p] = len(log)
	}
	return records
}

// Table returns the last value of each key of a topic.
func Table[K comparable, V any](d *Driver, topic string, sd serde.KV[K, V]) map[K]V {
	d.tb.Helper()
	table := map[K]V{}
	for _, r := range Output(d, topic, sd).Read() {
		if r.Tombstone {
			delete(table, r.Key)
			continue
		}
		table[r.Key] = r.Value
	}
	return table
}

// Store returns what a store holds, read from its changelog.
func Store[K comparable, V any](d *Driver, app string, store statestore.KeyValueSpec[K, V]) map[K]V {
	d.tb.Helper()
	return Table(d, topology.Names{App: app}.Changelog(store.StoreName()), store.Serde())
}

// Letters returns the dead letters of a topic, partition by partition.
func Letters(d *Driver, topic string) []policies.Letter {
	d.tb.Helper()
	var letters []policies.Letter
	for p := range d.options.Partitions {
		for _, r := range d.log(topic, int32(p)) {
			l, err := policies.ReadLetter(r.Headers)
			if err != nil {
				d.tb.Fatal(err)
			}
			letters = append(letters, l)
		}
	}
	return letters
}

// Topics returns the names of the topics that exist, sorted.
func (d *Driver) Topics() []string { return slices.Sorted(maps.Keys(d.topics)) }

func decode[K, V any](d *Driver, sd serde.KV[K, V], raw record.Record) topology.Record[K, V] {
	d.tb.Helper()
	r := topology.Record[K, V]{Timestamp: raw.Timestamp, Headers: raw.Headers, Tombstone: raw.Value == nil}
	var err error
	if raw.Key != nil {
		if r.Key, err = sd.Key.Decode(raw.Key); err != nil {
			d.tb.Fatal(err)
		}
	}
	if raw.Value != nil {
		if r.Value, err = sd.Value.Decode(raw.Value); err != nil {
			d.tb.Fatal(err)
		}
	}
	return r
}
