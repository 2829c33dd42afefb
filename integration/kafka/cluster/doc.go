//go:build linux

// Package cluster starts a real Apache Kafka on this machine: one node, or three, in
// KRaft mode on loopback, for tests and for tools that take a cluster apart.
//
//	c, err := cluster.Start(ctx, cluster.Options{Nodes: 3, Dir: dir, Log: os.Stderr})
//	defer c.Close()
//	c.Brokers()          // bootstrap addresses
//	c.Kill(2)            // SIGKILL, gone when it returns
//	c.Start(ctx, 2)      // the same node on the same data
//	c.Pause(1)           // SIGSTOP; Resume: SIGCONT
//
// Java and Maven come from the machine (a MissingError says what to install), Kafka
// from Maven Central: its jars are copied once into a cache (Cache) and used again.
// What a cluster has (properties, data, logs, pids) is in its directory, state.json
// among it, from which Open finds a cluster that another process started.
//
// When Start returns every node is ready, knows the others, and has a coordinator
// for groups and for transactions: their first use takes seconds, which no test
// should have to wait for.
//
// # Invariants
//
//  1. A signal goes only to a pid of state.json whose command line names the
//     properties file of the node: a pid that was given to another process is
//     left alone.
//  2. After Close, and after a Start that failed, no process and no file of the
//     cluster is left.
//  3. Nodes end with the process that started them, however it ends, unless
//     Detached.
//
// # Non-obvious
//
//   - Ports are drawn below the range from which the system takes the ports of
//     outgoing connections. Else a client that keeps dialing a killed node would in the
//     end connect to itself, and the node could not come back.
//   - Three combined nodes are ready only when most of them run, so all are started
//     before any is waited for.
//   - With Secure the clients' listener is SASL_SSL with SCRAM-SHA-512 and ACLs, but
//     the controllers' is plain: whoever reaches it is a super user. Loopback only.
package cluster
