// Package statestore declares state stores and holds their rows.
//
//	totals := statestore.KeyValue("totals", serde.Of(serde.String(), serde.JSON[Total]()))
//	...
//	store := totals.In(ctx) // in a Supplier: the declaration is the key to the store
//	t, ok, err := store.Get("order-1")
//
// A Spec declares a store; a Store is the typed view that one task has of it. Below
// it a Backend keeps the committed rows of one task: one row for each key, in which
// the order row of the entity and the values of all stores under that key stand
// together, so that an event costs one read and one write.
//
// # Rows
//
// A Backend knows nothing of what it keeps. The task writes two kinds of rows; the
// first byte of the key is the kind:
//
//	's' key  the parts under one key: an order row, then one value a store
//	'o' key  a row of the ordering operator that is not an entity's (task, held,
//	         letter); key as in the order topic
//
// The parts of an 's' row:
//
//	+---------+------------------------------------------+
//	| version | per part: uvarint n, then n-1 bytes      |
//	| byte 1  | n = 0: absent                            |
//	+---------+------------------------------------------+
//
// Trailing absent parts are left out.
//
// A Checkpoint, which a durable back end keeps with its rows; text is a uvarint
// length and bytes, changelogs are in the order of topic and partition:
//
//	+---+--------------+------------+-----------+-----------------------------------------+
//	| 1 | cluster text | generation | wall time | uvarint n, n x {topic text, topic id    |
//	|   |              | uvarint    | varint    | (16 bytes), uvarint partition, offset}  |
//	+---+--------------+------------+-----------+-----------------------------------------+
//
// # Invariants
//
//  1. A Backend holds committed rows only: Apply is called after the transaction
//     that carries the same rows in changelogs has ended.
//  2. The offsets of an Apply are never ahead of its rows.
package statestore
