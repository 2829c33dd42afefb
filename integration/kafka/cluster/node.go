//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// started is the line with which a node says that it serves.
const started = "Kafka Server started"

// poll is how often a process or log is looked at.
const poll = 20 * time.Millisecond

// Start starts a node that was killed or stopped, on its data, and returns when it
// serves.
func (c *Cluster) Start(ctx context.Context, id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	if c.runs(*n) {
		return fmt.Errorf("cluster: node %d runs already, as pid %d", id, n.PID)
	}
	before := int64(0)
	if info, err := os.Stat(c.path(*n, logFile)); err == nil {
		before = info.Size()
	}
	if err := c.launch(n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return c.ready(ctx, *n, before)
}

// Stop ends a node in order, and with SIGKILL if it does not.
func (c *Cluster) Stop(id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	if err := c.terminate(*n); err != nil {
		return err
	}
	if c.gone(*n, stopTime) {
		return nil
	}
	return c.Kill(id)
}

// Kill ends a node with SIGKILL. It is gone when Kill returns.
func (c *Cluster) Kill(id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	if err := c.signal(*n, syscall.SIGKILL); err != nil {
		return err
	}
	if !c.gone(*n, stopTime) {
		return fmt.Errorf("cluster: node %d, pid %d, is still there after SIGKILL", id, n.PID)
	}
	return nil
}

// Pause stops a node's process where it is (SIGSTOP); its connections stay.
func (c *Cluster) Pause(id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	return c.signal(*n, syscall.SIGSTOP)
}

// Resume lets a paused node go on.
func (c *Cluster) Resume(id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	return c.signal(*n, syscall.SIGCONT)
}

// java returns a command of a class of Kafka.
func (c *Cluster) java(ctx context.Context, options []string, class string, args ...string) *exec.Cmd {
	all := append(options, "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(c.jars, "*"), class)
	return exec.CommandContext(ctx, "java", append(all, args...)...)
}

// format makes a node's data directory.
func (c *Cluster) format(ctx context.Context, n node) error {
	args := []string{"format", "-t", c.state.ClusterID, "-c", c.path(n, propertiesFile)}
	if s := c.state.Security; s != nil {
		for _, u := range []user{s.Admin, s.User} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, u.Name, u.Password))
		}
	}
	if out, err := c.java(ctx, []string{"-Xmx128m"}, "kafka.tools.StorageTool", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cluster: formatting node %d: %w\n%s", n.ID, err, out)
	}
	return nil
}

// launch starts the process of a node and writes its pid down.
func (c *Cluster) launch(n *node) error {
	log, err := os.OpenFile(c.path(*n, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cluster: log of node %d: %w", n.ID, err)
	}
	defer func() { _ = log.Close() }() // the node has its own
	// The node's life is not the caller's context's: it ends by signal.
	cmd := c.java(context.Background(), []string{
		"-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.configurationFile=" + c.file("log4j2.properties"),
	}, "kafka.Kafka", c.path(*n, propertiesFile))
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	// A session of its own: an interrupt at the keyboard is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !c.detached {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	result, reaped := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(reaped)
		// Pdeathsig is sent when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		result <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("cluster: starting node %d: %w", n.ID, err)
	}
	n.PID = cmd.Process.Pid
	c.children[n.PID] = reaped
	c.say("node %d on %s, pid %d, log %s", n.ID, n.addr(), n.PID, c.path(*n, logFile))
	return c.state.write(c.dir)
}

// ready waits until a node says so in its log, behind the given position.
func (c *Cluster) ready(ctx context.Context, n node, from int64) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(c.path(n, logFile))
		if err == nil && int64(len(log)) >= from && bytes.Contains(log[from:], []byte(started)) {
			return nil
		}
		if !c.runs(n) {
			return fmt.Errorf("cluster: node %d ended while it started\n%s", n.ID, c.logs())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster: node %d is not ready: %w\n%s", n.ID, ctx.Err(), c.logs())
		case <-tick.C:
		}
	}
}

// logs returns the ends of all logs, for errors.
func (c *Cluster) logs() string {
	const lines = 30
	var b strings.Builder
	for _, n := range c.state.Nodes {
		log, err := os.ReadFile(c.path(n, logFile))
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(log)), "\n")
		fmt.Fprintf(&b, "--- the log of node %d ends with\n%s\n", n.ID, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}

// runs reports whether the pid of a node is the node's: not gone, not a zombie (which
// has no command line), not another process that got the number.
func (c *Cluster) runs(n node) bool {
	if n.PID == 0 {
		return false
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.PID), "cmdline"))
	return err == nil && bytes.Contains(line, []byte(c.path(n, propertiesFile)))
}

// signal sends a signal to a node; one that does not run is no error.
func (c *Cluster) signal(n node, sig syscall.Signal) error {
	if !c.runs(n) {
		return nil
	}
	if err := syscall.Kill(n.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cluster: %v to node %d, pid %d: %w", sig, n.ID, n.PID, err)
	}
	return nil
}

// terminate asks a node to end, a paused one too.
func (c *Cluster) terminate(n node) error {
	return errors.Join(c.signal(n, syscall.SIGTERM), c.signal(n, syscall.SIGCONT))
}

// gone waits until a node's process has ended, and is reaped if it is a child.
func (c *Cluster) gone(n node, wait time.Duration) bool {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for c.runs(n) {
		select {
		case <-limit.C:
			return false
		case <-tick.C:
		}
	}
	if reaped, ok := c.children[n.PID]; ok {
		<-reaped
	}
	return true
}
