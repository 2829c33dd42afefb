//go:build linux

package realkafka

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// streamrun builds the program and returns its path.
func streamrun(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "streamrun")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/streamrun")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return program
}

// An app is one process of "streamrun run" at a time.
type app struct {
	t       *testing.T
	program string
	args    []string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process is gone, with result
	result  error
	said    tail
}

func (a *app) start() {
	a.t.Helper()
	cmd := exec.Command(a.program, a.args...) //nolint:noctx // it ends by signal: stop, kill or the cleanup
	cmd.Stdout, cmd.Stderr = &a.said, &a.said
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	ended := make(chan struct{})
	a.cmd, a.ended = cmd, ended
	go func() {
		defer close(ended)
		a.result = cmd.Wait()
	}()
	a.t.Cleanup(func() { _ = cmd.Process.Kill() }) // of one that has ended it is an error, and not wanted to be known
}

// alive fails the test if the process has ended by itself.
func (a *app) alive() {
	a.t.Helper()
	select {
	case <-a.ended:
		a.t.Fatalf("the app ended: %v\n%s", a.result, a.said.String())
	default:
	}
}

// kill ends the process with SIGKILL and returns when it is gone.
func (a *app) kill() {
	a.t.Helper()
	a.alive()
	if err := a.cmd.Process.Kill(); err != nil {
		a.t.Fatal(err)
	}
	<-a.ended
}

// stop ends the process with SIGTERM; it has to end well.
func (a *app) stop() {
	a.t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		a.t.Fatal(err)
	}
	select {
	case <-a.ended:
		if a.result != nil {
			a.t.Fatalf("the app, stopped by SIGTERM, ended with: %v\n%s", a.result, a.said.String())
		}
	case <-time.After(time.Minute):
		a.t.Fatalf("the app has not ended a minute after SIGTERM\n%s", a.said.String())
	}
}

// tail keeps the last lines that were written to it.
type tail struct {
	mu    sync.Mutex
	lines []string
	part  bytes.Buffer
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer.
func (l *tail) Write(p []byte) (int, error) {
	const keep = 60
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part.Write(p)
	for {
		line, err := l.part.ReadString('\n')
		if err != nil {
			l.part.WriteString(line) // the rest of it comes
			return len(p), nil
		}
		l.lines = append(l.lines, line)
		l.lines = l.lines[max(0, len(l.lines)-keep):]
	}
}

// String returns them.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("--- it said last\n%s%s", strings.Join(l.lines, ""), l.part.String())
}
