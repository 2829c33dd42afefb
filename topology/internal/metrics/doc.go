// Package metrics has the names, labels and help of every metric of streamrun.
//
//	set := metrics.New("billing", version, state)
//	err := set.Register(registerer)        // or set.Handler(), which serves them alone
//	t := set.Open("totals_3", sources)     // a task is there
//	t.Commit(metrics.Commit{...})          // once per batch, from its totals
//	t.Close()                              // and gone: its series are too
//
// A Set keeps plain numbers and makes metrics of them when somebody collects; so a
// task that goes takes all of its series with it, and nobody looks up a label
// while records flow. The golden file lists every metric with type, labels and help.
//
// # Invariants
//
//	M1. Nothing is labelled by key, entity, offset or anything else that events bring.
//	M2. Nothing is called per record: numbers come from a batch, an answer of a fetch
//	    or a change of state.
//	M3. Every metric is in the golden list, and every name begins with streamrun_.
//
// # Non-obvious
//
//   - Dispositions are the totals that were committed with the offsets: they go on
//     where they were after a restart, and belong to the source partition, whichever
//     instance has it.
//   - Lag ends at the last record that can be read: at the last stable offset, with
//     the control records in front of it counted as read once the reader passed them.
//   - Two runners of one app in one process need a registerer each
//     (prometheus.WrapRegistererWith), since their series have the same labels.
package metrics
