package policies

import "strconv"

// A Weight says what a term of a contract does.
type Weight uint8

// Weights of terms. The numbers are part of the format of meta records.
const (
	// Meaning: the term decides what becomes of an event. What was decided under
	// another one stays in the state.
	Meaning Weight = iota
	// Amount: the term is a wait or a bound; what is decided from now on may differ.
	Amount
	// Label: the term is for people.
	Label
)

// ClassTerm is how the names of the terms of classes begin.
const ClassTerm = "class."

// A Term is one thing that a contract says, as a topology file writes it.
type Term struct {
	Name   string // "order_by", of a class "class.NAME.late", of events of no class "class.late"
	Value  string
	Weight Weight
}

// Terms returns what the contract says, defaults included, in a fixed order.
// Policies that the order never asks for are left out, or "-".
func (c Contract) Terms() []Term {
	c = c.WithDefaults()
	terms := c.whole()
	c.eachClass(func(name string, cl Class) {
		prefix := ClassTerm
		if name != "" {
			prefix += name + "."
		}
		for _, t := range c.ofClass(cl) {
			t.Name = prefix + t.Name
			terms = append(terms, t)
		}
	})
	return terms
}

// whole returns the terms that hold for the whole contract, which has its defaults.
func (c Contract) whole() (terms []Term) {
	seq, held := c.OrderBy == BySequence, c.holdsGaps() || c.Causal
	for _, t := range []struct {
		Term
		asked bool
	}{
		{Term{"events_for", c.EventsFor, Label}, true},
		{Term{"because", c.Because, Label}, true},
		{Term{"shape", string(c.Shape), Meaning}, true},
		{Term{"order_by", string(c.OrderBy), Meaning}, true},
		{Term{"start", c.Start.String(), Meaning}, seq},
		{Term{"reset", string(c.Reset), Meaning}, true},
		{Term{"gap", string(c.Gap), Meaning}, seq},
		{Term{"on_timeout", string(c.OnTimeout), Meaning}, held},
		{Term{"max_wait", c.waitText(), Amount}, held},
		{Term{"on_overflow", string(c.OnOverflow), Meaning}, true},
		{Term{"max_held", strconv.Itoa(c.MaxHeld), Amount}, true},
		{Term{"buffer", string(c.Buffer), Meaning}, true},
		{Term{"id_memory", strconv.Itoa(c.IDMemory), Amount}, true},
		{Term{"max_holes", strconv.Itoa(c.MaxHoles), Amount}, seq},
		{Term{"max_dlq", strconv.Itoa(c.MaxDLQ), Amount}, true},
		{Term{"max_jump", strconv.FormatInt(c.MaxJump, 10), Amount}, seq},
		{Term{"retry.max", strconv.Itoa(max(c.Retry.Max, 0)), Amount}, true},
		{Term{"retry.delay", duration(c.Retry.Delay), Amount}, c.Retry.Max > 0},
		{Term{"on_version_backward", string(c.OnVersionBackward), Meaning}, seq},
		{Term{"slack", duration(c.Slack), Amount}, c.OrderBy == ByEventTime},
		{Term{"max_future", duration(c.MaxFuture), Amount}, c.OrderBy == ByEventTime},
		{Term{"causal", strconv.FormatBool(c.Causal), Meaning}, seq},
		{Term{"max_depth", strconv.Itoa(c.MaxDepth), Amount}, c.Causal},
	} {
		if t.asked {
			terms = append(terms, t.Term)
		}
	}
	return terms
}

// ofClass returns the terms of one class.
func (c Contract) ofClass(cl Class) []Term {
	seq := c.OrderBy == BySequence
	only := func(asked bool, value string) string {
		if asked {
			return value
		}
		return "-"
	}
	return []Term{
		{"early", only(seq, string(cl.Early)), Meaning},
		{"late", only(c.OrderBy != ByVersion, string(cl.Late)), Meaning},
		{"duplicate", string(cl.Duplicate), Meaning},
		{"conflict", only(seq, string(cl.Conflict)), Meaning},
		{"poison", string(cl.Poison), Meaning},
		{"effects", string(cl.Effects), Meaning},
	}
}
