// Package task is one task's state machine: sub-topology times partition, the unit
// of state and of order. It is stepped with slices of records, a tick or a command
// and answers with a Batch; the same steps give the same batches.
//
//	t, err := task.Open(plan, partition, backend, options, starts)
//	res, err := t.Step(task.Step{Kind: task.StepRecords, Clock: now, Budget: 10_000, Inputs: inputs})
//	b := t.Take()            // everything since the last Take, as data
//	... produce b.Outputs(), then the offsets b.Offsets(writer, journal), end the transaction ...
//	backend.Apply(b.Puts, positions)
//	t.Recycle(b)
//
// It may be stepped, and the next batch may be taken, while one is in its transaction:
// at most two batches are out, and they are applied and recycled in their order. Between
// the taking of a batch and its transaction nothing is stepped.
//
// A task whose transaction was aborted is thrown away with its uncommitted batches;
// Open makes another one from the backend's committed rows.
//
// # Formats
//
// All start with a version byte; varint and uvarint are those of encoding/binary,
// in their shortest form; decoders refuse what is unknown, cut short or too long.
//
// Offset metadata, beside the committed offset of every source partition of a task,
// in base64 without padding:
//
//	+---+--------+-------------+-------+-------+-------------+---------+--------+
//	| 1 | commit | producer id | epoch | clock | stream time | journal | counts |
//	|   | varint | varint      | varint| varint| varint      | varint  |        |
//	+---+--------+-------------+-------+-------+-------------+---------+--------+
//	counts: uvarint n, then n varints in the order of policies.Counts; zeros at the
//	end are left out
//
// Journal record, one or more for each commit, with a null key:
//
//	+---+--------+-----------+-----------+--------------+-------------+--------------+
//	| 1 | commit | plan hash | continued | steps        | stream time | sources      |
//	|   | varint | 8 bytes   | 0 or 1    | uvarint n, n | varint      | uvarint n, n |
//	+---+--------+-----------+-----------+--------------+-------------+--------------+
//	step:   kind (1 byte), clock varint, wall clock minus clock uvarint, budget uvarint,
//	        slices: uvarint n, n x {source uvarint, from varint, to varint},
//	        of a command: entity, word (uvarint length, bytes),
//	        facts:  uvarint n, n x {source uvarint, offset varint, attempt uvarint, node (uvarint length, bytes)}
//	kinds:  1 records, 2 more, 3 tick, 4 open, 5 command, 6 rewind, 7 jump, 8 skip
//	source: topic (uvarint length, bytes), committed offset varint, counts
//
// An open step has clock 0: it has no time of its own. A rewind, a jump and a skip
// have slices alone, of the sources that go on elsewhere: from where to where. Stream
// time and sources are those at the end of the commit; where it is continued they
// are 0 and none, and stand in its last record.
//
// Held record, the payload of a held event or a letter:
//
//	+---+-----------+-----------------+-----------------+------------------------------------+
//	| 1 | timestamp | key             | value           | headers: uvarint n,                |
//	|   | varint    | 0, or n+1 bytes | 0, or n+1 bytes | n x {uvarint n, key; 0 or n+1, value} |
//	+---+-----------+-----------------+-----------------+------------------------------------+
//
// # Invariants
//
//	T1. Same input, same Batch: no goroutine, clock, I/O or map-order dependence.
//	T2. A step that changes nothing is not journalled, and changes nothing.
//	T3. What a failed event wrote and emitted is gone before the next decision.
//	T4. The dispositions of a Batch add up: policies.Counts.Balanced.
//	T5. A committed offset is never beyond a record that would be lost by it (R16).
//
// # Non-obvious
//
//   - A held event is decoded again and goes through the nodes before its order once
//     more when its turn comes; that is why they are stateless.
//   - A step goes on with the drains that earlier ones left for an eighth of its budget,
//     and then takes records, whose own drains are left to the next step. A record
//     of an entity that is not done joins what waits, which lets two more go, or, where
//     that would decide otherwise (Machine.Next), the step ends in front of it. How much
//     is drained when thus follows from the budgets and slices in the journal; whoever
//     steps bounds what a batch has of it.
//   - Slots own their bytes: a Batch encodes them into its own arena, so that the
//     next step may write on while the transaction ends.
package task
