package scenario

import (
	"fmt"
	"strings"

	"github.com/streamrun/streamrun/policies"
)

// A Result is how one case went.
type Result struct {
	File string
	Line int
	ID   string
	Pass bool

	// Of a case that did not pass: the first difference, or Err.
	Field       string // "applied", "held" ...
	Expected    string
	Happened    string
	Rule        policies.Rule // that decided about the first entry that differs, or policies.NoRule
	Explanation string        // of that decision, for people
	Order       []int         // of a permuted case: the order of its events that gave the difference, from 1
	Err         error         // the host could not run the case
}

// Run tries every case of a file, each on a new host, and returns one Result per
// case in the order of the file. A host that fails or panics fails its case only.
func Run(file *File, newHost NewHost) []Result {
	results := make([]Result, len(file.Cases))
	for i := range file.Cases {
		results[i] = runCase(&file.Cases[i], newHost)
		results[i].File = file.Path
	}
	return results
}

func runCase(c *Case, newHost NewHost) Result {
	r := Result{ID: c.ID, Line: c.Line, Rule: policies.NoRule}
	if !c.Permute {
		r.try(c, c.Steps, newHost)
		return r
	}
	slots := c.deliveries()
	permutations(len(slots), func(order []int) bool {
		steps := append([]Step(nil), c.Steps...)
		for to, from := range order {
			steps[slots[to]].Event = c.Steps[slots[from]].Event
		}
		r.try(c, steps, newHost)
		if !r.Pass {
			for _, from := range order {
				r.Order = append(r.Order, from+1)
			}
		}
		return r.Pass
	})
	return r
}

// deliveries returns the indexes of the steps that deliver an event.
func (c *Case) deliveries() []int {
	var slots []int
	for i, s := range c.Steps {
		if s.Kind == Deliver {
			slots = append(slots, i)
		}
	}
	return slots
}

// permutations calls try with every order of 0..n-1, in lexicographic order, until it answers false.
func permutations(n int, try func(order []int) bool) {
	order := make([]int, 0, n)
	used := make([]bool, n)
	var extend func() bool
	extend = func() bool {
		if len(order) == n {
			return try(order)
		}
		for i := range n {
			if used[i] {
				continue
			}
			used[i], order = true, append(order, i)
			goOn := extend()
			used[i], order = false, order[:len(order)-1]
			if !goOn {
				return false
			}
		}
		return true
	}
	extend()
}

// try runs the steps on a new host and records the first difference.
func (r *Result) try(c *Case, steps []Step, newHost NewHost) {
	out, err := outcome(c, steps, newHost)
	if err != nil {
		r.Pass, r.Err = false, fmt.Errorf("scenario: running case %s: %w", c.ID, err)
		return
	}
	d, differs := compare(c, &out)
	if r.Pass = !differs; r.Pass {
		return
	}
	r.Field, r.Expected, r.Happened = d.field, d.expected, d.happened
	if last := d.decision(out.Decisions); last != nil {
		r.Rule, r.Explanation = last.Rule, last.Explanation
	}
}

func outcome(c *Case, steps []Step, newHost NewHost) (out Outcome, err error) {
	// A host that breaks is one failed case; the other cases still say something.
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the host panicked: %v", v)
		}
	}()
	contract := copyContract(c.Contract)
	host, err := newHost(contract)
	if err != nil {
		return Outcome{}, fmt.Errorf("making a host: %w", err)
	}
	for i, s := range steps {
		if err := host.Do(s); err != nil {
			return Outcome{}, fmt.Errorf("step %d, at %d: %w", i+1, s.At, err)
		}
	}
	return host.Outcome()
}

// String returns the result as one line.
func (r *Result) String() string {
	if r.Pass {
		return "pass " + r.ID
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FAIL %s: ", r.ID)
	if r.Err != nil {
		b.WriteString(r.Err.Error())
	} else {
		fmt.Fprintf(&b, "%s: expected %s, happened %s", r.Field, r.Expected, r.Happened)
		switch {
		case r.Rule != policies.NoRule:
			fmt.Fprintf(&b, ", decided by %v: %s", r.Rule, r.Explanation)
		case r.Explanation != "":
			fmt.Fprintf(&b, ", decided by no rule: %s", r.Explanation)
		}
	}
	if r.Order != nil {
		fmt.Fprintf(&b, " (events in the order %s)", strings.Trim(fmt.Sprint(r.Order), "[]"))
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}
