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
	for _, t := range c.whole() {
		row(t.Name, t.Value)
	}
	row()
	_ = w.Flush() // a strings.Builder takes everything
	row("class", "early", "late", "duplicate", "conflict", "poison", "effects")
	c.eachClass(func(name string, cl Class) {
		if name == "" {
			name = "(others)"
		}
		cells := []string{name}
		for _, t := range c.ofClass(cl) {
			cells = append(cells, t.Value)
		}
		row(cells...)
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
