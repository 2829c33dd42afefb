package dev

import (
	"cmp"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
)

// forgotten returns where the repetitions are that have a letter because their entity
// is parked (R6): so many events were applied after the first delivery that its id is
// remembered no more (R3). Which repetitions came when it was parked is a matter of
// their arrival, so these letters may be there and need not.
func (w *world) forgotten(results map[string]*fold.Result) map[place]bool {
	c := w.file.Contract.WithDefaults()
	if c.OrderBy != policies.BySequence {
		return nil // without numbers an id that is not remembered is another event
	}
	numbers := make(map[place]int64)
	for i := range w.deliveries {
		if d := &w.deliveries[i]; !d.invalid && d.meta.ID != "" {
			numbers[place{d.partition, d.offset}] = d.meta.Sequence
		}
	}
	found := make(map[place]bool)
	for i := range w.letters {
		l := &w.letters[i]
		r := results[l.Entity]
		if l.Reason != policies.ReasonEntityParked || r == nil || !r.Parked || r.Unknown != "" {
			continue
		}
		p := place{l.Partition, l.Offset}
		n, ok := numbers[p]
		at, applied := slices.BinarySearchFunc(r.Applied, n, func(event int, n int64) int {
			return cmp.Compare(w.deliveries[event].meta.Sequence, n)
		})
		if !ok || !applied || len(r.Applied)-1-at < c.IDMemory {
			continue
		}
		first := &w.deliveries[r.Applied[at]]
		if p != (place{first.partition, first.offset}) {
			found[p] = true
		}
	}
	return found
}
