package scenario

import (
	"maps"
	"math"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/streamrun/streamrun/policies"
)

// schemaDefaults are the defaults of the schema, for files that do not state them.
func schemaDefaults() policies.Contract {
	return policies.Contract{
		EventsFor:         "an entity",
		Shape:             policies.Delta,
		OrderBy:           policies.BySequence,
		Start:             policies.StartAt(1),
		Reset:             policies.ResetForbid,
		Gap:               policies.GapBuffer,
		OnTimeout:         policies.OnTimeoutPark,
		OnOverflow:        policies.OnOverflowPause,
		MaxWait:           time.Second,
		MaxHeld:           100,
		IDMemory:          100_000,
		MaxHoles:          policies.DefaultMaxHoles, // the schema has no bound of holes
		MaxDLQ:            100_000,
		MaxJump:           1_000_000,
		Retry:             policies.Retry{Max: 3, Delay: 100 * time.Millisecond},
		Buffer:            policies.BufferVolatile,
		OnVersionBackward: policies.VersionCount,
		MaxFuture:         time.Minute,
		MaxDepth:          20,
		Class: policies.Class{
			Early: policies.EarlyWait, Late: policies.LateReject, Duplicate: policies.DuplicateDrop,
			Conflict: policies.ConflictReject, Poison: policies.PoisonPark, Effects: policies.EffectsInOrder,
		},
	}
}

func copyContract(c policies.Contract) policies.Contract {
	c.Classes = maps.Clone(c.Classes)
	return c
}

// finish makes a contract whole: its reason, and what its classes leave to it.
func finish(c *policies.Contract, caseID string) {
	c.Because = "case " + caseID + " says so"
	for name, cl := range c.Classes {
		inherit(&cl.Early, c.Class.Early)
		inherit(&cl.Late, c.Class.Late)
		inherit(&cl.Poison, c.Class.Poison)
		cl.Duplicate, cl.Conflict, cl.Effects = c.Class.Duplicate, c.Class.Conflict, c.Class.Effects
		c.Classes[name] = cl
	}
}

func inherit[T ~string](field *T, from T) {
	if *field == "" {
		*field = from
	}
}

// contract reads the fields that n gives into c; the others stay.
func (p *parser) contract(n ast.Node, c *policies.Contract) {
	count := func(name string, into *int) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) {
			if v, ok := p.whole(n, name, 0); ok {
				*into = int(v)
			}
		}}
	}
	millis := func(name string, into *time.Duration) key {
		return key{name: name, read: func(_ *token.Token, n ast.Node) { p.millis(n, name, into) }}
	}
	p.object(n, "a contract",
		word(p, "order_by", &c.OrderBy, policies.BySequence, policies.ByVersion, policies.ByEventTime),
		key{name: "start", read: func(_ *token.Token, n ast.Node) { p.start(n, &c.Start) }},
		word(p, "gap", &c.Gap, policies.GapBuffer, policies.GapReject, policies.GapRetry, policies.GapRebuild, policies.GapApply),
		word(p, "late", &c.Class.Late, lates()...),
		word(p, "poison", &c.Class.Poison, policies.PoisonPark, policies.PoisonSkip),
		word(p, "reset", &c.Reset, policies.ResetForbid, policies.ResetEpoch),
		millis("max_wait", &c.MaxWait),
		word(p, "on_timeout", &c.OnTimeout, policies.OnTimeoutPark, policies.OnTimeoutSkip, policies.OnTimeoutRebuild, policies.OnTimeoutHold),
		count("max_held", &c.MaxHeld),
		word(p, "on_overflow", &c.OnOverflow, policies.OnOverflowPause, policies.OnOverflowSkip, policies.OnOverflowPark),
		key{name: "retry", read: func(_ *token.Token, n ast.Node) {
			p.object(n, "retry",
				key{name: "max", read: func(_ *token.Token, n ast.Node) {
					if v, ok := p.whole(n, "max", 0); ok {
						c.Retry.Max = int(v)
						if v == 0 {
							c.Retry.Max = -1 // a contract's word for none
						}
					}
				}},
				millis("delay", &c.Retry.Delay))
		}},
		word(p, "buffer", &c.Buffer, policies.BufferDurable, policies.BufferVolatile),
		millis("slack", &c.Slack),
		millis("max_future", &c.MaxFuture),
		key{name: "causal", read: func(_ *token.Token, n ast.Node) {
			if v, ok := p.truth(n, "causal"); ok {
				c.Causal = v
			}
		}},
		count("max_depth", &c.MaxDepth),
		count("id_memory", &c.IDMemory),
		key{name: "max_jump", read: func(_ *token.Token, n ast.Node) {
			if v, ok := p.whole(n, "max_jump", 0); ok {
				c.MaxJump = v
			}
		}},
		count("dlq_max", &c.MaxDLQ),
		key{name: "classes", read: func(_ *token.Token, n ast.Node) { p.classes(n, c) }},
	)
}

func (p *parser) classes(n ast.Node, c *policies.Contract) {
	p.entries(n, "classes", func(at *token.Token, name string, n ast.Node) {
		if name == "" {
			p.report(at, "a class needs a name")
		}
		cl := c.Classes[name]
		p.object(n, "class "+name,
			word(p, "early", &cl.Early, policies.EarlyWait, policies.EarlyApply),
			word(p, "late", &cl.Late, lates()...),
			word(p, "poison", &cl.Poison, policies.PoisonPark, policies.PoisonSkip),
		)
		if c.Classes == nil {
			c.Classes = map[string]policies.Class{}
		}
		c.Classes[name] = cl
	})
}

func lates() []policies.Late {
	return []policies.Late{policies.LateReject, policies.LateDrop, policies.LateRebuild, policies.LateCompensate}
}

func word[T ~string](p *parser, name string, into *T, words ...T) key {
	return key{name: name, read: func(_ *token.Token, n ast.Node) { oneOf(p.reader, n, name, into, words...) }}
}

func (p *parser) start(n ast.Node, into *policies.Start) {
	if got, ok := p.resolve(n).(*ast.StringNode); ok {
		if got.Value == "first_seen" {
			*into = policies.StartFirstSeen()
			return
		}
		p.report(start(n), "start must be a number or first_seen, not %q%s", got.Value, didYouMean(got.Value, []string{"first_seen"}))
		return
	}
	if v, ok := p.whole(n, "start", 0); ok {
		*into = policies.StartAt(v)
	}
}

func (p *parser) millis(n ast.Node, what string, into *time.Duration) {
	v, ok := p.whole(n, what, 0)
	if !ok {
		return
	}
	if v > int64(math.MaxInt64/time.Millisecond) {
		p.report(start(n), "%s is longer than 292 years", what)
		return
	}
	*into = time.Duration(v) * time.Millisecond
}
