// Package producer numbers the events of a producer: gapless per entity, with the
// same number and id when an event is sent again.
//
// A [Numberer] stamps an event with epoch and sequence number before it is sent. It
// keeps nothing itself. What was given out stands in a [Source] of the caller: best
// an outbox table whose row is written in the transaction that changes the business
// state, so that an event exists exactly if its number does.
//
//	n, err := producer.Open(ctx, source, time.Now().UnixMilli())
//	...
//	m, err := n.Stamp(ctx, policies.Metadata{Entity: "order-7", ID: "order-7-paid", Class: "paid"})
//	headers, err := policies.AppendHeaders(codec, nil, &m)
//
// Events of one entity are sent in the order of their numbers, by an idempotent
// producer that waits for all replicas. An event whose sending is in doubt (a
// timeout) is stamped and sent again with the same id: the consumer drops the copy.
//
// What a crash leaves:
//
//	crash                           source kept                     source lost
//	before Record                   no number was given out         a new epoch, from 1
//	after Record, before the send   the number is owed: the event   a new epoch; the number was
//	                                is stamped and sent again       never seen, nobody waits for it
//	after the send                  sent again: a duplicate         sent again under the new epoch:
//	                                                                a duplicate by its id
//
// A number that is owed must be sent: the consumer waits for it. With an outbox the
// relay that reads the table does so by itself; without one the caller stamps the
// same event, with its id, after the restart.
//
// A source that is lost, or a [Memory] after a restart, cannot say what was given
// out. Open then begins a new epoch, whose numbers start again, and the consumer's
// contract says reset: epoch. A source that went back in time (restored from a
// backup) is worse than a lost one, since it gives numbers out twice: call
// OpenEpoch on it before Open.
//
// # Invariants
//
//  1. The numbers of one entity in one epoch are Start, Start+1, ... without a gap.
//  2. In one epoch an id has one number and a number one id.
//  3. An id that the source remembers keeps its epoch and number for ever.
//  4. Epochs only grow.
//
// # Non-obvious
//
//   - An event without an id is refused: nothing would tell its retry from a new event.
//   - Several producers may share a source, whose Record then decides the race.
package producer
