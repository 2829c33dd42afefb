package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A lab is a copy of the project that faults are planted in, one at a time.
type lab struct {
	dir     string
	limit   time.Duration    // of one test command
	healthy map[string]error // what test commands said without a fault
}

// try plants a fault, returns what found it ("" when nothing did), and removes it.
// The error says why the fault was not put to the test.
func (l *lab) try(ctx context.Context, p patch) (killer string, err error) {
	commands := [][]string{p.test, append([]string{"test"}, p.packages...)}
	for _, test := range commands {
		if err := l.isHealthy(ctx, test); err != nil {
			return "", err
		}
	}
	if err := l.apply(ctx, p); err != nil {
		return "", fmt.Errorf("does not apply: %w", err)
	}
	defer func() { err = errors.Join(err, l.apply(ctx, p, "--reverse")) }()
	if out, err := l.run(ctx, "go", append([]string{"build"}, p.packages...)); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	for _, test := range commands {
		killer, err := l.test(ctx, test)
		if killer != "" || err != nil {
			return killer, err
		}
	}
	return "", nil
}

func (l *lab) apply(ctx context.Context, p patch, options ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"apply"}, options...)...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(l.dir)) // a repository around it is none of ours
	cmd.Stdin = bytes.NewReader(p.text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git apply: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// isHealthy reports whether a test command passes without a fault; it runs each once.
func (l *lab) isHealthy(ctx context.Context, test []string) error {
	key := strings.Join(test, " ")
	err, known := l.healthy[key]
	if !known {
		var killer string
		if killer, err = l.test(ctx, test); err == nil && killer != "" {
			err = fmt.Errorf("go %s fails without any fault: %s", key, killer)
		}
		l.healthy[key] = err
	}
	return err
}

// test runs a test command and returns what failed; "" when all passed. The error
// says why it could not be run.
func (l *lab) test(ctx context.Context, test []string) (failed string, err error) {
	args := slices.Concat([]string{"test", "-json", "-timeout", l.limit.String()}, test[1:])
	out, err := l.run(ctx, "go", args)
	if err == nil {
		return "", nil
	}
	failed, compiles := firstFailure(out)
	switch {
	case !compiles:
		return "", fmt.Errorf("does not compile with its tests: %w\n%s", err, plain(out))
	case failed == "":
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(test, " "), err, plain(out))
	}
	return failed, nil
}

func (l *lab) run(ctx context.Context, name string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.dir
	cmd.WaitDelay = 10 * time.Second // a grandchild may hold the pipe
	return cmd.CombinedOutput()
}

// firstFailure reads what go test -json printed: the first test that failed, the
// innermost first, or the package whose tests died as a whole; and whether
// everything compiled.
func firstFailure(out []byte) (failed string, compiles bool) {
	var inPackage string
	for line := range bytes.Lines(out) {
		event := parseEvent(line)
		switch {
		case event.FailedBuild != "" || event.Action == "build-fail":
			return "", false
		case strings.HasPrefix(event.Output, "panic: test timed out"):
			return event.Package + " (timed out)", true
		case event.Action == "fail" && event.Test != "" && failed == "":
			failed = event.Package + "." + event.Test
		case event.Action == "fail" && inPackage == "":
			inPackage = event.Package
		}
	}
	if failed == "" {
		failed = inPackage
	}
	return failed, true
}

// A testEvent is a line of go test -json.
type testEvent struct{ Action, Package, Test, Output, FailedBuild string }

// parseEvent reads one line; a line that is no event was printed beside them.
func parseEvent(line []byte) testEvent {
	var e testEvent
	if json.Unmarshal(line, &e) != nil {
		return testEvent{Output: string(line)}
	}
	return e
}

// plain returns what go test would have printed without -json.
func plain(out []byte) string {
	var text strings.Builder
	for line := range bytes.Lines(out) {
		text.WriteString(parseEvent(line).Output)
	}
	return text.String()
}
