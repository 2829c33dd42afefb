//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/integration/kafka/cluster"
)

// bench runs everything that the options ask for; missed says that a bar was.
func bench(ctx context.Context, o *options, stdout, stderr io.Writer) (missed bool, err error) {
	t := newTable(stdout, o)
	for _, b := range o.brokers {
		for _, keys := range o.keys {
			if err := benchOn(ctx, o, b, keys, t, stderr); err != nil {
				return false, err
			}
		}
	}
	return t.missed, nil
}

// benchOn runs the rows on one broker with one number of keys.
func benchOn(ctx context.Context, o *options, kind string, keys int, t *table, stderr io.Writer) (err error) {
	addr, end, err := startBroker(ctx, o, kind, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	admin, err := sarama.NewClusterAdmin([]string{addr}, settings())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	prefix := fmt.Sprintf("bench-%x", time.Now().UnixMilli())
	defer func() { err = errors.Join(err, deleteTopics(admin, prefix)) }()
	j := job{broker: addr, input: prefix + "-input", workers: o.workers, interval: o.interval}
	if o.rebalance {
		return measureRebalances(ctx, o, j, kind, keys, admin, t, stderr)
	}
	if err := createTopic(j.broker, admin, j.input, partitions, nil); err != nil {
		return err
	}
	if o.restore {
		return measureRestore(ctx, o, j, kind, keys, t, stderr)
	}
	if o.idle {
		return measureIdle(ctx, o, j, kind, keys, t, stderr)
	}
	if !o.latency {
		fmt.Fprintf(stderr, "%s, %d keys: filling the input\n", kind, keys)
		// Behind the last record that is measured there is more, so that nobody runs dry.
		if err := fill(addr, j.input, newStream(keys, o.seed, o.zipf), keys+o.records+o.records/4); err != nil {
			return err
		}
	}
	var results []result
	for round := range o.rounds {
		for _, r := range rows() {
			if !slices.Contains(o.rows, r.name) || r.apart && keys > apartKeys || r.other && o.latency || r.quick && !o.latency {
				continue
			}
			j.prefix = fmt.Sprintf("%s-%d-%s", prefix, round, r.name)
			got := result{broker: kind, keys: keys, row: r.name}
			if o.latency {
				j.input = j.prefix + "-input"
				got.latency, got.measure, err = measureLatency(ctx, o, j, r, keys, admin)
			} else {
				got.measure, err = measureCost(ctx, o, j, r, keys)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%s, %d keys, round %d: %s\n", kind, keys, round+1, got)
			results = append(results, got)
			if err := deleteTopics(admin, j.prefix); err != nil {
				return err
			}
		}
	}
	t.add(results)
	return nil
}

// startBroker starts a broker in a process of its own, or finds it.
func startBroker(ctx context.Context, o *options, kind string, stderr io.Writer) (addr string, end func() error, err error) {
	if kind == "real" {
		if o.address != "" {
			addrs := strings.Split(o.address, ",")
			if len(addrs) > 1 {
				return "", nil, fmt.Errorf("bench: KAFKA_BROKERS names %d brokers: the floor knows one", len(addrs))
			}
			return addrs[0], func() error { return nil }, nil
		}
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return "", nil, err
		}
		c, err := cluster.Start(ctx, cluster.Options{Nodes: 1, Dir: filepath.Join(dir, "cluster"), Log: stderr})
		if err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(dir))
		}
		return c.Brokers()[0], func() error { return errors.Join(c.Close(), os.RemoveAll(dir)) }, nil
	}
	p, err := startSelf(ctx, "broker")
	if err != nil {
		return "", nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("bench: the broker said no address: %w", err), p.end())
	}
	return strings.TrimSpace(line), p.end, nil
}

// measureCost runs a client until its last record.
func measureCost(ctx context.Context, o *options, j job, r row, keys int) (measure, error) {
	p, err := startClient(ctx, j, r, "-warm", strconv.Itoa(keys), "-records", strconv.Itoa(o.records/max(r.slow, 1)), "-profile", o.profile)
	if err != nil {
		return measure{}, err
	}
	m, err := p.measured()
	if err = errors.Join(err, p.end()); err != nil {
		return measure{}, fmt.Errorf("bench: %s: %w", r.name, err)
	}
	return m, nil
}

func startClient(ctx context.Context, j job, r row, more ...string) (*process, error) {
	return startSelf(ctx, append([]string{
		"client", "-row", r.name, "-broker", j.broker, "-input", j.input, "-prefix", j.prefix,
		"-workers", strconv.Itoa(j.workers), "-interval", j.interval.String(), "-settle", j.settle.String(),
	}, more...)...)
}

// A process is this program in another role.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
	log strings.Builder
}

func startSelf(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, args...)}
	p.cmd.Stderr = &p.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", args[0], err)
	}
	return p, nil
}

// measured returns what the process has measured, when it has.
func (p *process) measured() (m measure, err error) {
	err = json.NewDecoder(p.out).Decode(&m)
	return m, err
}

// end closes the process's input and waits for it.
func (p *process) end() error {
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(p.log.String()))
	}
	return nil
}
