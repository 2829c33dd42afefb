package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A reader takes a YAML tree apart and collects every fault on the way. Each of
// its methods reports what is wrong with a node and answers false; the caller
// goes on with the next node.
type reader struct {
	file     string
	anchors  map[string]ast.Node
	problems []Problem
}

// utf8 returns the text without the byte order mark that some editors put before it.
func (r *reader) utf8(data []byte) ([]byte, bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if utf8.Valid(data) {
		return data, true
	}
	var at int
	for c, size := utf8.DecodeRune(data); c != utf8.RuneError || size > 1; c, size = utf8.DecodeRune(data[at:]) {
		at += size
	}
	line := bytes.Count(data[:at], []byte("\n")) + 1
	col := utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1:at]) + 1
	r.problems = append(r.problems, Problem{r.file, line, col, "not UTF-8 text; save the file as UTF-8"})
	return nil, false
}

// document returns the root of the only document in data, or nil.
func (r *reader) document(data []byte) ast.Node {
	file, err := yamlparser.ParseBytes(data, 0, yamlparser.AllowDuplicateMapKey())
	if err != nil {
		var syntax interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &syntax) {
			r.report(syntax.GetToken(), "not valid YAML: %s", syntax.GetMessage())
		} else {
			r.report(nil, "not valid YAML: %v", err)
		}
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		r.report(nil, "the file is empty; a scenario file starts with \"schema: %s\"", schemaName)
		return nil
	case 1:
	default:
		r.report(start(bodies[1]), "a scenario file is one YAML document")
		return nil
	}
	ast.Walk(anchorCollector{r}, bodies[0])
	return bodies[0]
}

type anchorCollector struct{ r *reader }

// Visit remembers the anchors of the document.
func (c anchorCollector) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		c.r.anchors[a.Name.GetToken().Value] = a.Value
	}
	return c
}

func (r *reader) report(at *token.Token, format string, args ...any) {
	p := Problem{File: r.file, Text: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		p.Line, p.Col = at.Position.Line, at.Position.Column
	}
	r.problems = append(r.problems, p)
}

// resolve looks through anchors, aliases and tags.
func (r *reader) resolve(n ast.Node) ast.Node {
	// An alias may name an anchor that holds it; no honest file nests this deep.
	for range 100 {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.AliasNode:
			target, ok := r.anchors[t.Value.GetToken().Value]
			if !ok {
				r.report(t.Value.GetToken(), "no anchor &%s in this file", t.Value.GetToken().Value)
				return nil
			}
			n = target
		default:
			return n
		}
	}
	return nil
}

// start returns the first token of a node. A block mapping's own token is its
// first colon, which is not where a reader looks.
func start(n ast.Node) *token.Token {
	switch t := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if !t.IsFlowStyle && len(t.Values) > 0 {
			return t.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return t.Key.GetToken()
	case *ast.AnchorNode:
		return t.Start
	}
	return n.GetToken()
}

// A key is one key that a mapping may have.
type key struct {
	name     string
	required bool
	read     func(at *token.Token, value ast.Node)
}

// object reads a mapping: every known key through its function, every other key
// as a fault.
func (r *reader) object(n ast.Node, what string, keys ...key) bool {
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok {
		r.mismatch(n, what, "a mapping")
		return false
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		at := it.Key().GetToken()
		name := at.Value
		if seen[name] {
			r.report(at, "%s says %s twice", what, name)
			continue
		}
		seen[name] = true
		known := false
		for _, k := range keys {
			if k.name == name {
				known = true
				k.read(at, it.Value())
			}
		}
		if !known {
			r.report(at, "%s has no key %q%s", what, name, didYouMean(name, names))
		}
	}
	complete := true
	for _, k := range keys {
		if k.required && !seen[k.name] {
			r.report(start(n), "%s must say %s", what, k.name)
			complete = false
		}
	}
	return complete
}

// entries reads a mapping with free keys.
func (r *reader) entries(n ast.Node, what string, read func(at *token.Token, name string, value ast.Node)) {
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok {
		r.mismatch(n, what, "a mapping")
		return
	}
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		at := it.Key().GetToken()
		if seen[at.Value] {
			r.report(at, "%s says %s twice", what, at.Value)
			continue
		}
		seen[at.Value] = true
		read(at, at.Value, it.Value())
	}
}

func (r *reader) list(n ast.Node, what string) []ast.Node {
	s, ok := r.resolve(n).(*ast.SequenceNode)
	if !ok {
		r.mismatch(n, what, "a list")
		return nil
	}
	return s.Values
}

// text reads any scalar as it is written; null is the empty text.
func (r *reader) text(n ast.Node, what string) (string, bool) {
	switch t := r.resolve(n).(type) {
	case *ast.NullNode:
		return "", true
	case *ast.LiteralNode:
		return t.Value.Value, true
	case ast.ScalarNode:
		return t.GetToken().Value, true
	}
	r.mismatch(n, what, "a text")
	return "", false
}

// wide reads an integer of any size; one that int64 cannot hold becomes the
// nearest it can.
func (r *reader) wide(n ast.Node, what string) (int64, bool) {
	resolved := r.resolve(n)
	switch resolved.(type) {
	case *ast.IntegerNode, *ast.FloatNode: // an integer too wide for the lexer is a float to it
		written := strings.ReplaceAll(resolved.GetToken().Value, "_", "")
		i, ok := new(big.Int).SetString(strings.TrimPrefix(written, "+"), 10)
		if !ok {
			i, ok = new(big.Int).SetString(written, 0)
		}
		if ok {
			return saturated(i), true
		}
	case *ast.StringNode:
		if i, ok := new(big.Int).SetString(resolved.GetToken().Value, 10); ok && resolved.GetToken().Type == token.StringType && !i.IsInt64() {
			return saturated(i), true
		}
	}
	r.mismatch(n, what, "an integer")
	return 0, false
}

func saturated(i *big.Int) int64 {
	switch {
	case i.IsInt64():
		return i.Int64()
	case i.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// whole reads an integer of at least least; one that int64 cannot hold becomes the
// greatest it can.
func (r *reader) whole(n ast.Node, what string, least int64) (int64, bool) {
	return r.between(n, what, least, math.MaxInt64)
}

// between reads an integer of at least least and at most most.
func (r *reader) between(n ast.Node, what string, least, most int64) (int64, bool) {
	v, ok := r.wide(n, what)
	switch {
	case !ok:
		return 0, false
	case v < least:
		r.report(start(n), "%s must be at least %d, not %d", what, least, v)
		return 0, false
	case v > most:
		r.report(start(n), "%s must be at most %d, not %d", what, most, v)
		return 0, false
	}
	return v, true
}

func (r *reader) truth(n ast.Node, what string) (bool, bool) {
	if b, ok := r.resolve(n).(*ast.BoolNode); ok {
		return b.Value, true
	}
	r.mismatch(n, what, "true or false")
	return false, false
}

// oneOf reads a word out of a fixed set.
func oneOf[T ~string](r *reader, n ast.Node, what string, into *T, words ...T) {
	got, ok := r.text(n, what)
	if !ok {
		return
	}
	known := make([]string, len(words))
	for i, w := range words {
		if known[i] = string(w); known[i] == got {
			*into = w
			return
		}
	}
	r.report(start(n), "%s must be one of %s, not %q%s", what, strings.Join(known, ", "), got, didYouMean(got, known))
}

// mismatch reports a node of the wrong kind, unless it is an alias of nothing,
// which is reported already.
func (r *reader) mismatch(n ast.Node, what, want string) {
	if alias, ok := n.(*ast.AliasNode); ok && r.anchors[alias.Value.GetToken().Value] == nil {
		return
	}
	r.report(start(n), "%s must be %s, not %s", what, want, describe(n))
}

// describe names a node's kind and, where it is short, its text.
func describe(n ast.Node) string {
	switch t := n.(type) {
	case nil:
		return "nothing"
	case *ast.NullNode:
		return "nothing"
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case ast.ScalarNode:
		if v := t.GetToken().Value; len(v) <= 40 {
			return fmt.Sprintf("%q", v)
		}
		return "a long text"
	}
	return strings.ToLower(n.Type().String())
}
