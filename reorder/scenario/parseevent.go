package scenario

import (
	"fmt"
	"math"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/streamrun/streamrun/policies"
)

// event reads one delivered record, or, where logOf names an entity, one record
// of a rebuild's log.
func (p *parser) event(n ast.Node, contract policies.Contract, logOf string) Event {
	ev := Event{Entity: logOf}
	text := func(name string, into *string) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) { *into, _ = p.text(n, name) }}
	}
	number := func(name string, into *int64, given *bool) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) {
			v, ok := p.wide(n, name)
			*into = v
			if given != nil {
				*given = ok
			}
		}}
	}
	count := func(name string, into *int, most int64) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) {
			v, _ := p.between(n, name, 0, most)
			*into = int(v)
		}}
	}
	keys := []key{
		number("s", &ev.Sequence, &ev.HasSequence), text("id", &ev.ID), text("c", &ev.Class),
		number("v", &ev.Version, nil), number("et", &ev.EventTime, nil), number("ep", &ev.Epoch, nil),
		text("d", &ev.Data), text("after", &ev.After),
		{name: "fail", read: func(_ *token.Token, n ast.Node) { p.fail(n, &ev) }},
		{name: "sink", read: func(_ *token.Token, n ast.Node) {
			p.object(n, "sink", count("lost_ack", &ev.Sink.LostAck, maxFaults), count("down", &ev.Sink.Down, maxFaults))
		}},
		{name: "e", read: func(_ *token.Token, n ast.Node) {
			ev.Entity, _ = p.text(n, "e")
			if logOf != "" && ev.Entity != logOf {
				p.report(start(n), "the log of a rebuild of %s holds an event of %s", logOf, ev.Entity)
			}
		}},
	}
	if logOf == "" {
		keys = append(
			keys, count("p", &ev.Partition, Partitions-1),
			key{name: "offset", read: func(_ *token.Token, n ast.Node) { ev.Offset, ev.HasOffset = p.between(n, "offset", 0, math.MaxInt64-1) }},
			number("gen", &ev.Generation, &ev.HasGeneration),
			key{name: "crash", read: func(_ *token.Token, n ast.Node) {
				oneOf(p.reader, n, "crash", &ev.Crash, BeforeState, AfterState, AfterEffect)
			}},
		)
	}
	p.object(n, "an event", keys...)
	if ev.ID == "" {
		if !ev.HasSequence && contract.OrderBy != policies.BySequence {
			p.report(start(n), "an event without s needs an id")
		}
		ev.ID = fmt.Sprintf("%s-", ev.Entity)
		if ev.HasSequence {
			ev.ID += fmt.Sprint(ev.Sequence)
		}
	}
	return ev
}

func (p *parser) fail(n ast.Node, ev *Event) {
	if got, ok := p.resolve(n).(*ast.StringNode); ok {
		if ev.Poison = got.Value == "poison"; !ev.Poison {
			p.report(start(n), "fail must be a number of failures or poison, not %q%s", got.Value, didYouMean(got.Value, []string{"poison"}))
		}
		return
	}
	times, _ := p.between(n, "fail", 0, maxFaults)
	ev.Fail = int(times)
}
