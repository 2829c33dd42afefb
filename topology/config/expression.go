package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	exprparser "github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// Bounds of an expression: of its text, and of the elements that one evaluation
// may make.
const (
	maxExpression = 16 << 10
	memoryBudget  = 1_000_000
)

// An expression is compiled once and evaluated for every event. It is immutable.
type expression struct {
	file    string
	scalar  scalar
	program *vm.Program
	header  bool // it reads header
	meta    bool // it reads meta
	all     bool // it reads all variables as one map
}

// An EvalError says where in the topology file an evaluation failed, and why.
type EvalError struct {
	File string
	Line int
	Col  int
	Path string // of the expression, such as steps.totals.state.update
	Text string
}

// Error returns "file:line:col: path: text".
func (e *EvalError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", e.File, e.Line, e.Col, e.Path, e.Text)
}

// eval runs the expression. The machine keeps its stack between runs.
func (e *expression) eval(machine *vm.VM, env map[string]any) (any, error) {
	machine.MemoryBudget = memoryBudget
	v, err := machine.Run(e.program, env)
	if err == nil {
		return v, nil
	}
	var at *file.Error
	if errors.As(err, &at) {
		return nil, e.fail(e.scalar.locate(at.Line, at.Column+1), e.plain(at.Message, at.Line, at.Column))
	}
	return nil, e.fail(e.scalar.at, err.Error())
}

// plain says a failure of the engine without the types of Go. line and col are where
// it is in the text of the expression, from 1 and from 0.
func (e *expression) plain(message string, line, col int) string {
	message = strings.TrimPrefix(message, "runtime error: ")
	if message == "invalid operation: int(string)" { // it asked a list or a text for an item by a text
		lines := strings.Split(e.scalar.text, "\n")
		if line < 1 || line > len(lines) || col < 1 || col > len([]rune(lines[line-1])) {
			return "expected a whole number, found text"
		}
		before, field := []rune(lines[line-1])[:col], string([]rune(lines[line-1])[col:])
		if before[col-1] != '.' {
			return "expected a whole number, found text"
		}
		return "cannot fetch " + fieldName.FindString(field) + " from a list or text"
	}
	if m := fetchFailed.FindStringSubmatch(message); m != nil {
		return m[1] + plainTypes(m[2])
	}
	return message
}

var (
	fieldName   = regexp.MustCompile(`^[\pL\pN_$]*`)
	fetchFailed = regexp.MustCompile(`^(cannot fetch .+ from )(\S+(?: \{\})?)$`)
)

// plainTypes names a type of Go for a person.
func plainTypes(name string) string {
	switch name {
	case "<nil>":
		return "nothing"
	case "int", "float64":
		return "a number"
	case "string":
		return "text"
	case "bool":
		return "true or false"
	case "[]interface {}":
		return "a list"
	case "map[string]interface {}":
		return "a map"
	}
	return name
}

func (e *expression) fail(at position, text string) *EvalError {
	return &EvalError{File: e.file, Line: at.line, Col: at.col, Path: e.scalar.path, Text: text}
}

// bad is the failure of an expression that gave a value of the wrong type.
func (e *expression) bad(want string, got any) *EvalError {
	return e.fail(e.scalar.at, fmt.Sprintf("expected %s, got %s", want, describe(got)))
}

// A want is the type that an expression must give, as far as it is known before it runs.
type want struct {
	words string
	kinds []reflect.Kind
}

var (
	wantText   = want{"text or a whole number", []reflect.Kind{reflect.String, reflect.Int}}
	wantNumber = want{"a whole number", []reflect.Kind{reflect.Int, reflect.String}}
	wantTime   = want{"a time: RFC 3339 text, or milliseconds since 1970", []reflect.Kind{reflect.String, reflect.Int}}
	wantBool   = want{"true or false", []reflect.Kind{reflect.Bool}}
	wantAny    = want{}
)

// A scope says which variables an expression has.
type scope struct {
	variables types.Map
	fields    []string // of variables with known fields, for suggestions
}

func (s scope) with(name string, fields ...string) scope {
	known := types.Map{}
	for _, field := range fields {
		known[field] = types.Any
	}
	s.variables = maps.Clone(s.variables)
	s.variables[name] = known
	s.fields = append(slices.Clone(s.fields), fields...)
	return s
}

// inputScope is what the expressions of an input see.
func inputScope() scope {
	open := types.Map{types.Extra: types.Any}
	return scope{variables: types.Map{"event": types.Any, "header": open, "key": types.String}}.with("meta", "timestamp")
}

// updateScope is what an update sees. The fields of state are known where initial
// and every result of the update are written as a map.
func updateScope(initial any, update string) scope {
	s := scope{variables: types.Map{"event": types.Any, "key": types.String, "state": types.Any}}.
		with("meta", "class", "epoch", "id", "sequence", "time", "version")
	object, ok := initial.(map[string]any)
	if !ok {
		return s
	}
	fields := slices.Collect(maps.Keys(object))
	tree, err := exprparser.Parse(update)
	if err != nil || !resultFields(tree.Node, &fields) {
		return s
	}
	sort.Strings(fields)
	return s.with("state", slices.Compact(fields)...)
}

// resultFields appends the names of the maps that an expression can give, and
// reports whether they are all that it can give (besides nil).
func resultFields(n ast.Node, fields *[]string) bool {
	switch n := n.(type) {
	case *ast.NilNode:
		return true
	case *ast.ConditionalNode:
		return resultFields(n.Exp1, fields) && resultFields(n.Exp2, fields)
	case *ast.VariableDeclaratorNode:
		return resultFields(n.Expr, fields)
	case *ast.MapNode:
		for _, pair := range n.Pairs {
			p, ok := pair.(*ast.PairNode)
			if !ok {
				return false
			}
			name, ok := p.Key.(*ast.StringNode)
			if !ok {
				return false
			}
			*fields = append(*fields, name.Value)
		}
		return true
	default:
		return false
	}
}

// firstField returns a field of state that an update reads in every evaluation, ""
// if it may do without: on a first state that has no fields no event would be applied.
func firstField(update string) string {
	tree, err := exprparser.Parse(update)
	if err != nil {
		return ""
	}
	return fieldIn(tree.Node)
}

// fieldIn looks into those parts of an expression that are evaluated if it is.
func fieldIn(nodes ...ast.Node) string {
	for _, n := range nodes {
		found := ""
		switch n := n.(type) {
		case *ast.MemberNode:
			id, ofState := n.Node.(*ast.IdentifierNode)
			if name, ok := n.Property.(*ast.StringNode); ok && ofState && id.Value == "state" && !n.Optional {
				return name.Value
			}
			found = fieldIn(n.Node, n.Property)
		case *ast.UnaryNode:
			found = fieldIn(n.Node)
		case *ast.BinaryNode:
			switch n.Operator {
			case "and", "&&", "or", "||", "??":
				found = fieldIn(n.Left)
			default:
				found = fieldIn(n.Left, n.Right)
			}
		case *ast.ConditionalNode:
			found = fieldIn(n.Cond)
		case *ast.CallNode:
			found = fieldIn(n.Arguments...)
		case *ast.BuiltinNode:
			found = fieldIn(n.Arguments...)
		case *ast.ArrayNode:
			found = fieldIn(n.Nodes...)
		case *ast.MapNode:
			found = fieldIn(n.Pairs...)
		case *ast.PairNode:
			found = fieldIn(n.Key, n.Value)
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// expression compiles the expression of an entry; nil when it is absent or wrong.
func (f fields) expression(name string, s scope, w want) *expression {
	v, ok := f.get(name)
	if !ok {
		return nil
	}
	text, ok := f.r.scalar(v, "an expression")
	if !ok {
		return nil
	}
	return f.r.compile(text, s, w)
}

func (r *reader) compile(text scalar, s scope, w want) *expression {
	if len(text.text) > maxExpression {
		r.add(CodeExpression, text.at, text.path, "the expression has %d characters; at most %d are allowed", len(text.text), maxExpression)
		return nil
	}
	program, err := compile(text.text, s)
	if err != nil {
		at, message := text.at, err.Error()
		var fileError *file.Error
		if errors.As(err, &fileError) {
			at, message = text.locate(fileError.Line, fileError.Column+1), fileError.Message
		}
		if message == "unexpected token EOF" {
			message = "the expression ends too early"
		}
		r.add(CodeExpression, at, text.path, "%s%s", message, s.hint(message))
		return nil
	}
	if t := program.Node().Type(); t != nil && len(w.kinds) > 0 && t.Kind() != reflect.Interface && !slices.Contains(w.kinds, t.Kind()) {
		r.add(CodeExpression, text.at, text.path, "the expression gives %s; expected %s", t, w.words)
		return nil
	}
	e := &expression{file: r.file, scalar: text, program: program}
	root := program.Node()
	ast.Walk(&root, e)
	if e.all {
		r.add(CodeExpression, text.at, text.path, "$env: name the variable that is meant")
		return nil
	}
	return e
}

// Visit notes which variables are read. It implements ast.Visitor.
func (e *expression) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		e.header = e.header || id.Value == "header"
		e.meta = e.meta || id.Value == "meta"
		e.all = e.all || id.Value == "$env"
	}
}

// compile turns a panic of the compiler into an error, as parse does.
func compile(text string, s scope) (program *vm.Program, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the expression cannot be compiled: %v", p)
		}
	}()
	return expr.Compile(text, append(functions(), expr.Env(s.variables))...)
}

var unknown = regexp.MustCompile(`^unknown (name|field) (\S+)`)

// hint helps with a name that an expression does not have.
func (s scope) hint(message string) string {
	m := unknown.FindStringSubmatch(message)
	switch {
	case m == nil:
		return ""
	case m[1] == "field":
		return suggest(m[2], s.fields)
	case slices.Contains(forbidden, m[2]):
		return ": an expression must give the same answer whenever and wherever it is evaluated; times come from the event: millis(event.at)"
	}
	names := slices.Collect(maps.Keys(s.variables))
	for _, b := range builtin.Builtins {
		if !slices.Contains(forbidden, b.Name) {
			names = append(names, b.Name)
		}
	}
	names = append(names, "millis", "sha256")
	sort.Strings(names)
	if near := suggest(m[2], names); near != "" {
		return near
	}
	names = slices.Sorted(maps.Keys(s.variables))
	return "; an expression here has " + strings.Join(names, ", ")
}

// describe names the type of a value for a person.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case bool:
		return fmt.Sprint(v)
	case int, float64:
		return fmt.Sprintf("the number %v", v)
	case string:
		if len(v) > 40 {
			return "a text"
		}
		return fmt.Sprintf("%q", v)
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	default:
		return fmt.Sprintf("a value of type %T", v)
	}
}
