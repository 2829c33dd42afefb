// Package topologytest runs a topology in a test: the real tasks on topics in
// memory and a virtual clock, without a broker, a goroutine or a wait.
//
//	d := topologytest.New(t, topo, topologytest.Options{})
//	orders := topologytest.Input(d, "orders", orderSerde)
//	totals := topologytest.Output(d, "order-totals", totalSerde)
//	orders.Send("o1", Order{Seq: 1, Cents: 5})
//	d.Advance(31 * time.Second)          // fires what is due
//	for _, r := range totals.Read() { ... }
//
// Every Send and Advance runs the tasks until they have nothing to do, and commits.
// CrashNext makes the process die at a point of the next commit; it restarts at once
// and restores as the runner does.
//
// # Invariants
//
//  1. Semantics are the runner's: the same task, restored from the same topics. A
//     difference is a bug here.
//  2. The same calls give the same topics.
package topologytest
