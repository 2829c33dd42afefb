package scenario

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/streamrun/streamrun/policies"
)

// fields are the names of the parts of an outcome, in the order of comparison.
func fields() []string {
	return []string{
		"applied", "held", "dlq", "dropped", "paused", "retrying", "fenced", "rebuilds", "compensated", "resolved",
		"parked", "unordered", "holes", "effects", "last", "state", "commit", "suppressed", "diff",
	}
}

func (p *parser) expect(n ast.Node) Expect {
	var x Expect
	entries := func(name string, into *[]string) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) { *into = p.texts(n, name) }}
	}
	reasoned := func(name string, into *[]string, reasons []string) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) { *into = p.reasoned(n, name, reasons) }}
	}
	p.object(n, "expect",
		key{name: "only", read: func(_ *token.Token, n ast.Node) {
			x.Only = []string{}
			for _, item := range p.list(n, "only") {
				name, ok := p.text(item, "a field of only")
				if ok && !slices.Contains(fields(), name) {
					p.report(start(item), "an outcome has no %q%s", name, didYouMean(name, fields()))
				}
				x.Only = append(x.Only, name)
			}
		}},
		entries("applied", &x.Applied), entries("held", &x.Held), reasoned("dlq", &x.DLQ, letterReasons()), reasoned("dropped", &x.Dropped, dropReasons()),
		entries("paused", &x.Paused), entries("retrying", &x.Retrying), entries("fenced", &x.Fenced),
		entries("rebuilds", &x.Rebuilds), entries("compensated", &x.Compensated), entries("resolved", &x.Resolved),
		entries("parked", &x.Parked), entries("unordered", &x.Unordered), entries("suppressed", &x.Suppressed),
		key{name: "holes", read: func(_ *token.Token, n ast.Node) {
			x.Holes = map[string][]int64{}
			p.entries(n, "holes", func(_ *token.Token, entity string, n ast.Node) {
				x.Holes[entity] = []int64{}
				for _, item := range p.list(n, "holes of "+entity) {
					v, _ := p.wide(item, "a hole")
					x.Holes[entity] = append(x.Holes[entity], v)
				}
			})
		}},
		key{name: "effects", read: func(_ *token.Token, n ast.Node) {
			x.Effects = map[string]int{}
			p.entries(n, "effects", func(_ *token.Token, name string, n ast.Node) {
				v, _ := p.whole(n, "the attempts of "+name, 0)
				x.Effects[name] = int(v)
			})
		}},
		key{name: "last", read: func(_ *token.Token, n ast.Node) {
			x.Last = map[string]int64{}
			p.entries(n, "last", func(_ *token.Token, entity string, n ast.Node) {
				x.Last[entity], _ = p.wide(n, "last of "+entity)
			})
		}},
		key{name: "state", read: func(_ *token.Token, n ast.Node) {
			x.State = map[string]string{}
			p.entries(n, "state", func(_ *token.Token, entity string, n ast.Node) {
				x.State[entity], _ = p.text(n, "state of "+entity)
			})
		}},
		key{name: "commit", read: func(_ *token.Token, n ast.Node) {
			x.Commit = map[int]int64{}
			p.entries(n, "commit", func(at *token.Token, name string, n ast.Node) {
				partition, err := strconv.Atoi(name)
				if err != nil || partition < 0 || partition >= Partitions {
					p.report(at, "a partition is a number from 0 to %d, not %q", Partitions-1, name)
				}
				x.Commit[partition], _ = p.whole(n, "a commit", 0)
			})
		}},
		key{name: "diff", read: func(_ *token.Token, n ast.Node) {
			x.Diff = map[string][2]string{}
			p.entries(n, "diff", func(_ *token.Token, entity string, n ast.Node) {
				sides := p.texts(n, "diff of "+entity)
				if len(sides) != 2 {
					p.report(start(n), "diff of %s must be [before, after]", entity)
					return
				}
				x.Diff[entity] = [2]string{sides[0], sides[1]}
			})
		}},
	)
	return x
}

// reasoned reads a list of entries of the form "ID REASON".
func (p *parser) reasoned(n ast.Node, what string, reasons []string) []string {
	texts := []string{}
	for _, item := range p.list(n, what) {
		t, ok := p.text(item, "an entry of "+what)
		texts = append(texts, t)
		if !ok {
			continue
		}
		words := strings.Fields(t)
		if len(words) < 2 {
			p.report(start(item), "an entry of %s is an id and a reason, not %q", what, t)
			continue
		}
		if reason := words[len(words)-1]; !slices.Contains(reasons, reason) {
			p.report(start(item), "%s has no reason %q%s; it has %s", what, reason, didYouMean(reason, reasons), strings.Join(reasons, ", "))
		}
	}
	return texts
}

// letterReasons are the reasons that a letter of a case may have.
func letterReasons() []string {
	return words(
		policies.ReasonInvalidMetadata, policies.ReasonStaleEpoch, policies.ReasonUnexpectedEpoch, policies.ReasonSupersededEpoch,
		policies.ReasonBeforeStart, policies.ReasonEntityParked, policies.ReasonSequenceConflict, policies.ReasonLate,
		policies.ReasonSequenceJump, policies.ReasonGap, policies.ReasonRetryExhausted, policies.ReasonGapTimeout,
		policies.ReasonPoison, policies.ReasonFutureTimestamp, policies.ReasonCauseTimeout, policies.ReasonCauseCycle,
	)
}

// dropReasons are the reasons that a dropped event of a case may have.
func dropReasons() []string {
	return words(policies.ReasonDuplicate, policies.ReasonDuplicateOfDLQ, policies.ReasonSuperseded, policies.ReasonLate)
}

func words(reasons ...policies.Reason) []string {
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = string(r)
	}
	return texts
}

func (p *parser) texts(n ast.Node, what string) []string {
	texts := []string{}
	for _, item := range p.list(n, what) {
		t, _ := p.text(item, "an entry of "+what)
		texts = append(texts, t)
	}
	return texts
}
