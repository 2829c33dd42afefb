// Package scenario reads files of ordering cases and tries them on an
// implementation of the ordering rules.
//
// A file of schema ordering-vectors/1 holds cases: a contract, steps on a
// virtual clock in milliseconds, and the expected outcome. The notation and the
// rules R0 to R19 stand in the comments of testdata/ordering-vectors.yaml.
//
//	file, err := scenario.Load("cases.yaml") // every fault in one pass, with file:line:col
//	results := scenario.Run(file, newHost)   // one Result per case
//	err = scenario.WriteText(os.Stdout, results)
//
//	code := scenario.Simulate(os.Stdout, os.Stderr, paths, "text", newHost) // all of it, with an exit code
//
// What is tried is a Host: a system small enough to be told "this record was
// delivered" or "the process died" and to be asked what has become of every
// event. The twin and the production sequencer each stand behind one.
//
// # Invariants
//
//  1. A case sees a new Host; nothing is shared between cases.
//  2. A Host gets the steps in the order of the file. It lets the timers that are
//     due at or before a step's time fire, in time order, before that step.
//  3. The contract of a case is whole: the schema's defaults, then the file's
//     defaults, then the case's own fields. policies.Contract.WithDefaults is not
//     applied by this package, and not meant to be applied to it: a max_held,
//     max_wait, id_memory, dlq_max or max_jump of 0 means 0.
//
// # Non-obvious
//
//   - retry.max: 0 becomes Retry.Max -1, a contract's word for none. A field that the
//     schema does not have (MaxHoles, Duplicate, Conflict, Effects, OnVersionBackward)
//     has its usual default.
//   - Scalars are read as they are written: d: 1 is the text "1". A number that int64
//     cannot hold is the nearest that it can. Anchors and aliases work; merge keys
//     do not.
//   - Retry, and classes by name, are merged with the defaults field by field.
//   - What can be no outcome of a host is a fault of the file: a reason that no letter
//     has, a partition that no host has, more orders than are tried.
package scenario
