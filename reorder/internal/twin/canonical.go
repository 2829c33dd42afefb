package twin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamrun/streamrun/reorder/scenario"
)

// Same reports whether two hosts agree: whether Canonical writes their outcomes alike.
func Same(a, b scenario.Outcome) bool { return identical(a, b) || Canonical(a) == Canonical(b) }

// identical reports whether two outcomes are equal as they stand, which most of those
// that are the same are. It is many times faster than writing them.
func identical(a, b scenario.Outcome) bool {
	for _, lists := range [][2][]scenario.Entry{
		{a.Applied, b.Applied},
		{a.Held, b.Held},
		{a.DLQ, b.DLQ},
		{a.Dropped, b.Dropped},
		{a.Paused, b.Paused},
		{a.Retrying, b.Retrying},
		{a.Fenced, b.Fenced},
		{a.Rebuilds, b.Rebuilds},
		{a.Compensated, b.Compensated},
		{a.Resolved, b.Resolved},
		{a.Parked, b.Parked},
		{a.Unordered, b.Unordered},
		{a.Suppressed, b.Suppressed},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			return false
		}
	}
	for _, e := range a.Applied {
		x, known := a.Last[e.Entity]
		if y, too := b.Last[e.Entity]; x != y || known != too || a.State[e.Entity] != b.State[e.Entity] {
			return false
		}
	}
	return maps.EqualFunc(a.Holes, b.Holes, slices.Equal) && maps.Equal(a.Effects, b.Effects) && maps.Equal(a.Diff, b.Diff) &&
		maps.Equal(a.Commit, b.Commit) && maps.Equal(a.Counts, b.Counts)
}

// Canonical writes an outcome as text in which two hosts that agree are equal: a
// line per field and, of applied, per entity; multisets sorted; empty fields left
// out. Decisions are left out: their explanations are a host's own. An entity of
// which nothing is applied, with no hole, may or may not be in Last and State.
func Canonical(o scenario.Outcome) string {
	var b strings.Builder
	applied := map[string][]string{}
	for _, e := range o.Applied {
		applied[e.Entity] = append(applied[e.Entity], e.String())
	}
	for _, name := range slices.Sorted(maps.Keys(applied)) {
		fmt.Fprintf(&b, "applied %s: %s\n", name, strings.Join(applied[name], " "))
	}
	for _, list := range []struct {
		name    string
		entries []scenario.Entry
	}{
		{"held", o.Held},
		{"dlq", o.DLQ},
		{"dropped", o.Dropped},
		{"paused", o.Paused},
		{"retrying", o.Retrying},
		{"fenced", o.Fenced},
		{"rebuilds", o.Rebuilds},
		{"compensated", o.Compensated},
		{"resolved", o.Resolved},
		{"parked", o.Parked},
		{"unordered", o.Unordered},
		{"suppressed", o.Suppressed},
	} {
		var texts []string
		for _, e := range list.entries {
			texts = append(texts, e.Entity+":"+e.String())
		}
		if slices.Sort(texts); len(texts) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", list.name, strings.Join(texts, ", "))
		}
	}
	lines(&b, "hole", o.Holes)
	lines(&b, "effect", o.Effects)
	for _, name := range slices.Sorted(maps.Keys(applied)) {
		if last, known := o.Last[name]; known {
			fmt.Fprintf(&b, "last %s: %d\n", name, last)
		}
		fmt.Fprintf(&b, "state %s: %s\n", name, o.State[name])
	}
	lines(&b, "diff", o.Diff)
	for _, p := range slices.Sorted(maps.Keys(o.Commit)) {
		if o.Commit[p] > 0 {
			fmt.Fprintf(&b, "commit %d: %d\n", p, o.Commit[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(o.Counts)) {
		c := o.Counts[p]
		c.VersionBackward = 0 // no rule of R0 to R19 counts it
		if c.Delivered > 0 {
			fmt.Fprintf(&b, "counts %d: %+v\n", p, c)
		}
	}
	return b.String()
}

func lines[V any](b *strings.Builder, what string, m map[string]V) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(b, "%s %s: %v\n", what, name, m[name])
	}
}
