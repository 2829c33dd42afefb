// Command soak runs the full counts of the project's drills and writes what they
// said to integration/REPORT.md, with the commit, the seeds and the durations. It is
// run before an issue is called resolved.
//
//	go run ./integration/soak            # all of it
//	go run ./integration/soak -run dev   # the runs whose name has "dev"
//
// It runs in the root of the repository. A run that fails makes it exit with 1; the
// report is written all the same, unless -run left something out.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "only the runs whose name has this in it; no report is written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context, only string) error {
	commit, err := output(ctx, "git", "describe", "--always", "--dirty")
	if err != nil {
		return fmt.Errorf("asking git for the commit: %w", err)
	}
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its folder anyway
	tool := filepath.Join(dir, "streamrun")
	if _, err := output(ctx, "go", "build", "-o", tool, "./cmd/streamrun"); err != nil {
		return err
	}
	feed, err := events(ctx, tool, dir)
	if err != nil {
		return err
	}
	var report strings.Builder
	fmt.Fprintf(&report, "# Soak report\n\nCommit %s, %s. Made by `go run ./integration/soak`.\n\n| run | took | said |\n| --- | --- | --- |\n",
		strings.TrimSpace(commit), time.Now().UTC().Format("2006-01-02 15:04 MST"))
	var failed []string
	for _, d := range drills(tool, dir, feed) {
		if !strings.Contains(d.name, only) {
			continue
		}
		begin := time.Now()
		said, err := output(ctx, d.args[0], d.args[1:]...)
		took := time.Since(begin).Round(100 * time.Millisecond)
		if err != nil {
			failed = append(failed, d.name)
		}
		last := strings.Join(told(said, d.lines, err), "<br>")
		fmt.Printf("%-40s %8s  %s\n", d.name, took, last)
		fmt.Fprintf(&report, "| %s | %s | %s |\n", d.name, took, strings.ReplaceAll(last, "|", "\\|"))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if only == "" { // after each run, so that one that is ended leaves what it saw
			if err := os.WriteFile("integration/REPORT.md", []byte(report.String()), 0o644); err != nil {
				return err
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// events returns the file of events: the real log where there is one, else a
// generated one.
func events(ctx context.Context, tool, dir string) (string, error) {
	if real := os.Getenv("STREAMRUN_REAL_INPUT"); real != "" {
		return filepath.Join(real, "permit-receipt.ndjson.gz"), nil
	}
	feed := filepath.Join(dir, "permits.ndjson")
	text, err := output(ctx, tool, "generate", "permits", "--events", "8000", "--seed", "1")
	if err != nil {
		return "", err
	}
	return feed, os.WriteFile(feed, []byte(text), 0o600)
}

// whyLines is how many lines are kept of a run that failed, of each of what it printed:
// a drill says why at its end, and after its tables.
const whyLines = 40

// told returns what is kept of what a run printed: its last lines, or, if it failed,
// what tells why.
func told(said string, lines int, err error) []string {
	if err == nil {
		return lastLines(said, lines)
	}
	return append(lastLines(said, whyLines), lastLines("FAILED: "+err.Error(), whyLines+1)...)
}

// output runs a command and returns what it printed; the error has the end of
// what it printed to stderr.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w:\n%s", err, strings.Join(lastLines(stderr.String(), whyLines), "\n"))
	}
	return stdout.String(), err
}

// lastLines returns the last n lines that are not empty.
func lastLines(text string, n int) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}
