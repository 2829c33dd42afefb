// Package mem is a Kafka in memory for tests and simulations: the seam's
// interfaces, and behind them logs, a transaction coordinator and a group
// coordinator that answer as a real broker does, also where the embedded broker
// is too kind.
//
// A Broker holds the data and is what a test turns the screws of; a Cluster is
// one process's connection to it, and what the code under test gets:
//
//	b := mem.New(mem.Options{Seed: 1, MarkerDelay: 30 * time.Millisecond})
//	c := b.Connect()              // a kafka.Cluster
//	defer c.Close()               // to the broker: that process is dead
//
//	release := b.HoldMarkers()    // EndTxn answers, its markers wait ...
//	b.Deliver(b.Markers()[0])     // ... and land one by one, as the test says
//	release()
//
//	remove := b.Inject(mem.Fault{Request: mem.EndTxn, Outcome: mem.LostLater, Times: 1})
//	remove()                      // now the broker handles the request that was on the wire
//
// Kick removes a member from its group, Truncate deletes records from a log's
// start, Remake makes a topic again.
//
// Invariants:
//
//  1. All state is guarded by the one mutex of the Broker; no goroutine belongs
//     to it. What is due (markers, transaction and session timeouts, the end of a
//     rebalance) happens at the next call or wait, in order of its time.
//  2. The same calls at the same times with the same seed give the same answers. Which
//     of several calls at one time is first is up to the scheduler of goroutines, or to
//     the Turn of ConnectInTurn.
//  3. Records in a log are never written again: fetches hand out parts of it.
//  4. Every wait ends with its context and with Close, and waits on channels
//     only, so that testing/synctest can move time.
//
// Non-obvious:
//   - After EndTxn has answered, the next AddPartitions of the same transactional
//     id is answered 51 until all markers have landed, and so is InitProducerId.
//   - A fenced producer's records are still taken by partitions that wait for the
//     marker of its aborted transaction: they lie before it. The others answer 47.
//   - InitProducerId with a transaction open takes two epochs, as on Kafka 4.
//   - A member whose Cluster was closed without its Run having ended stays in the
//     group until its session is over; so does a static one that has left.
//   - The assignment is made here, not by members: as package assign says, and
//     cooperative in two generations.
//   - All members of a group must read the same topics.
package mem
