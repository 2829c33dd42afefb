package policies

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Table returns the contract, defaults included, as two aligned text tables: what
// holds for the whole contract, and what each class does; "(others)" are events
// of no class that is listed. Policies that the order never asks for are left
// out, or "-". The lines are in a fixed order and have no trailing blanks.
func (c Contract) Table() string {
	c = c.WithDefaults()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	seq, held := c.OrderBy == BySequence, c.holdsGaps() || c.Causal
	for _, p := range []struct {
		name, value string
		asked       bool
	}{
		{"events_for", c.EventsFor, true},
		{"because", c.Because, true},
		{"shape", string(c.Shape), true},
		{"order_by", string(c.OrderBy), true},
		{"start", c.Start.String(), seq},
		{"reset", string(c.Reset), true},
		{"gap", string(c.Gap), seq},
		{"on_timeout", string(c.OnTimeout), held},
		{"max_wait", c.waitText(), held},
		{"on_overflow", string(c.OnOverflow), true},
		{"max_held", strconv.Itoa(c.MaxHeld), true},
		{"buffer", string(c.Buffer), true},
		{"id_memory", strconv.Itoa(c.IDMemory), true},
		{"max_holes", strconv.Itoa(c.MaxHoles), seq},
		{"max_dlq", strconv.Itoa(c.MaxDLQ), true},
		{"max_jump", strconv.FormatInt(c.MaxJump, 10), seq},
		{"retry.max", strconv.Itoa(max(c.Retry.Max, 0)), true},
		{"retry.delay", duration(c.Retry.Delay), c.Retry.Max > 0},
		{"on_version_backward", string(c.OnVersionBackward), seq},
		{"slack", duration(c.Slack), c.OrderBy == ByEventTime},
		{"max_future", duration(c.MaxFuture), c.OrderBy == ByEventTime},
		{"causal", strconv.FormatBool(c.Causal), seq},
		{"max_depth", strconv.Itoa(c.MaxDepth), c.Causal},
	} {
		if p.asked {
			row(p.name, p.value)
		}
	}
	row()
	_ = w.Flush() // a strings.Builder takes everything
	row("class", "early", "late", "duplicate", "conflict", "poison", "effects")
	only := func(asked bool, value string) string {
		if asked {
			return value
		}
		return "-"
	}
	c.eachClass(func(name string, cl Class) {
		if name == "" {
			name = "(others)"
		}
		row(name, only(seq, string(cl.Early)), only(c.OrderBy != ByVersion, string(cl.Late)), string(cl.Duplicate),
			only(seq, string(cl.Conflict)), string(cl.Poison), string(cl.Effects))
	})
	_ = w.Flush()
	return b.String()
}

// String returns the start as a topology file writes it: a number or first_seen.
func (s Start) String() string {
	if s.FirstSeen() {
		return "first_seen"
	}
	return strconv.FormatInt(s.At(), 10)
}
