// Package graph is the untyped graph of a topology and its cut into sub-topologies.
//
// The typed operators of package topology add nodes; Cut finds the parts that share
// no edge and no store. Each part runs as one task for each partition.
//
// # Invariants
//
//  1. Nodes are added parents first, so that the order of adding is a topological one.
//  2. Errors name the node, the operator and the user's call site; Check returns all.
//  3. A store belongs to one sub-topology; nodes that share it are in it.
package graph
