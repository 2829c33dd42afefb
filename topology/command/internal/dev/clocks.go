package dev

import (
	"fmt"
	"sort"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// clocked gives the deliveries of one partition, ascending, the task clock of the step
// that consumed them, as the journal has it; the first one, where they were consumed
// again after a kill.
func clocked(deliveries []delivery, journal []record.Record) error {
	for i := range journal {
		j, err := task.DecodeJournal(journal[i].Value)
		if err != nil {
			return fmt.Errorf("journal@%d: %w", journal[i].Offset, err)
		}
		for _, s := range j.Steps {
			for _, sl := range s.Slices {
				at := sort.Search(len(deliveries), func(i int) bool { return deliveries[i].offset >= sl.From })
				for ; at < len(deliveries) && deliveries[at].offset < sl.To; at++ {
					if d := &deliveries[at]; d.clock == 0 {
						d.clock = s.Clock
					}
				}
			}
		}
	}
	return nil
}

// tooEarly returns what is wrong with the time at which the number of an event was
// given up, "" if nothing is. That the clock of the app says so is not enough: its
// clock comes to a time only when everything was read that could be read then.
func (w *world) tooEarly(g fold.GivenUp) string {
	d := &w.deliveries[g.Event]
	if d.readable == 0 || d.readable >= g.Until {
		return ""
	}
	return fmt.Sprintf("%s was given up although it could be read %d ms before its wait ended", d, g.Until-d.readable)
}

// stopped returns the partitions that stopped because an entity could hold no more
// events: time passes there although not everything is read.
func (w *world) stopped(results map[string]*fold.Result) map[int32]bool {
	stopped := make(map[int32]bool)
	if c := w.file.Contract.WithDefaults(); c.OnOverflow == policies.OnOverflowPause {
		for i := range w.deliveries {
			if d := &w.deliveries[i]; !d.invalid && results[d.meta.Entity].Held >= c.MaxHeld {
				stopped[d.partition] = true
			}
		}
	}
	return stopped
}
