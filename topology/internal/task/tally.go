package task

import "github.com/streamrun/streamrun/policies"

// A Decided says how many events a batch has of one disposition by one rule. An event
// that waits and is applied later is in two of them.
type Decided struct {
	Disposition policies.Disposition
	Rule        policies.Rule
	N           int64
}

// tallied are the dispositions that are told apart by rule, in their order in a tally.
const (
	tallyApplied = iota
	tallyHeld
	tallyDropped
	tallyDeadLettered
	tallyCompensated
	tallyAbsorbed
	tallyFenced
	tallyRetrying
	tallies
)

// rules are R0 to R19, and no rule.
const rules = 21

// tally counts decisions since the last Take. It is part of no state: what is restored
// begins at zero.
type tally [tallies][rules]int64

func (t *tally) add(disposition int, r policies.Rule) {
	t[disposition][min(int(r), rules-1)]++
}

// take returns what was counted, and begins anew.
func (t *tally) take() (all []Decided) {
	words := [tallies]policies.Disposition{
		policies.Applied, policies.Held, policies.Dropped, policies.DeadLettered,
		policies.Compensated, policies.Absorbed, policies.Fenced, policies.Retrying,
	}
	for d := range t {
		for r, n := range t[d] {
			if n == 0 {
				continue
			}
			rule := policies.Rule(r)
			if r == rules-1 {
				rule = policies.NoRule
			}
			all = append(all, Decided{words[d], rule, n})
		}
	}
	*t = tally{}
	return all
}
