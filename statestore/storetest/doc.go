// Package storetest is the suite that every back end of statestore passes.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Place {
//			dir := t.TempDir()
//			return storetest.Place{Open: func() (statestore.Backend, error) { return mydb.Open(dir) }, ...}
//		})
//	}
//
// A Place is where a back end keeps its rows. One that only opens is checked as a
// back end in memory; with Flush it must also keep what it holds over a close, with
// Crash over the death of its process, and with Break it must tell of a disk that
// fails. Every failure begins with the rule that was broken.
//
// # Invariants
//
//  1. The suite knows a back end by the interface and the Place alone.
//  2. What it expects is said by a map that is as slow as it is obvious.
//
// # Non-obvious
//
// After a crash, rows may be newer than the positions that stand beside them, never
// older: a restore reads the changelog from the positions on and writes the rows
// again. So the suite does what a restore does before it compares.
package storetest
