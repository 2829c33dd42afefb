// Package embedded is a Kafka broker inside the process, for development and
// tests: it speaks Kafka's protocol on real sockets, keeps its log in memory or in
// a directory, and lets its owner watch, hold and cut every request.
//
// Start it, give Addrs to whatever takes bootstrap addresses, Close it:
//
//	b, err := embedded.Start(embedded.Options{DataDir: dir})
//	if err != nil { ... }
//	defer b.Close()
//	connect(b.Addrs())
//
// A Tap sees every request twice: when it is Received, before the broker handles
// it, and when it is Answered, after it was handled and before the answer leaves.
// It may look, block, or cut the connection; that is how a program is killed
// exactly inside its open transaction. A Fault refuses requests with an error
// code, or loses a request or its answer, without a Tap.
//
// With a DataDir a broker that is started again has the topics and their
// configuration, the records, the committed offsets with their metadata, the
// producer ids with their epochs and sequences. A broker that was closed also
// keeps members of groups and open transactions while their timeouts allow; one
// that was killed has lost them, and its open transactions are aborted at the next
// start. Nothing is synced to disk before Close: a power loss can lose the end of
// every log.
//
// # Invariants
//
//  1. Every request of a connection is Received exactly once, in the order of the
//     connection, and Answered at most once, in the same order.
//  2. What a Tap drops at Received the broker never sees; what it drops at
//     Answered the broker has handled.
//  3. A data directory belongs to one running broker; a second Start on it fails.
//
// # Non-obvious
//
//   - A pipelined request may be Received before the one ahead of it is Answered.
//   - A Tap blocks only the connection that it is called for, so it must return
//     when its own work ends; Close does not wait for it.
//   - It is no Apache Kafka. It never answers CONCURRENT_TRANSACTIONS,
//     COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR by
//     itself; markers are there when EndTxn is answered; a fenced producer's produce
//     is 48 where Kafka says 47; a group that has only pending offsets is
//     GROUP_ID_NOT_FOUND where Kafka says UNSTABLE_OFFSET_COMMIT. Inject those. Offsets
//     that are pending make all of their group unstable, not their partitions alone.
package embedded
