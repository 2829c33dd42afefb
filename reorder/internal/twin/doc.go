// Package twin decides about events by the rules R0 to R19, slowly and obviously:
// an oracle for the sequencer, written from the text of the rules alone.
//
// The rules, with their readings, stand in the comments of
// ../../scenario/testdata/ordering-vectors.yaml. A Twin is a scenario.Host: one
// task with its partitions, store, sink and operator in plain maps and slices.
// It imports nothing of package reorder but scenario.
//
//	host, _ := twin.New(contract)
//	for _, step := range steps {
//		err := host.Do(step)
//	}
//	outcome, _ := host.Outcome()
//
//	c := twin.Generate(seed) // a random valid case, without expectations
//
// # Invariants
//
//  1. A decision is one atomic write: the world is copied before it, and a decision
//     that cannot be made (R12, R19) or in which the process dies leaves the copy.
//  2. Every delivery has exactly one fate, and the counts of its partition add up.
//  3. What follows from a decision (a drain, a caused event) is decided after it,
//     one atomic write each.
//
// # Non-obvious
//
// Two things unwind by panic inside this package: the death of the process, and
// a decision that ends in "not consumed". Each is recovered where the last atomic
// write is known.
//
// Where the text leaves room, the twin reads it so:
//
//   - R3: an event that has the id which made its number void is a duplicate even
//     when that id has been evicted.
//   - R4: "same epoch" is the entity's. Only sequence contracts have a next number;
//     under the other orders a letter's second delivery is duplicate_of_dlq. While
//     the entity is in local retry it is not the letter's turn. An applied id
//     resolves all its letters.
//   - R7: a letter as late keeps its number recorded. A number in local retry or
//     waiting for a look is neither held nor ahead: a second id for it is held, or
//     looked at, and found out afterwards. What a durable buffer keeps, though, is
//     held in it, also while it is tried again: a second id is a conflict at once.
//   - R9: an event that claims a void number takes the void away for good, even
//     when it ends as a letter.
//   - R10: a hole above last that a late event closed counts for highest as an ahead
//     number does; while it is a hole it does not count.
//   - R11: a rebuild requested for a hole and an alarm about it are each made once. A
//     timer that could not run starts anew; what waits for a look is listed as
//     retrying, so that for it none runs and it is not given up either. skip moves last
//     as far as it gives numbers up; void numbers below become holes with it.
//   - R12 binds in local retry too. skip pauses when there is nothing to give up; what
//     it has given up for an event that is then paused stays given up.
//   - R13: held events are decided again in sequence order, under latest-wins in
//     order of arrival. An early event in local retry makes its entity wait like
//     any other; given up (skip), its number is a hole above last, which last
//     passes over. An event that came out of a durable buffer stays in it until
//     decided: its offset stays committed, and after a crash it is held again.
//   - R13: a letter for which parking finds no room in a full queue (R19) undoes the
//     parking: an event in hand is paused, a timer tries again after retry.delay.
//   - R14: an epoch's reset does not reset the winner. Causes are not asked.
//   - R15: a crash point is a point of the event's apply; an event that is not
//     applied never reaches it. A compensation never fails.
//   - R16: offsets that were never delivered do not count; what a restart forgot
//     counts as delivered and not terminal.
//   - R17: each partition's events obey its own watermark, which is durable; a restart
//     that loses an event which it has passed takes it back below, or the event would
//     be late when it is delivered again. Causes are not asked.
//   - R18: asked of an event whose turn it is: not of an early one, one that gap=apply
//     applies, or a re-driven one; these are listed as unordered. Behind an event
//     that waits for its cause the gap policy is asked as behind a missing one; only
//     gap=apply holds, since it skips what is missing and the held one is not. A
//     cycle is looked for when the event's turn comes, along held events; the depth
//     is the number of held causes. on_timeout hold and rebuild go on waiting.
//   - Of the letters of one number the event that had it is re-driven before those that
//     were in conflict with it.
//   - A re-drive in which the process dies goes on after the restart. It passes over
//     numbers applied ahead too. What it has not filled is missing when it ends: then
//     timers start and rebuilds are asked for. Under latest-wins a letter can be next while it
//     beats the winner; under event time poison and parked ones can.
//   - Rebuild folds its log in (epoch, number) order. Numbers up to the live last
//     that the log lacks stay as they are live, and so do those that failed ahead. Of an
//     older epoch only what was applied is folded. One that waits for a local retry is
//     made when the drain behind the retry is done. Held events that it absorbed are
//     duplicates before anything else. A refused rebuild leaves no trace but a decision.
package twin
