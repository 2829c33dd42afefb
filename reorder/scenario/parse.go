package scenario

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/streamrun/streamrun/policies"
)

const schemaName = "ordering-vectors/1"

// Partitions is how many source partitions a case may use: 0 to Partitions-1.
const Partitions = 64

// Bounds of what is done one by one.
const (
	maxPermuted = 8         // events of which every order is tried: 40,320 runs
	maxFaults   = 1_000_000 // failures of one event
)

// maxTime bounds times so that a wait that is added to one is a time too.
const maxTime = 1 << 62

// Load reads the scenario file at path. The error is a *MalformedError with every
// fault of the file, or says why the file cannot be read.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: reading cases: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a scenario file out of data; name stands for it in errors. The
// error is a *MalformedError with every fault of the file.
func Parse(name string, data []byte) (*File, error) {
	r := &reader{file: name, anchors: map[string]ast.Node{}}
	p := &parser{reader: r, ids: map[string]int{}}
	var file *File
	if text, ok := r.utf8(data); ok {
		file = p.file(r.document(text))
	}
	if len(r.problems) > 0 {
		return nil, malformed(r.problems)
	}
	file.Path = name
	return file, nil
}

// A parser turns the tree of a file into cases.
type parser struct {
	*reader
	defaults policies.Contract
	ids      map[string]int // case id: its line
}

func (p *parser) file(root ast.Node) *File {
	if root == nil {
		return nil
	}
	f := &File{}
	p.defaults = schemaDefaults()
	var cases []ast.Node
	p.object(root, "the file",
		key{name: "schema", required: true, read: func(at *token.Token, n ast.Node) {
			if got, ok := p.text(n, "schema"); ok && got != schemaName {
				p.report(start(n), "schema %q is not known; this reader knows %s", got, schemaName)
			}
		}},
		key{name: "defaults", read: func(at *token.Token, n ast.Node) {
			p.object(n, "defaults", key{name: "contract", read: func(at *token.Token, n ast.Node) {
				p.contract(n, &p.defaults)
			}})
		}},
		key{name: "cases", required: true, read: func(at *token.Token, n ast.Node) {
			// Read below: the defaults may come after them.
			if cases = p.list(n, "cases"); cases != nil && len(cases) == 0 {
				p.report(start(n), "a file without cases proves nothing; give it one")
			}
		}},
	)
	for _, n := range cases {
		f.Cases = append(f.Cases, p.oneCase(n))
	}
	return f
}

func (p *parser) oneCase(n ast.Node) Case {
	c := Case{Contract: copyContract(p.defaults)}
	if at := start(n); at != nil {
		c.Line = at.Position.Line
	}
	var steps []ast.Node
	var expect ast.Node
	var permute *token.Token
	p.object(n, "a case",
		key{name: "id", required: true, read: func(at *token.Token, n ast.Node) {
			c.ID, _ = p.text(n, "the id of a case")
			if c.ID == "" {
				p.report(start(n), "the id of a case is empty")
				return
			}
			if line, taken := p.ids[c.ID]; taken {
				p.report(start(n), "case %s exists already, at line %d", c.ID, line)
				return
			}
			p.ids[c.ID] = c.Line
		}},
		key{name: "from", read: func(at *token.Token, n ast.Node) { c.From, _ = p.text(n, "from") }},
		key{name: "doc", read: func(at *token.Token, n ast.Node) { c.Doc, _ = p.text(n, "doc") }},
		key{name: "contract", read: func(at *token.Token, n ast.Node) { p.contract(n, &c.Contract) }},
		key{name: "permute", read: func(at *token.Token, n ast.Node) { permute = at; c.Permute, _ = p.truth(n, "permute") }},
		key{name: "steps", required: true, read: func(at *token.Token, n ast.Node) {
			if steps = p.list(n, "steps"); steps != nil && len(steps) == 0 {
				p.report(start(n), "a case has at least one step")
			}
		}},
		key{name: "expect", required: true, read: func(at *token.Token, n ast.Node) { expect = n }},
	)
	finish(&c.Contract, c.ID)
	c.Steps = p.steps(steps, c.Contract)
	if n := len(c.deliveries()); c.Permute && n > maxPermuted {
		p.report(permute, "case %s permutes %d events; every order is tried of at most %d", c.ID, n, maxPermuted)
	}
	if expect != nil {
		c.Expect = p.expect(expect)
	}
	return c
}

// steps reads the steps of a case and checks what one step says about others.
func (p *parser) steps(nodes []ast.Node, contract policies.Contract) []Step {
	var steps []Step
	var places []place
	for _, n := range nodes {
		s, at := p.step(n, contract)
		if len(steps) > 0 && at.time != nil && s.At < steps[len(steps)-1].At {
			p.report(at.time, "time goes back from %d to %d", steps[len(steps)-1].At, s.At)
			s.At = steps[len(steps)-1].At
		}
		steps, places = append(steps, s), append(places, at)
	}
	ids, entities := map[string]bool{}, map[string]bool{}
	for _, s := range steps {
		for _, ev := range append([]Event{s.Event}, s.Rebuild.Log...) {
			ids[ev.ID], entities[ev.Entity] = true, true
		}
	}
	for i, s := range steps {
		if s.Kind == Fix && !ids[s.ID] {
			p.report(places[i].value, "no event of this case has the id %q%s", s.ID, didYouMean(s.ID, keysOf(ids)))
		}
		if s.Kind == Redrive && !entities[s.Entity] {
			p.report(places[i].value, "no event of this case is of entity %q%s", s.Entity, didYouMean(s.Entity, keysOf(entities)))
		}
	}
	return steps
}

// A place is where the parts of a step stand that can be wrong together with
// other steps; nil where the part is missing or wrong itself.
type place struct{ time, value *token.Token }

func (p *parser) step(n ast.Node, contract policies.Contract) (Step, place) {
	var s Step
	var at place
	kinds := 0
	kind := func(name string, k Kind, read func(n ast.Node)) key {
		return key{name: name, read: func(tk *token.Token, n ast.Node) {
			if kinds++; kinds == 2 {
				p.report(tk, "a step does one thing; %s is its second", name)
			}
			s.Kind, at.value = k, start(n)
			read(n)
		}}
	}
	yes := func(name string) func(n ast.Node) {
		return func(n ast.Node) {
			if v, ok := p.truth(n, name); ok && !v {
				p.report(start(n), "%s can only be true", name)
			}
		}
	}
	p.object(n, "a step",
		key{name: "at", required: true, read: func(_ *token.Token, n ast.Node) {
			if v, ok := p.between(n, "at", -maxTime, maxTime); ok {
				s.At, at.time = v, start(n)
			}
		}},
		kind("ev", Deliver, func(n ast.Node) { s.Event = p.event(n, contract, "") }),
		kind("tick", Tick, yes("tick")),
		kind("crash", Crash, yes("crash")),
		kind("flush", Flush, yes("flush")),
		kind("assign", Assign, func(n ast.Node) {
			p.object(n, "assign", key{name: "gen", required: true, read: func(_ *token.Token, n ast.Node) {
				s.Generation, _ = p.whole(n, "gen", 0)
			}})
		}),
		kind("redrive", Redrive, func(n ast.Node) { s.Entity, _ = p.text(n, "redrive") }),
		kind("fix", Fix, func(n ast.Node) { s.ID, _ = p.text(n, "fix") }),
		kind("rebuild", RebuildEntity, func(n ast.Node) { s.Rebuild = p.rebuild(n, contract) }),
	)
	if kinds == 0 {
		if _, ok := p.resolve(n).(ast.MapNode); ok {
			p.report(start(n), "a step must say what happens: ev, tick, crash, assign, redrive, fix, rebuild or flush")
		}
	}
	return s, at
}

func (p *parser) rebuild(n ast.Node, contract policies.Contract) Rebuild {
	var b Rebuild
	var log []ast.Node
	p.object(n, "rebuild",
		key{name: "e", required: true, read: func(_ *token.Token, n ast.Node) {
			if b.Entity, _ = p.text(n, "e"); b.Entity == "" {
				p.report(start(n), "a rebuild needs an entity")
			}
		}},
		key{name: "cutoff", read: func(_ *token.Token, n ast.Node) { b.Cutoff, _ = p.wide(n, "cutoff") }},
		key{name: "log", required: true, read: func(_ *token.Token, n ast.Node) { log = p.list(n, "log") }},
	)
	for _, n := range log {
		b.Log = append(b.Log, p.event(n, contract, b.Entity))
	}
	return b
}

func keysOf(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		if k != "" {
			keys = append(keys, k)
		}
	}
	return sorted(keys)
}
