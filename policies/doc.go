// Package policies holds ordering contracts, event classes and order metadata, as
// values and pure functions.
//
// A [Contract] is the sentence "events for X must be processed in order because Y"
// and the policies that keep it: what orders the events, how long a missing one is
// waited for, and what happens to those that are early, late, duplicate, missing or
// poisonous. A [Class] overrides some of them for the events that name it. Every
// zero value means a default; WithDefaults fills them in.
//
//	c := policies.Contract{
//		EventsFor: "order_id",
//		Because:   "a payment applied after a cancellation would charge a closed order",
//	}
//	err := c.Validate(policies.Facts{}) // every contradiction at once, each with its fix
//	fmt.Println(c)                      // one plain sentence
//	fmt.Print(c.Table())                // the same as a table
//	ok, why := c.OrderIndependent()     // whether the final state depends on the order of arrival
//
// [Metadata] places an event in the order of its entity. A [HeaderCodec] reads it
// from headers and writes it; package producer numbers events. [Letter] is what the
// headers of a dead letter say, [EffectID] the stable name of a side effect, and
// [Counts] add up what became of every delivery.
//
// This package never sleeps, logs, sends or reads a clock, and imports the standard
// library alone.
//
// # Order headers
//
// Names and values below are a format that never changes. In binary mode each is a
// record header; absent means zero. Names can be replaced by HeaderNames.
//
//	header             value                                          field
//	ce_id              text                                           ID
//	ce_sequence        digits, written as 19 with leading zeros       Sequence
//	ce_ordversion      digits                                         Version
//	ce_ordepoch        digits                                         Epoch
//	ce_ordscope        text: the sequence space                       scope of the codec
//	ce_time            RFC 3339, written as 2006-01-02T15:04:05.000Z  EventTime
//	ce_recordedtime    RFC 3339, written alike                        ProducedAt
//	ce_partitionkey    text; else ce_subject                          Entity
//	ce_type            text                                           Class
//	ce_correlationid   text                                           Correlation
//	ce_causationid     text                                           Causation
//
// A content-type header that begins with application/cloudevents says structured
// mode: it must be application/cloudevents+json, and the attributes are members of
// the JSON object in the record's value, named without "ce_". They win over headers.
//
// # Dead-letter headers
//
// A dead letter has the key, value and headers of the original record byte for
// byte, and behind them, in this order:
//
//	header                        value                                    written
//	__streams.errors.topic        text                                     always
//	__streams.errors.partition    decimal number                           always
//	__streams.errors.offset       decimal number                           always
//	__streams.errors.exception    text, at most 4096 bytes                 if not empty
//	__streams.errors.message      text, at most 4096 bytes                 if not empty
//	streamrun.dlq.id              text: id of the event                    if not empty
//	streamrun.dlq.reason          a Reason                                 always
//	streamrun.dlq.rule            R0 to R19, or -                          always
//	streamrun.dlq.entity          text                                     if not empty
//	streamrun.dlq.epoch           decimal number                           always
//	streamrun.dlq.sequence        decimal number                           if the event has one
//	streamrun.dlq.step            text: node that refused the event        always
//	streamrun.dlq.attempts        decimal number                           always
//	streamrun.dlq.first_at        2006-01-02T15:04:05.000Z                 always
//
// The first five are those of Kafka Streams (KIP-1034), which writes a stack trace
// too. Header sets have no version byte: their names are the version.
//
// # Effect ids
//
//	app/effect/entity/epoch/INPUT/n
//
//	INPUT    sequence        of the event that asked, in sequence orders
//	         timer@due       name of the timer that asked, and when it was due (ms)
//	         event           id of the event that asked, in the other orders
//
// epoch, sequence, due and n are decimal numbers. In app, effect, entity, timer and
// event every byte that is not visible ASCII, and each of / @ %, is written %XX
// with capital digits; of an event id that is all digits the first one is, too. So
// an id is one text, and a text one id.
//
// # Invariants
//
//  1. WithDefaults is a fixed point, and Validate says the same before and after it.
//  2. Validate reports every contradiction at once, and nothing about a policy whose
//     value it has already rejected.
//  3. ReadHeaders gives back what AppendHeaders wrote; so do ReadLetter and
//     ParseEffectID, and these accept nothing that is written in another way.
//  4. Counts are Balanced at every commit.
//
// # Non-obvious
//
//   - A snapshot's defaults differ: the newest wins, and nothing parks the entity.
//   - Validate reports a policy that the order never asks for only if it differs from
//     its default, since a default cannot be told from a choice.
//   - An event at 1970-01-01T00:00:00Z has no event time: 0 is absent.
//   - ReadHeaders copies what it keeps; all texts of an event share one string.
package policies
