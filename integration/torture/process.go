//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

// process is one life of an instance. Its methods are safe for concurrent use.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // closing it ends the process
	log   *tail
	began time.Time
	gone  chan struct{} // closed when it has ended

	mu       sync.Mutex // guards the rest
	now      said
	restores []restore
	ran      time.Time // first, with tasks
	expected bool
}

// startProcess starts a program. No context ends it: how it ends is the drill's matter.
func startProcess(name, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(context.Background(), program, args...), log: &tail{}, gone: make(chan struct{}), began: time.Now()}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the keyboard is the torturer's
	p.cmd.Stderr = p.log
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("torture: %s: %w", name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("torture: %s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("torture: starting %s: %w", name, err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.hear(lines.Bytes())
		}
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.gone)
	}()
	return p, nil
}

func (p *process) hear(line []byte) {
	var s said
	if json.Unmarshal(line, &s) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Last != p.now.Last {
		p.restores = append(p.restores, restore{s.Last, time.Now()})
	}
	p.now = s
	if p.ran.IsZero() && s.Phase == runner.Running && s.Tasks > 0 {
		p.ran = time.Now()
	}
}

// restore is the restore of one task.
type restore struct {
	restored
	at time.Time
}

// state returns what the process said last, and whether it is alive.
func (p *process) state() (said, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, !p.ended()
}

// restored returns what it restored so far, and when it first ran with tasks; zero: not
// yet.
func (p *process) restored() ([]restore, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.restores), p.ran
}

// since returns how many records of a task the process restored at a time or later.
func (p *process) since(task string, at time.Time) (n int64) {
	all, _ := p.restored()
	for _, r := range all {
		if r.Task == task && !r.at.Before(at) {
			n += r.Records
		}
	}
	return n
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("torture: %v to %s (pid %d): %w", s, p.name, p.cmd.Process.Pid, err)
	}
	return nil
}

// freeze stops the process and returns when it stands still.
func (p *process) freeze() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for !p.stands() {
		if p.ended() {
			return p.failure("ended by itself")
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (p *process) thaw() error { return p.signal(syscall.SIGCONT) }

// expect says that the process may end from now on.
func (p *process) expect() {
	p.mu.Lock()
	p.expected = true
	p.mu.Unlock()
}

// kill ends the process and returns when it is gone.
func (p *process) kill() error {
	p.expect()
	err := p.signal(syscall.SIGKILL)
	<-p.gone
	return err
}

// stop lets the process commit and leave.
func (p *process) stop(wait time.Duration) error {
	p.expect()
	if p.ended() {
		return p.failure("ended by itself")
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	select {
	case <-p.gone:
	case <-limit.C:
		return errors.Join(p.failure(fmt.Sprintf("did not stop within %v", wait)), p.kill())
	}
	// SIGTERM ends one that had not come to listen to it; it had done nothing either.
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); p.cmd.ProcessState.ExitCode() != 0 && !(ok && status.Signaled() && status.Signal() == syscall.SIGTERM) {
		return p.failure("failed while it stopped")
	}
	return nil
}

// surprise returns an error if the process has ended and should not have.
func (p *process) surprise() error {
	p.mu.Lock()
	expected := p.expected
	p.mu.Unlock()
	if expected || !p.ended() {
		return nil
	}
	return p.failure("ended by itself")
}

func (p *process) failure(what string) error {
	return fmt.Errorf("torture: %s (pid %d) %s; it said last:\n%s", p.name, p.cmd.Process.Pid, what, p.log)
}

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

const tailBytes = 6000

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if cut := len(t.text) - tailBytes; cut > 0 {
		t.text = append(t.text[:0], t.text[cut:]...)
	}
	return len(b), nil
}

// String returns the lines, indented.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return "  " + string(bytes.ReplaceAll(bytes.TrimSpace(t.text), []byte("\n"), []byte("\n  ")))
}
