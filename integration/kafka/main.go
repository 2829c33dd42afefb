//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/streamrun/streamrun/integration/kafka/cluster"
)

const usage = `usage: integration/kafka/up [1|3]     start a cluster of so many nodes; SEC=1: with TLS, SCRAM and ACLs
       integration/kafka/down         end it`

const (
	exitFailed  = 1
	exitUsage   = 2
	exitRunning = 5
	exitMissing = 6
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv("SEC"), cluster.Cache(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program; cache is where jars and cluster are kept.
func run(ctx context.Context, args []string, secure, cache string, out, progress io.Writer) int {
	up, nodes := false, 1
	switch strings.Join(args, " ") {
	case "up", "up 1":
		up = true
	case "up 3":
		up, nodes = true, 3
	case "down":
	default:
		fmt.Fprintln(progress, usage)
		return exitUsage
	}
	if secure != "" && secure != "0" && secure != "1" {
		fmt.Fprintf(progress, "SEC=%s: it is 0 or 1\n", secure)
		return exitUsage
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		fmt.Fprintln(progress, err)
		return exitFailed
	}
	unlock, err := cluster.Lock(filepath.Join(cache, "cluster.lock"))
	if err != nil {
		fmt.Fprintln(progress, err)
		return exitFailed
	}
	defer unlock()
	dir := filepath.Join(cache, "cluster")
	if !up {
		err = stopCluster(dir, progress)
	} else {
		err = startCluster(ctx, cluster.Options{Nodes: nodes, Secure: secure == "1", Dir: dir, Cache: cache, Detached: true, Log: progress}, out)
	}
	var missing *cluster.MissingError
	var running *runningError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &missing):
		fmt.Fprintln(progress, err)
		return exitMissing
	case errors.As(err, &running):
		fmt.Fprintln(progress, err)
		return exitRunning
	}
	fmt.Fprintln(progress, err)
	return exitFailed
}

// A runningError is a cluster that is up already.
type runningError struct {
	brokers []string
	pids    []int
}

func (e *runningError) Error() string {
	return fmt.Sprintf("kafka: a cluster is up already: KAFKA_BROKERS=%s, pids %d; end it with integration/kafka/down", strings.Join(e.brokers, ","), e.pids)
}

func startCluster(ctx context.Context, opts cluster.Options, out io.Writer) error {
	old, err := cluster.Open(opts.Dir)
	switch {
	case err == nil:
		if pids := old.Running(); len(pids) > 0 {
			return &runningError{old.Brokers(), slices.Sorted(maps.Values(pids))}
		}
		fmt.Fprintln(opts.Log, "kafka: removing what a cluster left that nobody ended")
		if err := old.Close(); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		// A start that was killed before it had a process may have left files.
		if err := os.RemoveAll(opts.Dir); err != nil {
			return fmt.Errorf("kafka: making room: %w", err)
		}
	default:
		return err
	}
	c, err := cluster.Start(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "export KAFKA_BROKERS=%s\n", strings.Join(c.Brokers(), ","))
	if c.Secured() {
		admin, user := c.Admin(), c.User()
		fmt.Fprintf(out, "export KAFKA_CA_FILE='%s' KAFKA_USERNAME=%s KAFKA_PASSWORD=%s\n", admin.CAFile, admin.Username, admin.Password)
		fmt.Fprintf(out, "export KAFKA_POWERLESS_USERNAME=%s KAFKA_POWERLESS_PASSWORD=%s\n", user.Username, user.Password)
	}
	return nil
}

func stopCluster(dir string, progress io.Writer) error {
	c, err := cluster.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(progress, "kafka: no cluster is up")
		return nil
	}
	if err != nil {
		return err
	}
	pids := slices.Sorted(maps.Values(c.Running()))
	if err := c.Close(); err != nil {
		return err
	}
	fmt.Fprintf(progress, "kafka: ended %d, data removed\n", pids)
	return nil
}
