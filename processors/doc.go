// Package processors has the operators of a topology, written on the public API of
// package topology alone: a user's own operator has the same rights.
//
//	paid := processors.Filter(orders, func(_ string, o Order) bool { return o.Paid })
//	totals := processors.Aggregate(paid, totalStore, func(id string, o Order, t Total) (Total, error) {
//		return t.Add(o), nil
//	})
//
// # Invariants
//
//  1. MapValues, Filter and Aggregate keep the key; only Map can change it.
//  2. A function passed to an operator is a function of its arguments.
package processors
