// Mutants plants faults in a copy of the project and sees which test finds each.
// A fault that no test finds shows a promise that nothing guards.
//
//	go run ./integration/mutants -list
//	go run ./integration/mutants -set engine
//	go run ./integration/mutants -n 5 -seed $(git rev-parse HEAD)
//
// A fault is a patch testdata/NAME.patch with a header above the diff:
//
//	# set: reorder engine
//	# test: go test ./reorder/ -run TestHoleIsWaitedFor
//	# why: the deadline of a hole is one millisecond late
//	diff --git a/reorder/hold.go b/reorder/hold.go
//	...
//
// A fault may be of several sets. The named test is tried first, then all tests of the
// packages that the patch touches. It ends with 0 when every fault was found, and with
// 1 when one survived, could not be planted, or the tests fail without any.
//
// # Invariants
//
//  1. The checkout is only read; faults are planted in a copy of the files that git
//     tracks or would track, as they are in the working tree.
//  2. Tests that fail without a fault never count as having found one.
//  3. A patch that does not apply or does not compile is a failure, not a find.
//  4. The same seed draws the same faults, as long as the list of names is the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// errSurvived ends a run whose report says what was not found.
var errSurvived = errors.New("mutants: not every planted fault was found")

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	set := flags.String("set", "", "only the faults of this set (default: all)")
	n := flags.Int("n", 0, "only so many, drawn by -seed (default: all)")
	seed := flags.String("seed", "", "what -n is drawn by, such as a commit hash")
	list := flags.Bool("list", false, "print the faults and plant none")
	limit := flags.Duration("timeout", 5*time.Minute, "of one test command; a fault that makes tests hang is found")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	root, err := checkout(ctx, ".")
	if err != nil {
		return err
	}
	patches, err := readPatches(root)
	if err != nil {
		return err
	}
	patches = draw(inSet(patches, *set), *n, *seed)
	if len(patches) == 0 {
		return fmt.Errorf("mutants: no fault of set %q in %s: see -list", *set, patchFolder)
	}
	if *list {
		for _, p := range patches {
			fmt.Fprintf(out, "%-15s %-40s %s\n", strings.Join(p.sets, " "), p.name, p.why)
		}
		return nil
	}
	return tryAll(ctx, root, patches, *limit, out)
}

// tryAll plants the faults one after the other and reports each.
func tryAll(ctx context.Context, root string, patches []patch, limit time.Duration, out io.Writer) error {
	dir, err := os.MkdirTemp("", "streamrun-mutants-")
	if err != nil {
		return fmt.Errorf("mutants: making room for a copy: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // best effort: the folder is temporary anyway
	if err := copyTree(ctx, root, dir); err != nil {
		return err
	}
	l := lab{dir: dir, limit: limit, healthy: map[string]error{}}
	var left []string // as their lines said, for a reader of the end alone
	for _, p := range patches {
		begin := time.Now()
		killer, err := l.try(ctx, p)
		if ctx.Err() != nil {
			return fmt.Errorf("mutants: interrupted: %w", ctx.Err())
		}
		took := time.Since(begin).Round(100 * time.Millisecond)
		line := fmt.Sprintf("killed   %s by %s (%v)", p.name, killer, took)
		switch {
		case err != nil:
			line = fmt.Sprintf("ERROR    %s: %v (%v)", p.name, err, took)
			left = append(left, line)
		case killer == "":
			line = fmt.Sprintf("SURVIVED %s: %s (%v)", p.name, p.why, took)
			left = append(left, line)
		}
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "mutants: %d of %d killed\n", len(patches)-len(left), len(patches))
	if len(left) > 0 {
		return fmt.Errorf("%w:\n%s", errSurvived, strings.Join(left, "\n"))
	}
	return nil
}
