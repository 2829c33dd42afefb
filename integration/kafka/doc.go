//go:build linux

// Kafka starts and ends a real Apache Kafka on this machine, for tests.
//
//	eval "$(integration/kafka/up)"        one node; exports KAFKA_BROKERS
//	eval "$(integration/kafka/up 3)"      three nodes
//	eval "$(SEC=1 integration/kafka/up)"  TLS, SCRAM-SHA-512 and ACLs; exports KAFKA_CA_FILE, KAFKA_USERNAME and KAFKA_PASSWORD
//	                                      of a super user, and KAFKA_POWERLESS_... of one without rights, too
//	go test ./topology/internal/kafka/wire ./integration/realkafka
//	integration/kafka/down
//
// It needs Linux, Java 17 and, the first time, Maven. One cluster at a time: it is in
// the folder "cluster" of package cluster's cache, and its nodes go on when the shell
// ends. STREAMRUN_KAFKA_CACHE names another cache, for one more cluster. Exit codes: 0; 1
// it does not start or end; 2 wrong use; 5 one is up already; 6 Java or Maven is missing.
package main
