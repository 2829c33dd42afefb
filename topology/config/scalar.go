package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A scalar is the text of one value after substitution, and how to find a place of
// the text in the file.
type scalar struct {
	value
	text    string
	quoted  bool // it has quotes, or is a block: it is text whatever it looks like
	changed bool // a variable was substituted
	lines   []string
	block   bool
}

// scalar reads any scalar as text.
func (r *reader) scalar(v value, want string) (scalar, bool) {
	s := scalar{value: v, lines: r.lines}
	switch n := v.node.(type) {
	case *ast.StringNode:
		s.text = n.Value
		s.quoted = n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		s.text, s.quoted = n.Value.Value, true
		s.block = n.Start.Type == token.LiteralType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		s.text = v.node.GetToken().Value
	default:
		r.wrongType(v, want)
		return s, false
	}
	text, wrong := substitute(s.text, r.getenv)
	for _, m := range wrong {
		before := s.text[:m.at]
		line := strings.Count(before, "\n")
		col := len([]rune(before[strings.LastIndex(before, "\n")+1:]))
		r.add(CodeVariable, s.locate(line+1, col+1), v.path, "%s", m.text)
	}
	s.changed, s.text = text != s.text, text
	return s, len(wrong) == 0
}

// locate returns the place in the file of a line and column of the text, both from
// 1; the scalar's own place where the text does not stand in the file as it is.
func (s scalar) locate(line, col int) position {
	texts := strings.Split(s.text, "\n")
	if s.changed || line < 1 || line > len(texts) || (len(texts) > 1 && !s.block) {
		return s.at
	}
	at := position{s.at.line, s.at.col}
	if s.block {
		at = position{s.at.line + line, 1}
	}
	if at.line > len(s.lines) {
		return s.at
	}
	source := []rune(s.lines[at.line-1])
	if at.col-1 > len(source) {
		return s.at
	}
	before, _, found := strings.Cut(string(source[at.col-1:]), texts[line-1])
	if !found {
		return s.at
	}
	return position{at.line, at.col + len([]rune(before)) + col - 1}
}

// text reads text. A bare number or true is refused: it may have lost what the
// author typed (1.10, 007).
func (r *reader) text(v value) (string, bool) {
	switch v.node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		r.add(CodeType, v.at, v.path, "expected text, found %s; put it in quotes", kind(v.node))
		return "", false
	}
	s, ok := r.scalar(v, "text")
	if ok && strings.TrimSpace(s.text) == "" {
		r.add(CodeValue, v.at, v.path, "is empty")
		return "", false
	}
	return s.text, ok
}

// enum reads one of the words that a policy has.
func enum[T ~string](f fields, name string, dst *T, words ...T) {
	v, ok := f.get(name)
	if !ok {
		return
	}
	s, ok := f.r.scalar(v, "a word")
	if !ok {
		return
	}
	known := make([]string, len(words))
	for i, w := range words {
		if known[i] = string(w); s.text == known[i] {
			*dst = w
			return
		}
	}
	if len(known) == 1 {
		f.r.add(CodeValue, v.at, v.path, "%q: this version has %s", s.text, known[0])
		return
	}
	f.r.add(CodeValue, v.at, v.path, "%q is none of %s%s", s.text, strings.Join(known, ", "), suggest(s.text, known))
}

// integer reads a whole number that is at least low.
func (f fields) integer(name string, low int64, set func(int64)) {
	v, ok := f.get(name)
	if !ok {
		return
	}
	s, ok := f.r.scalar(v, "a whole number")
	if !ok {
		return
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	if err != nil || (s.quoted && !s.changed) {
		f.r.add(CodeType, v.at, v.path, "expected a whole number, found %q", s.text)
		return
	}
	if n < low {
		f.r.add(CodeValue, v.at, v.path, "%d is less than %d", n, low)
		return
	}
	set(n)
}

// duration reads a duration that is at least low.
func (f fields) duration(name string, low time.Duration, dst *time.Duration) {
	f.readDuration(name, low, dst, false)
}

// durationOrAuto is duration for one that may be left to us; then it reports true.
func (f fields) durationOrAuto(name string, low time.Duration, dst *time.Duration) (auto bool) {
	return f.readDuration(name, low, dst, true)
}

func (f fields) readDuration(name string, low time.Duration, dst *time.Duration, mayBeAuto bool) (auto bool) {
	v, ok := f.get(name)
	if !ok {
		return false
	}
	or := ""
	if mayBeAuto {
		or = "auto or "
	}
	s, ok := f.r.scalar(v, or+`a duration such as "30s"`)
	if !ok {
		return false
	}
	if mayBeAuto && s.text == "auto" {
		return true
	}
	d, err := time.ParseDuration(s.text)
	switch {
	case err != nil:
		f.r.add(CodeType, v.at, v.path, `expected %sa duration such as "30s", "5m" or "1h30m", found %q`, or, s.text)
	case d < low:
		f.r.add(CodeValue, v.at, v.path, "%s is less than %s", d, low)
	default:
		*dst = d
	}
	return false
}

// boolean reads true or false.
func (f fields) boolean(name string, dst *bool) {
	v, ok := f.get(name)
	if !ok {
		return
	}
	s, ok := f.r.scalar(v, "true or false")
	switch {
	case !ok:
	case s.quoted && !s.changed, s.text != "true" && s.text != "false":
		f.r.add(CodeType, v.at, v.path, "expected true or false, found %q", s.text)
	default:
		*dst = s.text == "true"
	}
}

// constant reads a value of any shape, as the canonical value that JSON would give.
func (r *reader) constant(v value) any {
	switch n := v.node.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		// The text decides, as in JSON: 0x10 and 1_000 are not numbers there.
		x, err := decodeJSON([]byte(n.GetToken().Value))
		if err != nil {
			r.add(CodeValue, v.at, v.path, "%q is not a number as JSON writes one", n.GetToken().Value)
		}
		return x
	case *ast.StringNode, *ast.LiteralNode:
		s, _ := r.scalar(v, "text")
		return s.text
	case *ast.SequenceNode:
		list := []any{}
		items, _ := r.list(v)
		for _, item := range items {
			list = append(list, r.constant(item))
		}
		return list
	case *ast.MappingNode, *ast.MappingValueNode:
		object := map[string]any{}
		for name, item := range r.names(v).entries {
			object[name] = r.constant(item)
		}
		return object
	default:
		r.wrongType(v, "a value")
		return nil
	}
}
