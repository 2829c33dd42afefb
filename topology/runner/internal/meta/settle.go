package meta

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// A ChangedError says that a topology is not the one whose state is there.
type ChangedError struct {
	App     string
	Changes []string // each with its way on
}

// Error implements error.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("app %s: its topology was changed in a way that does not fit the state that is there: %s; "+
		"put it back as it was, or run the changed one as an app of another name, which reads everything from the beginning",
		e.App, strings.Join(e.Changes, "; "))
}

// Settle gives the plans of a topology the names and the order of sources that are
// recorded, and what is to be recorded of them. notes are changes that are taken and
// that somebody should know; changes are those that are not.
func Settle(recorded, now []Plan) (settled []Plan, notes, changes []string) {
	claimed := map[string]string{} // by the recorded name: the plan that goes on with it
	for _, p := range now {
		var of []Plan
		for _, r := range recorded {
			if goesOn(&p, &r) {
				of = append(of, r)
			}
		}
		switch {
		case len(of) == 0:
			settled = append(settled, p)
			continue
		case len(of) > 1:
			changes = append(changes, fmt.Sprintf("sub-topologies %s are one now (%s), and their tasks have journals and commits of their own: keep them apart", names(of), p.Name))
			continue
		}
		if other, ok := claimed[of[0].Name]; ok {
			changes = append(changes, fmt.Sprintf("sub-topology %s is in two parts now (%s, %s), and both would go on with its journal and its directories: keep them joined", of[0].Name, other, p.Name))
			continue
		}
		claimed[of[0].Name] = p.Name
		c := comparison{was: &of[0], is: &p}
		settled = append(settled, c.settle())
		notes = append(notes, c.notes...)
		changes = append(changes, c.changes...)
	}
	for _, r := range recorded {
		if !slices.ContainsFunc(now, func(p Plan) bool { return goesOn(&p, &r) }) {
			notes = append(notes, fmt.Sprintf("sub-topology %s is gone: its topics are not read and not written any more", r.Name))
		}
	}
	return settled, notes, changes
}

// Unknown returns what steps say that they were and is recorded of none; of an app of
// which nothing is recorded, nothing: there it is what they begin as.
func Unknown(recorded, now []Plan) (names []string) {
	for _, p := range now {
		for _, s := range p.Steps {
			known := func(r Plan) bool { return find(r.Steps, s.Kind, s.Name) != nil }
			if s.Renamed && len(recorded) > 0 && !slices.ContainsFunc(recorded, known) {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// goesOn reports whether a step that is recorded of one plan is left in another.
func goesOn(p, recorded *Plan) bool {
	return slices.ContainsFunc(recorded.Steps, func(s task.PlanStep) bool { return find(p.Steps, s.Kind, s.Name) != nil })
}

func find(steps []task.PlanStep, kind, name string) *task.PlanStep {
	for i := range steps {
		if steps[i].Kind == kind && steps[i].Name == name {
			return &steps[i]
		}
	}
	return nil
}

func names(plans []Plan) string {
	var all []string
	for _, p := range plans {
		all = append(all, p.Name)
	}
	return strings.Join(all, " and ")
}

// A comparison is of a plan with what is recorded of it.
type comparison struct {
	was, is        *Plan
	notes, changes []string
}

func (c *comparison) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *comparison) refuse(format string, args ...any) {
	c.changes = append(c.changes, fmt.Sprintf(format, args...))
}

// settle returns the plan as it is to be recorded.
func (c *comparison) settle() Plan {
	out := Plan{Name: c.was.Name, Hash: c.is.Hash, Steps: slices.Clone(c.is.Steps)}
	for _, t := range c.was.Topics {
		if slices.Contains(c.is.Topics, t) {
			out.Topics = append(out.Topics, t)
		}
	}
	for _, t := range c.is.Topics {
		if !slices.Contains(out.Topics, t) {
			out.Topics = append(out.Topics, t)
		}
	}
	for i := range c.was.Steps {
		was := &c.was.Steps[i]
		switch is := find(c.is.Steps, was.Kind, was.Name); {
		case is != nil:
			c.terms(was, is)
		case was.Kind == Gone:
			if find(c.is.Steps, task.StoreStep, was.Name) != nil {
				c.refuse("store %q was left out once and is back: what happened meanwhile is not in it; give it another name", was.Name)
			}
			out.Steps = append(out.Steps, *was)
		default:
			c.gone(was, &out)
		}
	}
	for i := range c.is.Steps {
		if is := &c.is.Steps[i]; find(c.was.Steps, is.Kind, is.Name) == nil {
			c.added(is)
		}
	}
	return out
}

// gone sees to a step that is not there any more.
func (c *comparison) gone(was *task.PlanStep, out *Plan) {
	switch was.Kind {
	case task.OrderStep:
		if s := without(c.is.Steps, c.was.Steps, was.Kind); s != nil {
			c.refuse("order %q is gone and %q is new, which knows nothing of the events that were read: if it was renamed, say there was: %s", was.Name, s.Name, was.Name)
			return
		}
		c.refuse("order %q is gone, and with it what its entities have seen and the events that it holds", was.Name)
	case task.StoreStep:
		if s := without(c.is.Steps, c.was.Steps, was.Kind); s != nil {
			c.refuse("store %q is gone and %q is new, which would begin empty: if its step was renamed, say there store: %s", was.Name, s.Name, was.Name)
			return
		}
		c.note("store %q is gone: its changelog is not written any more", was.Name)
		out.Steps = append(out.Steps, task.PlanStep{Name: was.Name, Kind: Gone})
	case task.SourceStep:
		if slices.ContainsFunc(c.is.Steps, func(s task.PlanStep) bool { return s.Kind == task.OrderStep }) {
			c.refuse("topic %q is not read any more, and the order knows its sources by their numbers: go on reading it", was.Name)
			return
		}
		c.note("topic %q is not read any more", was.Name)
	}
}

// without returns the first step of a kind that others do not have, or nil.
func without(steps, others []task.PlanStep, kind string) *task.PlanStep {
	for i := range steps {
		if s := &steps[i]; s.Kind == kind && find(others, kind, s.Name) == nil {
			return s
		}
	}
	return nil
}

// added sees to a step that is new.
func (c *comparison) added(is *task.PlanStep) {
	switch is.Kind {
	case task.OrderStep:
		if without(c.was.Steps, c.is.Steps, is.Kind) != nil {
			return // it may have been renamed, which is said of the one that is gone
		}
		c.refuse("order %q is new: of the events that were read before it knows nothing, and would wait for them", is.Name)
	case task.StoreStep:
		c.note("store %q is new: it begins empty, and what was read before is not in it", is.Name)
	case task.SourceStep:
		c.note("topic %q is new: it is read from its beginning", is.Name)
	}
}

// terms compares what a step says with what it said. A class that is not named has
// the terms of events of no class.
func (c *comparison) terms(was, is *task.PlanStep) {
	for _, pair := range paired(was.Terms, is.Terms) {
		// A term that is not said depends on another one, which differs then; or the
		// version that recorded the step did not know it.
		if pair.was == pair.is || pair.was == absent || pair.is == absent {
			continue
		}
		text := fmt.Sprintf("%s %q: %s was %s and is %s", is.Kind, is.Name, pair.name, pair.was, pair.is)
		switch {
		case pair.weight == policies.Label:
		case pair.weight == policies.Amount:
			c.note("%s: what comes from now on is decided by it", text)
		case is.Kind == task.OrderStep:
			c.refuse("%s", text)
		default:
			c.refuse("%s: the bytes that are there would be read as something else", text)
		}
	}
}

type pair struct {
	name, was, is string
	weight        policies.Weight
}

// absent is the value of a term that is not there.
const absent = ""

func paired(was, is []policies.Term) []pair {
	var all []pair
	for _, t := range is {
		all = append(all, pair{t.Name, valueOf(was, t.Name), t.Value, t.Weight})
	}
	for _, t := range was {
		if !slices.ContainsFunc(is, func(o policies.Term) bool { return o.Name == t.Name }) {
			all = append(all, pair{t.Name, t.Value, valueOf(is, t.Name), t.Weight})
		}
	}
	return all
}

// valueOf returns the value of a term; of a class that is not there, what holds for
// events of no class.
func valueOf(terms []policies.Term, name string) string {
	for _, t := range terms {
		if t.Name == name {
			return t.Value
		}
	}
	if rest, ok := strings.CutPrefix(name, policies.ClassTerm); ok {
		if i := strings.LastIndexByte(rest, '.'); i >= 0 {
			return valueOf(terms, policies.ClassTerm+rest[i+1:])
		}
	}
	return absent
}
