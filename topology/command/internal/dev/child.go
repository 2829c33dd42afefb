package dev

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWait is how long the app may take to commit and leave.
const stopWait = 30 * time.Second

// child is the app's process. It is started again after every kill; that it ends by
// itself is an error. Its methods are safe for concurrent use.
type child struct {
	program string
	args    []string

	mu      sync.Mutex // guards the rest
	current *process
	lives   int           // processes that are gone
	cpu     time.Duration // that they used
	ended   chan error    // of a process that ended by itself
}

// process is one life of the app.
type process struct {
	cmd      *exec.Cmd
	errors   *lastLines
	expected bool // it is being ended; guarded by child.mu
	gone     chan struct{}
	err      error // set when gone
}

func newChild(program string, args []string) *child {
	return &child{program: program, args: args, ended: make(chan error, 1)}
}

// start starts the app.
func (c *child) start() error {
	p := &process{errors: &lastLines{}, gone: make(chan struct{})}
	// It must outlive what cancels the caller, so that it can be stopped in order.
	p.cmd = exec.CommandContext(context.WithoutCancel(context.Background()), c.program, c.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.errors, p.errors
	p.cmd.SysProcAttr = ownGroup()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("dev: starting the app: %w", err)
	}
	c.current = p
	go c.wait(p)
	return nil
}

func (c *child) wait(p *process) {
	p.err = p.cmd.Wait()
	c.mu.Lock()
	expected := p.expected
	c.lives++
	c.cpu += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	c.mu.Unlock()
	if !expected {
		c.ended <- p.failure("the app ended by itself")
	}
	close(p.gone)
}

// used returns how many processes the app had so far, and the CPU time of all of them.
func (c *child) used() (lives int, cpu time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives, c.cpu
}

// failure describes the end of a process with its last words.
func (p *process) failure(what string) error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("dev: %s: %s; it said last:\n%s", what, how, p.errors)
}

// kill kills the app, and returns when its process is gone.
func (c *child) kill() { <-c.signal(syscall.SIGKILL).gone }

// stop lets the app commit and leave, and returns when it is gone. An app that does
// not leave is killed.
func (c *child) stop() error {
	p := c.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		c.kill()
		return p.failure(fmt.Sprintf("the app did not stop within %v", stopWait))
	}
	// One that had not come to listen to signals yet had done nothing either.
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if p.err != nil && !(ok && status.Signaled() && status.Signal() == syscall.SIGTERM) {
		return p.failure("stopping the app")
	}
	return nil
}

// signal ends the current process in some way.
func (c *child) signal(s syscall.Signal) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.expected = true
	_ = c.current.cmd.Process.Signal(s) // it is gone already, or about to
	return c.current
}

// lastLine returns what the app said last.
func (c *child) lastLine() string {
	c.mu.Lock()
	said := c.current.errors
	c.mu.Unlock()
	text := said.String()
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// lastLines keeps the end of what is written to it. It is safe for concurrent use.
type lastLines struct {
	mu   sync.Mutex // guards text
	text []byte
}

const lastBytes = 4000

// Write implements io.Writer.
func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if cut := len(l.text) - lastBytes; cut > 0 {
		if i := bytes.IndexByte(l.text[cut:], '\n'); i >= 0 {
			cut += i + 1
		}
		l.text = append(l.text[:0], l.text[cut:]...)
	}
	return len(p), nil
}

// String returns the lines, indented.
func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.text))
	if text == "" {
		return "  (nothing)"
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}
