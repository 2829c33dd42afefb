// Package reorder decides what happens to the events of each entity so that they are
// applied in order: the rules R0 to R19 as a pure state machine, and the machine
// that runs it over all entities of one task.
//
// Two layers. A Sequencer decides about one input of one entity at a time: it is lent
// the entity's Row and its Held events and answers with decisions, which are data.
// A Machine keeps what lies between entities (timers, causes, watermarks, counts),
// hands decisions out one by one and turns rows into bytes; it is what a task drives
// (topology.OrderMachine).
//
//	m := reorder.New(contract).NewMachine(host, sources)
//	m.Record(slot, &event, now)
//	for d := m.Next(true); d != nil; d = m.Next(true) {
//		if d.Kind == topology.DecideApply {
//			m.Outcome(run(d.Event))
//		}
//	}
//	m.Changes(put) // and AppendRow for each entity that the host was told is dirty
//
// Explain says any decision in words. PlanRebuild and Machine.Swap put an entity that
// was folded again from its log in the place of the live one. InOrder is the operator.
//
// # Invariants
//
//  1. Same inputs, same decisions, same bytes: no clock, goroutine, I/O or map order.
//  2. An apply ends its Step. Until its outcome nothing of it is in the row, and
//     nothing behind it has been decided.
//  3. Every delivery is counted under exactly one disposition, after every decision.
//  4. last never goes back within an epoch. Every number up to last is decided or a
//     hole; one above it is undecided, ahead, void, held or tried again, and only one
//     of these.
//  5. A row without a rare part belongs to an entity of which nothing is held, missing,
//     tried again or dead-lettered: then the next number is applied at once.
//  6. What a durable buffer has taken stays in it until it is decided, local retries
//     included: its offset may be committed and a restart decides about it again.
//  7. What is cut by a budget goes on at the time at which it began, before the next
//     input of the entity: a budget changes when a decision is made, but none. (An
//     estimated wait follows from what was learned when its hole opened.) An input that
//     comes meanwhile joins what is left where that comes to the same: the event behind
//     the last one that waits is held, and tried as of when it came; a duplicate of what
//     is applied is dropped (at the end of the drain its id may be forgotten, and the
//     entity parked). All others wait for what is left.
//
// # Non-obvious
//
//   - A hole above last (an event that was applied ahead, failed and is skipped) is in
//     holes and in ahead: last passes over it, and its number is given up already.
//   - Looks (gap=retry) and local retries of events that no durable buffer has are
//     volatile: their offsets are held back, and a restart counts them as lost.
//   - An id that is derived from the sequence number is not remembered: the number
//     proves it. Where a reset gives numbers away, it is remembered like others.
//   - A letter's bytes are kept only while the letter can be next.
//   - The watermark is stored, but with a volatile buffer it is stored below what
//     will be delivered again: a retry that a restart forgot is not late.
//   - Causal contracts and those by event time finish everything that is pending
//     before the next record, since there entities act on each other.
//   - A re-drive that a restart interrupts goes on. R1 is asked by whoever knows the
//     owner generation: DecideFence is not made here.
//
// # Rows
//
// All rows of a node's order stand in one compacted topic. The first byte of a key is
// the kind; numbers in keys are 8 bytes that sort as the numbers do.
//
//	entity row   01 entity                                 -> order row
//	task row     02 00                                     -> watermarks
//	             02 01 hash                                -> applied cause
//	             02 02                                     -> waits
//	held event   03 len entity  epoch  number              -> event
//	letter       04 len entity  ordinal                    -> event, reason, rule
//
// Values begin with the format version, 1, and flags that say which of the parts
// follow, in this order. A part that is absent takes no byte and is zero or empty; one
// that is present is not, so that a value has one encoding. Numbers are varints in
// their shortest form (u: unsigned, i: zigzag), hash is 8 bytes, text is u length and
// bytes. Decoders refuse another version, unknown flags, truncated and trailing bytes.
//
//	order row    version  u flags
//	             i epoch   i start (absent: 1)   u last-start+1 (always)   i version
//	             parked, redriving: flags alone
//	             ids      u n, n x { kind  [i difference to the number before]  hash }
//	                      kind: 1 applied, 2 has a number of this epoch; oldest first,
//	                      the first number is a difference to last
//	             holes    u n, i from, u to-from, then n-1 x { u gap-2, u to-from }
//	             ahead    as holes
//	             void     u n, i from, u to-from, hash, then n-1 x { u gap-1, u to-from, hash }
//	             winner   i version  i event time  text id
//	             hole timer    i number  i due  u arming  running (0 or 1)  i opened
//	             causal timer  i number  i due  u arming  running (0 or 1)
//	             asked, rung   i first number of the hole
//	             evacuate reason     i arrival
//	event        version  u flags
//	             u source  i offset  text id  i sequence  i epoch  i version
//	             i event time  i produced at  text causation  text correlation
//	             text class  i timestamp  text payload (may be empty)
//	             waiting (held) | parks, bare (letter): flags alone
//	letter       event  reason  rule
//	watermarks   version  u n, n x { 0 | 1 i mark }
//	cause        version  u ordinal
//	waits        version  log2 of the factor  clean holes, signed  u n
//	             n x { u difference to the bucket before (-1)  u weight filled  u weight given up }
//
// reason is the index in reasonCodes; rule is 0 to 19, or 255 for none. Timers, asked,
// rung, evacuate and arrival live as long as the held events: a volatile buffer leaves
// them out, and has no held rows.
package reorder
