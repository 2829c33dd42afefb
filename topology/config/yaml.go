package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. The parser takes quadratic time in the depth of brackets.
const (
	maxBytes = 256 << 10
	maxDepth = 64
)

// A position is a place in the file, both from 1.
type position struct {
	line, col int
}

func place(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// A value is a node of the file with its name and the place to complain about it.
type value struct {
	path string
	at   position
	node ast.Node // nil for a key without a value
}

// A reader walks the tree of one file and collects its problems.
type reader struct {
	report
	file   string
	lines  []string
	getenv func(string) (string, bool)
	inputs []string // names
	topics map[string]topicUse
	kept   []kept
}

// root parses the source. It returns false when there is nothing to go on with.
func (r *reader) root(src string) (value, bool) {
	start := position{1, 1}
	if len(src) > maxBytes {
		r.add(CodeSyntax, start, "", "the file has %d bytes; a topology file has at most %d", len(src), maxBytes)
		return value{}, false
	}
	if at := invalidAt(src); at >= 0 {
		before := src[:at]
		line := 1 + strings.Count(before, "\n")
		col := 1 + len([]rune(before[strings.LastIndex(before, "\n")+1:]))
		r.add(CodeSyntax, position{line, col}, "", "byte %d of the file (0x%02x) is not UTF-8; save the file as UTF-8", at+1, src[at])
		return value{}, false
	}
	file, at, err := parse(src)
	if err != nil {
		r.add(CodeSyntax, at, "", "%s%s", err, r.quoteHint(at))
		return value{}, false
	}
	var body ast.Node
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			r.add(CodeSyntax, place(doc.Body.GetToken()), "", "a second document; a topology file has one")
			break
		}
		body = doc.Body
	}
	return value{at: start, node: body}, true
}

// invalidAt returns where a text ceases to be UTF-8, -1 for one that is.
func invalidAt(text string) int {
	for i, c := range text {
		if c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			return i
		}
	}
	return -1
}

// parse runs the YAML parser, and turns a panic of it into an error: no text that
// somebody typed may end the program.
func parse(src string) (file *ast.File, at position, err error) {
	at = position{1, 1}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not YAML: %v", p)
		}
	}()
	tokens := lexer.Tokenize(src)
	brackets, marks, line := 0, 0, 0
	for _, t := range tokens {
		if l := place(t).line; l != line {
			marks, line = 0, l
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType:
			marks++ // "- - -" is a list in a list in a list
		default:
		}
		if brackets > maxDepth || marks > maxDepth {
			return nil, place(t), fmt.Errorf("lists and mappings more than %d deep", maxDepth)
		}
	}
	file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) {
			return nil, place(at.GetToken()), errors.New(at.GetMessage())
		}
	}
	return file, at, err
}

// quoteHint helps with the one mistake that ${NAME} invites: inside {} and [] its
// brace is YAML's own.
func (r *reader) quoteHint(at position) string {
	if at.line <= len(r.lines) && strings.Contains(r.lines[at.line-1], "${") {
		return `; inside {} and [] a variable must be quoted: "${NAME}"`
	}
	return ""
}

// fields are the entries of a mapping, checked against the keys that it may have.
type fields struct {
	r       *reader
	path    string
	at      position
	names   []string // in the order of the file
	entries map[string]value
	keys    map[string]position // of the key, where entries[].at is of the value
	excused map[string]bool     // keys that are not missing: what stands in their place is reported
	broken  bool                // no mapping at all, and reported
}

// mapping reads a mapping with fixed keys. Unknown ones are reported; the result
// is usable whatever is wrong.
func (r *reader) mapping(v value, known ...string) fields {
	f := r.names(v)
	for _, name := range f.names {
		if !slices.Contains(known, name) {
			near := nearest(name, known)
			f.excused[near] = true
			r.add(CodeUnknownKey, f.keys[name], f.path, "unknown key %q%s", name, didYouMean(near))
		}
	}
	return f
}

// names reads a mapping whose keys are names that the user chose.
func (r *reader) names(v value) fields {
	f := fields{r: r, path: v.path, at: v.at, entries: map[string]value{}, keys: map[string]position{}, excused: map[string]bool{}}
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case nil, *ast.NullNode:
		// An empty mapping: what must be in it is reported as missing.
	default:
		r.wrongType(v, "a mapping of keys to values")
		f.broken = true
	}
	for _, pair := range pairs {
		at := place(pair.Key.GetToken())
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			r.add(CodeSyntax, at, f.path, "a key is a plain word; found %s", kind(pair.Key))
			continue
		}
		name := key.Value
		if _, twice := f.entries[name]; twice {
			r.add(CodeTwice, at, f.path, "key %q stands here twice", name)
			continue
		}
		entry := value{path: join(f.path, name), at: at, node: r.plain(join(f.path, name), pair.Value)}
		if s, ok := entry.node.(ast.ScalarNode); ok && s.Type() != ast.NullType {
			entry.at = place(s.GetToken())
		}
		f.excused[name] = entry.node == nil && pair.Value != nil
		f.names = append(f.names, name)
		f.entries[name] = entry
		f.keys[name] = at
	}
	return f
}

// list reads a list of values; false when it is none, which is reported.
func (r *reader) list(v value) ([]value, bool) {
	n, ok := v.node.(*ast.SequenceNode)
	if !ok {
		r.wrongType(v, "a list")
		return nil, false
	}
	items := make([]value, len(n.Values))
	for i, item := range n.Values {
		path := fmt.Sprintf("%s[%d]", v.path, i)
		items[i] = value{path: path, at: itemPlace(item), node: r.plain(path, item)}
	}
	return items, true
}

// itemPlace returns where an item of a list begins: a mapping's own token is the
// colon behind its first key.
func itemPlace(n ast.Node) position {
	switch m := n.(type) {
	case nil:
		return position{1, 1}
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return place(m.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return place(m.Key.GetToken())
	}
	return place(n.GetToken())
}

// plain refuses the parts of YAML that a topology file does without.
func (r *reader) plain(path string, n ast.Node) ast.Node {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.add(CodeSyntax, place(n.GetToken()), path, "%s: a topology file has no anchors, aliases and tags", kind(n))
		return nil
	}
	return n
}

// get returns an entry, if the mapping has it with a value.
func (f fields) get(name string) (value, bool) {
	v, ok := f.entries[name]
	return v, ok && v.node != nil && v.node.Type() != ast.NullType
}

// require returns an entry that must be there.
func (f fields) require(name, why string) (value, bool) {
	v, ok := f.get(name)
	if ok {
		return v, true
	}
	if f.broken || f.excused[name] {
		return value{}, false
	}
	at := f.at
	if key, named := f.keys[name]; named {
		at = key
	}
	f.r.add(CodeMissing, at, f.path, "missing %q: %s", name, why)
	return value{}, false
}

func (r *reader) wrongType(v value, want string) {
	r.add(CodeType, v.at, v.path, "expected %s, found %s", want, kind(v.node))
}

// kind names a node's type for a person.
func kind(n ast.Node) string {
	if n == nil {
		return "nothing"
	}
	switch n.Type() {
	case ast.NullType:
		return "nothing"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.StringType, ast.LiteralType:
		return "text"
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.AnchorType:
		return "an anchor"
	case ast.AliasType:
		return "an alias"
	case ast.TagType:
		return "a tag"
	case ast.MergeKeyType:
		return "a merge key"
	default:
		return "something else"
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
