// Package fold says what a table must be: it folds delivered events entity by
// entity in the order of their numbers, and knows nothing of how the app keeps
// that order.
//
//	results := fold.Sequence(events, fold.Rules{Start: 1}, apply)
//	results["case-1"].State // what the table must have
//
// An event counts once, however often it was delivered. Under a sequence the events
// of an entity are applied from its start on. At the first number that was never
// delivered the entity ends (AtGap Stop: it is parked; Wait: it waits for ever), or
// the number is a hole and the next one follows (Pass). A number whose event came when
// MaxWait was over is such a number too, and its event is late. Under a version the
// latest wins, in the order of delivery.
//
// # Invariants
//
//  1. The result is a function of the arguments: nothing is asked of a broker,
//     clock or store, and neither the sequencer nor the task is linked.
//  2. An event is in exactly one of Applied, Refused, Dropped and Waiting of its entity,
//     and a repeated delivery in none.
//  3. Where the rules leave the result of an entity to the times of arrival, its
//     Unknown says why, and nothing else of the result counts.
//
// # Non-obvious
//
// What is late depends on when each delivery was taken, which only the app knows: its
// clock is told, and whether that clock may be believed is for the caller to see.
//
// The caller passes functions and plain values in place of its contract, because
// whatever it took from there would be shared with what is judged.
package fold
