package twin

import (
	"fmt"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

func entry(entity, id, note string, args ...any) scenario.Entry {
	return scenario.Entry{Entity: entity, ID: id, Note: fmt.Sprintf(note, args...)}
}

// Outcome returns what has become of everything so far.
func (t *Twin) Outcome() (scenario.Outcome, error) {
	o := scenario.Outcome{
		Resolved: slices.Clone(t.resolved), Rebuilds: slices.Clone(t.rebuilds), Suppressed: slices.Clone(t.suppressed),
		Diff: maps.Clone(t.diff), Effects: maps.Clone(t.attempts), Decisions: slices.Clone(t.decisions),
		Holes: map[string][]scenario.Span{}, Last: map[string]int64{}, State: map[string]string{},
		Commit: map[int]int64{}, Counts: map[int]policies.Counts{},
	}
	for _, n := range t.applied {
		o.Applied = append(o.Applied, t.entryOf(n, ""))
	}
	for n, f := range t.fates {
		with := func(list *[]scenario.Entry) { *list = append(*list, t.entryOf(n, f.reason)) }
		bare := func(list *[]scenario.Entry) { *list = append(*list, t.entryOf(n, "")) }
		switch f.disposition {
		case policies.Held:
			bare(&o.Held)
		case policies.DeadLettered:
			with(&o.DLQ)
		case policies.Dropped:
			with(&o.Dropped)
		case policies.Paused:
			bare(&o.Paused)
		case policies.Retrying:
			bare(&o.Retrying)
		case policies.Fenced:
			bare(&o.Fenced)
		case policies.Compensated:
			bare(&o.Compensated)
		default:
		}
		if f.unordered {
			bare(&o.Unordered)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.entities)) {
		e := t.entities[name]
		if !e.known {
			continue
		}
		o.State[name] = e.state()
		if t.bySequence() {
			o.Last[name] = e.last
		}
		if len(e.holes) > 0 {
			o.Holes[name] = e.holes.joined()
		}
		if e.parked {
			o.Parked = append(o.Parked, entry(name, name, ""))
		}
	}
	t.commits(o.Commit)
	t.counts(o.Counts)
	return o, nil
}

func (t *Twin) entryOf(n int, reason policies.Reason) scenario.Entry {
	return scenario.Entry{Entity: t.deliveries[n].Entity, ID: t.deliveries[n].ID, Note: string(reason)}
}

// commits is R16.
func (t *Twin) commits(commit map[int]int64) {
	type place struct {
		partition int
		offset    int64
	}
	terminal, pending := map[place]bool{}, map[place]bool{}
	offsets := map[int][]int64{}
	for n, d := range t.deliveries {
		at := place{d.Partition, d.Offset}
		offsets[d.Partition] = append(offsets[d.Partition], d.Offset)
		switch f := t.fates[n]; f.disposition {
		case policies.Held, policies.Retrying:
			if f.buffered || t.fault == commitPastHeld {
				terminal[at] = true
			} else {
				pending[at] = true
			}
		case policies.Paused:
			pending[at] = true
		case policies.Fenced, lost, unread:
		default:
			terminal[at] = true
		}
	}
	for p, all := range offsets {
		commit[p] = 0
		for _, offset := range slices.Sorted(slices.Values(all)) {
			at := place{p, offset}
			if !terminal[at] || pending[at] {
				break
			}
			commit[p] = offset + 1
		}
	}
}

// counts adds up the dispositions of each partition.
func (t *Twin) counts(counts map[int]policies.Counts) {
	for n, d := range t.deliveries {
		c := counts[d.Partition]
		f := t.fates[n]
		if f.disposition != policies.Paused && f.disposition != unread {
			c.Delivered++
		}
		switch f.disposition {
		case policies.Applied:
			c.Applied++
		case policies.Dropped:
			switch f.reason {
			case policies.ReasonDuplicateOfDLQ:
				c.DuplicateOfDLQ++
			case policies.ReasonSuperseded:
				c.Superseded++
			case policies.ReasonLate:
				c.LateDropped++
			default:
				c.Duplicate++
			}
		case policies.DeadLettered:
			c.DeadLettered++
		case policies.Compensated:
			c.Compensated++
		case policies.Absorbed:
			c.Absorbed++
		case policies.Fenced:
			c.Fenced++
		case policies.Held:
			c.Held++
		case policies.Retrying:
			c.Retrying++
		case resolvedAgain:
			c.ResolvedAgain++
		case lost:
			c.Lost++
		default:
		}
		counts[d.Partition] = c
	}
}
