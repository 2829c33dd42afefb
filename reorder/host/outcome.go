package host

import (
	"fmt"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// results is what was observed so far.
type results struct {
	applied, rebuilds, compensated, resolved, unordered, suppressed []scenario.Entry

	effects      map[string]int
	diff         map[string][2]string
	decisions    []scenario.Decision
	fencedCounts map[int]policies.Counts // of zombies, which write no counts
}

func (r *results) note(of scenario.Entry, rule policies.Rule, is policies.Disposition, reason policies.Reason, explanation string) {
	r.decisions = append(r.decisions, scenario.Decision{
		Entity: of.Entity, ID: of.ID, Rule: rule, Disposition: is, Reason: reason, Explanation: explanation,
	})
}

// Outcome implements scenario.Host. It also checks what must hold after every step:
// counts that add up, and a machine that holds back the offsets that R16 says.
func (h *Host) Outcome() (scenario.Outcome, error) {
	o := scenario.Outcome{
		Applied: slices.Clone(h.out.applied), Rebuilds: slices.Clone(h.out.rebuilds),
		Compensated: slices.Clone(h.out.compensated), Resolved: slices.Clone(h.out.resolved),
		Unordered: slices.Clone(h.out.unordered), Suppressed: slices.Clone(h.out.suppressed),
		Holes: map[string][]scenario.Span{}, Effects: maps.Clone(h.out.effects), Last: map[string]int64{},
		State: maps.Clone(h.disk.states), Commit: map[int]int64{}, Diff: maps.Clone(h.out.diff),
		Counts: map[int]policies.Counts{}, Decisions: slices.Clone(h.out.decisions),
	}
	for _, d := range h.world.deliveries {
		switch d.is {
		case policies.Held:
			o.Held = append(o.Held, d.entry(""))
		case policies.DeadLettered:
			o.DLQ = append(o.DLQ, d.entry(string(d.reason)))
		case policies.Dropped:
			o.Dropped = append(o.Dropped, d.entry(string(d.reason)))
		case policies.Paused:
			o.Paused = append(o.Paused, d.entry(""))
		case policies.Retrying:
			o.Retrying = append(o.Retrying, d.entry(""))
		case policies.Fenced:
			o.Fenced = append(o.Fenced, d.entry(""))
		default:
		}
	}
	h.rows(&o)
	if err := h.offsets(&o); err != nil {
		return o, err
	}
	return o, h.counts(&o)
}

// rows reads parked entities, holes and last from the order rows.
func (h *Host) rows(o *scenario.Outcome) {
	for _, key := range sorted(h.disk.rows) {
		id, ok := h.order.EntityOf([]byte(key))
		if !ok {
			continue
		}
		row, entity := h.machine.RowOf(h.Entity(string(id))), string(id)
		if h.contract.OrderBy == policies.BySequence {
			o.Last[entity] = row.Last()
		}
		if row.Parked() {
			o.Parked = append(o.Parked, scenario.Entry{Entity: entity, ID: entity})
		}
		row.Holes(func(from, to int64) {
			o.Holes[entity] = append(o.Holes[entity], scenario.Span{From: from, To: to})
		})
	}
}

// offsets says what may be committed (R16).
func (h *Host) offsets(o *scenario.Outcome) error {
	type copies struct{ terminal, pending bool }
	all := map[int]map[int64]copies{}
	lowest := map[int]int64{} // pending in the machine
	durable := h.contract.Buffer != policies.BufferVolatile
	for _, d := range h.world.deliveries {
		p, at := d.event.Partition, d.event.Offset
		if all[p] == nil {
			all[p] = map[int64]copies{}
		}
		c := all[p][at]
		switch {
		case d.is == policies.Paused:
			c.pending = true
		case d.is == policies.Retrying && !(durable && d.held), d.is == policies.Held && !durable:
			c.pending = true
			if n, ok := lowest[p]; !ok || at < n {
				lowest[p] = at
			}
		case d.is != policies.Fenced && d.is != lost:
			c.terminal = true
		}
		all[p][at] = c
	}
	for p, offsets := range all {
		want, held := lowest[p]
		if got, ok := h.machine.Pending(p); ok != held || ok && got != want {
			return fmt.Errorf("host: the machine holds offset %d (%t) of partition %d back, not %d (%t)", got, ok, p, want, held)
		}
		o.Commit[p] = 0
		for _, at := range slices.Sorted(maps.Keys(offsets)) {
			if c := offsets[at]; !c.terminal || c.pending {
				break
			}
			o.Commit[p] = at + 1
		}
	}
	return nil
}

// counts compares the machine's counts with what was observed.
func (h *Host) counts(o *scenario.Outcome) error {
	held, retrying, letters := map[int]int64{}, map[int]int64{}, map[int]int64{}
	for _, d := range h.world.deliveries {
		switch d.is {
		case policies.Held:
			held[d.event.Partition]++
		case policies.Retrying:
			retrying[d.event.Partition]++
		case policies.DeadLettered:
			letters[d.event.Partition]++
		default:
		}
	}
	for p, c := range h.machine.Counts() {
		if c.Held != held[p] || c.Retrying != retrying[p] || c.DeadLettered != letters[p] {
			return fmt.Errorf("host: partition %d: counted %+v, seen held %d, retrying %d, dead-lettered %d", p, c, held[p], retrying[p], letters[p])
		}
		c = c.Add(h.out.fencedCounts[p])
		if !c.Balanced() {
			return fmt.Errorf("host: the counts of partition %d do not add up: %+v", p, c)
		}
		if c != (policies.Counts{}) {
			o.Counts[p] = c
		}
	}
	return nil
}
