// Package host runs the production sequencer in the smallest system that can show
// all of the ordering rules: one task in memory with its partitions, a store, a
// dead-letter queue, an effect ledger and an operator. It performs scenario files
// (package reorder/scenario) and stands beside the real task until that can.
//
//	results := scenario.Run(file, host.New)
//
// # Invariants
//
//  1. What survives a crash is what went through the codecs of package reorder into
//     the store: entity rows, held events, letters, task rows, counts, and beside
//     them the values, the ledger and the offsets of one atomic write.
//  2. The store is written after every outcome of an apply and at the end of every
//     input, so a process can die between any two of them.
//  3. The world (records, handlers, receivers) remembers; the process does not.
package host
