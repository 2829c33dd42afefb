// Package realkafka has the tests of whole programs on a real Kafka cluster, the one
// that KAFKA_BROKERS names:
//
//	eval "$(integration/kafka/up 3)"
//	go test ./integration/realkafka
//	integration/kafka/down
//
// With SEC=1 the cluster asks who connects, and the tests of missing rights run too.
//
// The embedded broker answers at once and writes transaction markers before it
// answers; a real one lets a client wait for both, moves leaders, and refuses what
// the embedded one takes.
//
// # Invariants
//
//  1. What a test expects is computed here, from what was delivered: nothing of
//     reorder, task or config is imported.
//  2. The names of a test's topics and groups are of its own, so that a cluster can be
//     used again.
package realkafka
