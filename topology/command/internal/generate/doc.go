// Package generate makes realistic events where there are none: the life of many
// entities, interleaved in order of event time, as a seed draws it.
//
// Tour:
//
//	orders, err := generate.Orders(generate.Options{Seed: 1, Events: 10000, Entities: 1500})
//	err = generate.Write(os.Stdout, orders)
//
// Two kinds of entities exist. Orders of a shop are created, viewed, paid, and
// shipped or cancelled. Permits are the cases of an authority: an application is
// received, checked, advised on and decided; their events have the fields of the
// event logs that process mining uses (case, activity, resource, department).
//
// # Invariants
//
//  1. The same Options give the same bytes.
//  2. Exactly Options.Events events of exactly Options.Entities entities come out.
//  3. Per entity the sequence is 1, 2, ... without a gap, event time grows, and the
//     last event, and only it, says so.
//  4. Over all events, event time never goes back, and every event id is unique.
//
// # Non-obvious
//
// An entity's events are drawn from a stream of its own (seed, entity), while they
// are asked for: memory grows with the entities, not with the events.
//
// How many events an entity has is drawn first and its life is then made to fit:
// that is how both totals come out exactly.
package generate
