package config

import (
	"fmt"
	"sort"
	"strings"
)

// Code names a kind of problem. Codes never change their meaning.
type Code string

// Codes of problems.
const (
	CodeSyntax     Code = "SR1001" // not YAML, or YAML that a topology file does not use
	CodeVariable   Code = "SR1002" // ${NAME} that is not set or not well formed
	CodeUnknownKey Code = "SR1003" // a key that does not exist here
	CodeTwice      Code = "SR1004" // a key or name that stands twice
	CodeMissing    Code = "SR1005" // a key that must be here
	CodeType       Code = "SR1006" // a value of the wrong type
	CodeValue      Code = "SR1007" // a value of the right type that cannot be
	CodeReference  Code = "SR1008" // a name that nothing here has
	CodeExpression Code = "SR1009" // an expression that does not compile
	CodeContract   Code = "SR1010" // a contract that contradicts itself or the rest of the file
	CodeNotYet     Code = "SR1011" // right, but not in this version
)

// A Problem is one thing wrong with a topology file.
type Problem struct {
	Code Code
	Line int    // from 1
	Col  int    // from 1, in characters
	Path string // of the key, such as inputs.orders.topic; empty for the file
	Text string
}

// String returns "12:7: inputs.orders: unknown key ... [SR1003]".
func (p Problem) String() string {
	path := ""
	if p.Path != "" {
		path = p.Path + ": "
	}
	return fmt.Sprintf("%d:%d: %s%s [%s]", p.Line, p.Col, path, p.Text, p.Code)
}

// An Error is everything wrong with one topology file, in order of place. A
// command that meets one exits with 78.
type Error struct {
	File     string // as given to Parse
	Problems []Problem

	lines []string
}

// Error returns one line per problem, file:line:col first.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.File + ":" + p.String()
	}
	return strings.Join(lines, "\n")
}

// Text returns the problems for a person: each with the line that it stands in
// and a caret below the place.
func (e *Error) Text() string {
	var b strings.Builder
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "%s:%s\n", e.File, p)
		if p.Line > len(e.lines) {
			continue
		}
		line := strings.ReplaceAll(e.lines[p.Line-1], "\t", " ")
		margin := fmt.Sprintf("%5d | ", p.Line)
		fmt.Fprintf(&b, "%s%s\n%s^\n", margin, line, strings.Repeat(" ", len(margin)+p.Col-1))
	}
	return b.String()
}

// report collects problems while a file is read.
type report struct {
	problems []Problem
	hidden   []position // from where on a line is not shown
}

func (r *report) add(code Code, at position, path, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		Code: code, Line: at.line, Col: at.col, Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// err returns the problems as an error, sorted by place, or nil.
func (r *report) err(name, src string) error {
	if len(r.problems) == 0 {
		return nil
	}
	lines := strings.Split(strings.ReplaceAll(src, "\r\n", "\n"), "\n")
	for i, p := range r.problems {
		r.problems[i] = p.within(lines)
	}
	for _, at := range r.hidden {
		if line := []rune(lines[at.line-1]); at.col <= len(line) {
			lines[at.line-1] = string(line[:at.col-1]) + "***"
		}
	}
	sort.SliceStable(r.problems, func(i, j int) bool {
		a, b := r.problems[i], r.problems[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	return &Error{File: name, Problems: r.problems, lines: lines}
}

// within moves a place that the parser put outside the text to the nearest one inside.
func (p Problem) within(lines []string) Problem {
	p.Line = min(max(p.Line, 1), len(lines))
	p.Col = min(max(p.Col, 1), len([]rune(lines[p.Line-1]))+1)
	return p
}

// suggest returns ` (did you mean "x"?)` for the known word nearest to a wrong one,
// or nothing when none is near.
func suggest(wrong string, known []string) string { return didYouMean(nearest(wrong, known)) }

func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", near)
}

// nearest returns the known word nearest to a wrong one, the first of several, or "".
func nearest(wrong string, known []string) string {
	best, bestDistance := "", 1+max(1, len(wrong)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(wrong), k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the insertions, removals, replacements and swaps of neighbours
// between two words.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var d [65][65]int
	for i := 0; i <= len(a); i++ {
		d[i][0] = i
	}
	for j := 0; j <= len(b); j++ {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
