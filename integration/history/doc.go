// Package history judges what an app did from its topics alone: it reads inputs,
// applied events, state, order, journal, letters and committed offsets back,
// read_committed, through a plain Kafka client, and knows nothing of the code that
// wrote them.
//
//	report, err := history.Read(ctx, brokers, history.App{Group: "torture", Input: "events", ...})
//	fmt.Print(report)   // a row for each partition, then what is wrong, with its place
//	report.OK()
//
// Judge is pure: what one partition's logs hold in, a Verdict out. Read fills it, a
// partition at a time.
//
// # What is judged
//
//	I1  order: the applied events of an entity have the numbers 1, 2, 3 ..., in the
//	    order of the log; numbers in state, table and order rows never go back
//	I2  conservation: at every commit the dispositions add up to the records that the
//	    journal says were consumed; at the end everything is consumed, and as many are
//	    applied and duplicates as the inputs say
//	I3  once: no event is applied twice; state, table and applied events of every
//	    entity are the fold of the inputs
//	I5  commit: commits are numbered without a gap or repetition, each consumes what
//	    follows the one before it, and the committed offset is where the last one ended;
//	    a producer's epoch never goes back
//	I7  bounds: an entity never has more held events than its contract allows
//
// A write of an owner that lost its task would be a commit number or a part of the
// input that comes twice: I5 sees it.
//
// # Invariants
//
//  1. It imports nothing of the module (integration/imports says so): every format is
//     decoded here a second time, from its drawing, by a reader of its own.
//  2. A Verdict without differences has compared every record of the partition.
//
// # Non-obvious
//
//   - A topic that is compacted has lost what later records replaced; the judgements
//     of state, table and order rows hold for what compaction leaves.
//   - The journal is read from its start: judged is an app whose journal was not cut.
package history
