// Package kafkatest is the conformance suite of the seam to Kafka: what every
// kafka.Cluster keeps, whatever is behind it.
//
// A driver calls Run from one of its tests and hands in a Harness: a cluster in
// which nothing has the case's names, and what its backend can be made to do (answer
// with an error, lose an answer, hold transaction markers back, remove a member).
// Every case opens a Harness of its own. A case that needs what a backend cannot do is
// left out only if the harness gives the reason in Without, and Run logs it.
//
//	func TestConforms(t *testing.T) {
//		kafkatest.Run(t, func(t *testing.T) kafkatest.Harness {
//			c := mem.New(mem.Options{})
//			t.Cleanup(func() { c.Close() })
//			return kafkatest.Harness{Cluster: c, Inject: ...}
//		})
//	}
//
// A failure says which rule the driver broke. That nothing is left running after
// Close is checked by goleak in the TestMain of the package that calls Run.
//
// Invariants:
//
//  1. A case uses the interfaces of package kafka and the harness, nothing else.
//  2. No case sleeps: it waits for a condition, until its deadline.
//  3. Nothing is left out without a reason given by the harness.
//
// Non-obvious: a lost answer is lost for as long as the fault is in place, so
// that a driver may send again as often as it likes; it has to give up within
// its RequestTimeout and say ErrIndefinite.
package kafkatest
