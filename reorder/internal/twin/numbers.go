package twin

import (
	"cmp"
	"slices"

	"github.com/streamrun/streamrun/reorder/scenario"
)

// numbers is a set of numbers as spans that do not overlap, in no order. A hole may
// be as wide as numbers are.
type numbers []scenario.Span

func (s numbers) has(n int64) bool {
	return slices.ContainsFunc(s, func(in scenario.Span) bool { return in.From <= n && n <= in.To })
}

// without returns the set less the numbers from to to.
func (s numbers) without(from, to int64) numbers {
	var rest numbers
	for _, in := range s {
		if in.From < from {
			rest = append(rest, scenario.Span{From: in.From, To: min(in.To, from-1)})
		}
		if in.To > to {
			rest = append(rest, scenario.Span{From: max(in.From, to+1), To: in.To})
		}
	}
	return rest
}

// with returns the set and the numbers from to to.
func (s numbers) with(from, to int64) numbers {
	if from > to {
		return slices.Clone(s)
	}
	return append(s.without(from, to), scenario.Span{From: from, To: to})
}

// and returns the numbers of both sets.
func (s numbers) and(other numbers) numbers {
	for _, in := range other {
		s = s.with(in.From, in.To)
	}
	return s
}

// within returns the numbers of the set from from to to.
func (s numbers) within(from, to int64) numbers {
	var part numbers
	for _, in := range s {
		if in.From <= to && in.To >= from {
			part = append(part, scenario.Span{From: max(in.From, from), To: min(in.To, to)})
		}
	}
	return part
}

// joined returns the set ascending, neighbours as one span.
func (s numbers) joined() numbers {
	var all numbers
	for _, in := range slices.SortedFunc(slices.Values(s), func(a, b scenario.Span) int { return cmp.Compare(a.From, b.From) }) {
		if last := len(all) - 1; last >= 0 && all[last].To == in.From-1 {
			all[last].To = in.To
		} else {
			all = append(all, in)
		}
	}
	return all
}
