// Cleanroom does what somebody does who has just found the project: it clones it,
// and runs the commands of its README with nothing downloaded or built before.
//
//	go run ./integration/cleanroom
//
// The commands are taken from README.md of the clone. A comment on a line of its own, which readers do
// not see, marks the fenced block behind it:
//
//	<!-- cleanroom: run -->
//	```sh
//	go run ./cmd/streamrun dev -c examples/permits/streamrun.yaml --until-idle
//	```
//
// There is one block for run, the main job, and one for test; they are run in this
// order by sh, which stops at the first command that fails. It prints how many
// seconds each took with its downloads and builds, and ends with 1 when one failed.
//
// # Invariants
//
//  1. Only what is committed takes part: the clone is of HEAD.
//  2. GOMODCACHE and GOCACHE are new and empty at the start, and common to both
//     commands, as they are for somebody who runs one after the other.
//  3. Nothing is left behind, not even after a failure or an interrupt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	limit := flag.Duration("timeout", 20*time.Minute, "of one command")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := try(ctx, ".", *limit, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// try clones the checkout that dir is in, and runs the commands of its README.
func try(ctx context.Context, dir string, limit time.Duration, out io.Writer) (err error) {
	room, err := os.MkdirTemp("", "streamrun-cleanroom-")
	if err != nil {
		return fmt.Errorf("cleanroom: making an empty folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(room)) }()

	clone := filepath.Join(room, "clone")
	if err := cloneHead(ctx, dir, clone, out); err != nil {
		return err
	}
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		return fmt.Errorf("cleanroom: reading the README of the clone: %w", err)
	}
	var errs []error
	for _, name := range []string{"run", "test"} {
		commands, err := block(string(readme), name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "cleanroom: %s\n%s", name, commands)
		begin := time.Now()
		err = shell(ctx, room, clone, commands, limit, out)
		fmt.Fprintf(out, "cleanroom: %s took %.1f s with downloads and builds: %s\n", name, time.Since(begin).Seconds(), verdict(err))
		if err != nil {
			errs = append(errs, fmt.Errorf("cleanroom: %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// cloneHead clones the last commit and says what was left out of it.
func cloneHead(ctx context.Context, dir, clone string, out io.Writer) error {
	root, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	changed, err := git(ctx, dir, "status", "--porcelain")
	if err != nil {
		return err
	}
	head, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if _, err := git(ctx, dir, "clone", "--quiet", "--no-hardlinks", root, clone); err != nil {
		return err
	}
	fmt.Fprintf(out, "cleanroom: clone of %s\n", head)
	if changed != "" {
		fmt.Fprintf(out, "cleanroom: %d changed files are not committed and take no part\n", strings.Count(changed, "\n")+1)
	}
	return nil
}

// shell runs commands in the clone, with caches of the room's own.
func shell(ctx context.Context, room, clone, commands string, limit time.Duration, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", commands)
	cmd.Dir = clone
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STREAMRUN_") }),
		"GOMODCACHE="+filepath.Join(room, "modules"),
		"GOCACHE="+filepath.Join(room, "builds"))
	cmd.Stdout, cmd.Stderr = out, out
	// What the shell started must end with it, or it would go on in a removed folder.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cleanroom: git %s: %w: %s", args[0], err, strings.TrimSpace(failure.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func verdict(err error) string {
	if err != nil {
		return "FAILED"
	}
	return "ok"
}

// removeAll removes a folder whose folders may be read-only, as those of the module cache are.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("cleanroom: removing %s: %w", dir, err)
	}
	return nil
}
