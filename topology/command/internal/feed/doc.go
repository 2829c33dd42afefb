// Package feed plans how a list of events is delivered badly on purpose: out of
// order, more than once, and not at all, as a seed draws it.
//
// Tour:
//
//	events, err := feed.ReadFile("events.ndjson.gz", feed.Limits{})
//	plan, err := feed.NewPlan(len(events), feed.Options{Shuffle: 50, DuplicatePercent: 10, Seed: 1})
//	for _, d := range plan.Deliveries {
//		send(events[d.Event].Value)
//	}
//	for _, l := range feed.Losses(len(events), plan.Lost, place) {
//		report(l)
//	}
//
// A plan is made of three independent draws, in this order:
//
//   - Order. The positions are cut into consecutive windows of Shuffle events
//     (the last may be shorter), and each window is permuted uniformly. An event
//     therefore never leaves its window and moves by less than Shuffle positions.
//   - Loss. LosePercent of all events are withheld: they appear nowhere.
//   - Duplicates. DuplicatePercent of the events that are delivered are sent a
//     second time, at a place drawn uniformly from all that lie behind the first.
//
// # Invariants
//
//  1. The same count and Options give the same plan.
//  2. len(Deliveries) = events - len(Lost) + len(Duplicates), and both lists have
//     exactly the share asked for, rounded to the nearest event (half up).
//  3. Every event is either in Lost and never delivered, or delivered once, or in
//     Duplicates and delivered twice; a copy comes behind its first delivery.
//  4. Without their copies, deliveries keep to the windows.
//
// # Non-obvious
//
// Each draw has its own random stream, so that a seed means the same order with and
// without losses; which events are sent again depends on which are delivered.
//
// A plan works on positions, not on bytes. Events that are equal already in the
// input stay different events for it, and do not count as duplicates.
package feed
