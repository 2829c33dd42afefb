//go:build linux

// Torture breaks a running app in one way, again and again, while events flow, and
// then lets package history judge from the topics whether anybody can tell.
//
//	go run ./integration/torture kill9 -nodes 3     # 20 kills in 1,000,000 events
//	go run ./integration/torture stop          # SIGSTOP past the session timeout, then SIGCONT
//	go run ./integration/torture storm         # an instance joins or leaves every 2 s
//	go run ./integration/torture leader -nodes 3       # the node that leads a partition is killed
//	go run ./integration/torture coordinator -nodes 3  # the one that coordinates the group
//	go run ./integration/torture timeout       # transaction requests time out, applied or not
//	go run ./integration/torture truncate      # records are deleted that were not read
//	go run ./integration/torture disk          # directories are lost, flipped, cut
//	go run ./integration/torture drain         # a million events wait behind one hole
//	go run ./integration/torture drain -hot    # likewise, and more of them come
//	go run ./integration/torture drain -held 50000 -delay 100ms  # likewise, a slow broker
//
// The cluster is an embedded broker, with -nodes a real one that is started for the
// run, with -brokers or KAFKA_BROKERS one that is there. The app (the hidden verb
// "app") runs in processes of this very program, each with its own name and data
// directory: events with numbers per entity, shuffled and duplicated, are put in order
// and folded into a digest of their history, so that a state tells which events made
// it, and in which order.
//
// When the app has stopped, the directory of every task at the instance that had it last is
// compared with its changelogs, byte by byte: history reads topics alone.
//
// It prints its seed, the faults one by one, a row for each partition, and at the end why
// not, if the judgement is no. Exit codes: 0; 1 it could not be run; 2 wrong use; 3 the
// judgement is no.
//
// drain breaks nothing. It lets events wait behind one hole, fills it, and judges four
// things: others come out no more than half as late again (p99) as without the drain; an
// event takes no more than twice of a processor as behind holes of 1000; the member keeps
// its place in the group; the live heap stays within what package runner says of memory.
// It runs on the embedded broker alone.
//
// # Invariants
//
//  1. A fault is injected while events flow and work is left.
//  2. Every process is ended by its pid; one that ends by itself fails the drill,
//     unless the drill says that it may.
//  3. A process whose torturer is gone ends: its standard input closes.
//
// # Non-obvious
//
//   - Whether a transaction was open when its process was killed is what the broker
//     says: the process is stopped, the broker is asked, the process is killed, and the
//     broker is asked again.
//   - On the embedded broker an instance that wakes does not hear that it is out of the
//     group before it has tried to commit: else it hears it first, and nothing is tried.
//   - An instance writes its state behind every second. What it restores after a kill is
//     compared with what came into the topics of its tasks since then: from the last second
//     before it was stopped first, and the time that hearing of a commit and writing take,
//     to the kill. That time is longer where threads wait for a processor, as many times as
//     there are threads for each; a task that was restored itself in it counts with that.
//   - A lost answer and an outage are different faults. What may come twice is sent again
//     after the one, and given up in the other: the drill has both of each request, so
//     that transactions turn out committed and aborted. TxnOffsetCommit is sent again only
//     if it was applied (kafka/wire says why). The transaction of InitProducerID is the one
//     before it.
//   - What a drill does at which event comes from the seed; what the processes make of
//     it does not.
package main
