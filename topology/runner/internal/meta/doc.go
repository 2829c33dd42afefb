// Package meta is what an app has recorded of itself in its meta topic, and what
// that lets a changed topology do with the state that is there.
//
//	recorded, err := meta.Decode(records)           // of all generations
//	settled, notes, err := meta.Settle(recorded[meta.Live].Plans, plans)
//	... notes are logged; a *ChangedError ends the start before a record is read ...
//	value := settled[0].Append(nil)                 // to be written, if it is not what is recorded
//
// It is pure: package runner reads and writes the topic. The records are drawn in
// package topology.
//
// # Invariants
//
//	M1. A sub-topology keeps the name that was recorded first, and its source topics
//	    their numbers, as long as one of its recorded steps is left.
//	M2. What was decided under another meaning is never gone on with: a changed
//	    contract, serde or kind of a step is refused, and so is a step whose state
//	    missed something.
//	M3. Every refusal names the step, what it was, what it is, and a way on.
//
// # Non-obvious
//
//   - Waits and bounds (policies.Amount) may change: they decide what happens next,
//     and leave what is stored as it is. The plan hash changes with them, since facts
//     of the journal hold under one plan alone. Labels change nothing.
//   - The code of handlers is no part of a plan.
package meta
