// Package topology declares stream processing: sources, processors with state,
// orders and sinks, as a graph that is checked as a whole and runs nothing.
//
//	b := topology.New("billing")
//	events := topology.Source(b, "orders", eventSerde)
//	inOrder := reorder.InOrder(events, "in-order", contract, reorder.Options[string, Event]{})
//	totals := processors.Aggregate(inOrder, totalStore, addEvent)
//	topology.SinkTable(totals, "order-totals")
//	topo, err := b.Build() // every wiring error at once, with node and file:line
//
// Package runner runs a Topology on Kafka, topologytest in a test, command as a
// program with verbs. Operators live in package processors; they are made of Process,
// Apply and Update, which are as good for your own.
//
// # Names
//
// Names makes them, and they never change. <app> is followed by ".g<n>" for the
// n-th generation of a rebuild (n >= 2); the meta topic has none.
//
//	group                     <app>
//	transactional id          <app>-<instance>-<worker>; of the meta topic <app>-meta
//	changelog of a store      <app>-<store>-changelog       compacted
//	order of an order node    <app>-<node>-order            compacted
//	journal                   <app>-<sub>-journal           kept as long as the inputs
//	commands                  <app>-<sub>-commands          kept as long as the inputs
//	repartition               <app>-<name>-repartition      kept as long as the inputs
//	effect requests, ledger   <app>-<effect>-effects, -ledger
//	meta                      <app>-meta                    compacted
//	dead letters              <app>-<node>-dlq, unless the order names a topic
//	directory of a task       <app>/<sub>_<partition>
//
// <sub> is the alphabetically first of a sub-topology's owners of state (stores and
// orders), or of its sources where it has no state, when it was first recorded in the
// meta topic; a changed sub-topology keeps it.
//
// A record with a key goes to the partition murmur2(key) & 0x7fffffff modulo the
// number of partitions, as Java producers choose it; one with a null key goes to
// the partition of the task that writes it (Partition). Rows of an order and values
// of a changelog go to the task's partition.
//
// # Formats of records that other planes write
//
// They are drawn here and get golden bytes with the first code that writes them (so far
// 'p' and 't', in package runner/internal/meta). All
// start with a version byte; varint and uvarint are those of encoding/binary, text is
// a uvarint length and UTF-8 bytes.
//
// Meta record (partition 0; key: kind byte, generation uvarint, and of 'p' and 't' text name):
//
//	'p' plan   of a sub-topology, under the name that its topics bear: 1, plan hash (8 bytes),
//	           source topics (uvarint n, n texts), in the order of their numbers,
//	           steps (uvarint n, n x {text name, text kind (source, order, store, gone),
//	           terms (uvarint n, n x {text name, text value, weight (byte: 0 meaning, 1 amount, 2 label)})})
//	't' topic  that the app reads or has its state in: 1, topic id (16 bytes)
//	'g' generation: 1, state (byte: 1 shadow, 2 live, 3 superseded, 4 aborted), plan hash (8 bytes)
//	's' swap   1, phase (byte: 1 prepare, 2 commit, 3 abort), from, to generation (varint each),
//	           fence (uvarint n, n x {text topic, varint partition, varint offset})
//
// Command record (key: the entity, or empty for a class or a source):
//
//	1, text id, text contract (node), kind (byte: 1 redrive, 2 release, 3 pause, 4 resume, 5 fix),
//	text class or source, fixed record (0, or uvarint n+1 and n bytes of a held record)
//
// Ledger row (key: entity; one topic for each effect):
//
//	1, done up to {varint epoch, varint sequence, uvarint n},
//	done out of order (uvarint n, n x {varint epoch, varint sequence, uvarint n}),
//	pending (uvarint n, n x {text effect id, uvarint attempts, varint due}),
//	given up (uvarint n, n x text effect id), remembered ids (uvarint n, n x 8-byte hash)
//
// # Invariants
//
//  1. A Topology is immutable; building it touches no network, disk or clock.
//  2. Names are identities: whatever owns state, a topic or an external action has
//     one that the user wrote.
//  3. Topics never depend on which operators are neighbours.
//
// # Non-obvious
//
//   - Types are asserted once for each edge of a task (fan), never for a record.
//   - Order, OrderHost and OrderMachine are the seam between a task and package
//     reorder; a user never implements them.
package topology
