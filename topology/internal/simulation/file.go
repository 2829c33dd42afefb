package simulation

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const (
	schema  = "runner-simulation/"
	version = "1"
)

// Is reports whether a file is a script, of any version.
func Is(data []byte) bool {
	l := &lines{rest: string(data)}
	return l.next() && strings.HasPrefix(l.text, "schema: "+schema)
}

// Text returns the script as a file.
func (s *Script) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# A simulation of the runner, without what its failure does not need. To run it:\n")
	fmt.Fprintf(&b, "#   streamrun simulate FILE\n")
	fmt.Fprintf(&b, "schema: %s%s\nseed: %d\n", schema, version, s.Seed)
	for _, f := range s.Settings.all() {
		fmt.Fprintf(&b, "%s: %s\n", f.name, f.text())
	}
	fmt.Fprintf(&b, "steps:\n")
	for _, step := range s.Steps {
		fmt.Fprintln(&b, commented(fmt.Sprintf("- %d %s", step.Number, step.Fault), step.Note))
	}
	fmt.Fprintln(&b, commented("breaks: "+s.Breaks, s.Seen))
	fmt.Fprintf(&b, "trace: %016x\n", s.Trace)
	return b.Bytes()
}

// commented is a line with a comment, if there is one.
func commented(line, comment string) string {
	if comment == "" {
		return strings.TrimSpace(line)
	}
	return fmt.Sprintf("%-36s # %s", line, strings.ReplaceAll(comment, "\n", " "))
}

// Parse reads a file; name stands for it in errors, which begin with file:line:col.
func Parse(name string, data []byte) (Script, error) {
	l := &lines{rest: string(data)}
	s, err := l.script()
	if err != nil {
		return Script{}, fmt.Errorf("simulation: %s:%d:%d: %w", name, l.number, l.column, err)
	}
	return s, nil
}

// lines are the lines of a file, without comments.
type lines struct {
	rest   string
	text   string // of the current line; empty: the end
	number int
	column int // of what is looked at
}

// next goes to the next line that is not empty.
func (l *lines) next() bool {
	for l.rest != "" {
		l.text, l.rest, _ = strings.Cut(l.rest, "\n")
		l.number++
		l.column = 1
		if strings.HasPrefix(l.text, "#") {
			continue
		}
		l.text, _, _ = strings.Cut(l.text, " #")
		if l.text = strings.TrimRight(l.text, " \t\r"); l.text != "" {
			return true
		}
	}
	l.text, l.column = "", 1
	l.number++
	return false
}

// value goes to the next line, which has to be of this key, and returns what it says.
func (l *lines) value(key string) (string, error) {
	if !l.next() {
		return "", fmt.Errorf("the file ends, want %s", key)
	}
	return l.of(key)
}

// of returns what the current line says of a key.
func (l *lines) of(key string) (string, error) {
	value, ok := strings.CutPrefix(l.text, key+":")
	if !ok || value != "" && value[0] != ' ' {
		return "", fmt.Errorf("want %s: ..., not %q", key, l.text)
	}
	l.column += len(key) + 2
	return strings.TrimPrefix(value, " "), nil
}

func (l *lines) script() (s Script, err error) {
	if err := l.head(&s); err != nil {
		return s, err
	}
	for l.next() && strings.HasPrefix(l.text, "- ") {
		if err := l.step(&s); err != nil {
			return s, err
		}
	}
	if l.text == "" {
		return s, fmt.Errorf("the file ends, want another step or breaks")
	}
	if s.Breaks, err = l.of("breaks"); err != nil {
		return s, err
	}
	trace, err := l.value("trace")
	if err != nil {
		return s, err
	}
	if s.Trace, err = strconv.ParseUint(trace, 16, 64); err != nil || len(trace) != 16 {
		return s, fmt.Errorf("a trace is 16 hexadecimal digits, not %q", trace)
	}
	if l.next() {
		return s, fmt.Errorf("%q is left over", l.text)
	}
	return s, nil
}

// head reads what stands before the steps.
func (l *lines) head(s *Script) error {
	text, err := l.value("schema")
	if err != nil {
		return err
	}
	if text != schema+version {
		return fmt.Errorf("schema %q is not known; this reader knows %s", text, schema+version)
	}
	if text, err = l.value("seed"); err != nil {
		return err
	}
	if s.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
		return fmt.Errorf("a seed is a number, not %q", text)
	}
	for _, f := range s.Settings.all() {
		if text, err = l.value(f.name); err != nil {
			return err
		}
		if err := f.set(text); err != nil {
			return err
		}
	}
	text, err = l.value("steps")
	if err == nil && text != "" {
		err = fmt.Errorf("steps stand on lines of their own, not %q", text)
	}
	return err
}

func (l *lines) step(s *Script) error {
	number, fault, _ := strings.Cut(strings.TrimSpace(l.text[2:]), " ")
	l.column = 3
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("a step has a number from 1, not %q", number)
	case len(s.Steps) > 0 && n <= s.Steps[len(s.Steps)-1].Number:
		return fmt.Errorf("step %d stands after step %d", n, s.Steps[len(s.Steps)-1].Number)
	}
	s.Steps = append(s.Steps, Step{Number: n, Fault: strings.TrimSpace(fault)})
	return nil
}
