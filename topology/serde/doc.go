// Package serde turns keys and values into bytes and back.
//
//	orders := serde.Of(serde.String(), serde.JSON[Order]())
//
// # Invariants
//
//  1. Decode(Append(nil, v)) is v.
//  2. The same value always gives the same bytes, so that a state can be compared
//     byte for byte.
//
// # Non-obvious
//
// A tombstone (an absent value) never reaches a value serde: Record.Tombstone says it.
package serde
