//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/topology/embedded"
)

// runBroker is the process of the embedded broker: it says its address and ends when
// stdin does.
func runBroker(stdin io.Reader, stdout, stderr io.Writer) int {
	b, err := embedded.Start(embedded.Options{})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	defer b.Close()
	fmt.Fprintln(stdout, b.Addrs()[0])
	_, _ = io.Copy(io.Discard, stdin)
	return 0
}

// runClient is the process that is measured, from the record after the warm-up to the
// last one, or, without records, from the first one until it is told to end. It says
// what a record cost.
func runClient(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var j job
	name := flags.String("row", "", "")
	flags.StringVar(&j.broker, "broker", "", "")
	flags.StringVar(&j.input, "input", "", "")
	flags.StringVar(&j.prefix, "prefix", "", "")
	flags.IntVar(&j.workers, "workers", 1, "")
	flags.DurationVar(&j.interval, "interval", 100*time.Millisecond, "")
	flags.DurationVar(&j.settle, "settle", 0, "")
	warm := flags.Int("warm", 0, "")
	records := flags.Int("records", 0, "")
	profile := flags.String("profile", "", "")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	all := slices.Concat(rows(), restoreRows(), idleRows(), []row{rebalanceRow()})
	i := slices.IndexFunc(all, func(r row) bool { return r.name == *name })
	if i < 0 {
		fmt.Fprintf(stderr, "there is no row %q\n", *name)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	j.fail = func(err error) {
		fmt.Fprintln(stderr, err)
		os.Exit(exitFailed)
	}
	go func() { // nobody waits for an answer any more
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()
	var m *meter
	var err error
	if *records == 0 {
		m = newMeter(1, math.MaxInt32)
		err = all[i].run(ctx, j, m)
		select {
		case <-m.done: // it told its end by itself
		default:
			m.finish(max(m.seen.Load()-1, 0))
		}
	} else {
		m = newMeter(*warm, *records)
		err = clientRun(ctx, all[i], j, m, *profile)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	if err := json.NewEncoder(stdout).Encode(m.measure(j.workers)); err != nil {
		return exitFailed
	}
	return 0
}

// clientRun runs a row until the last record; a profile has what is measured only.
func clientRun(ctx context.Context, r row, j job, m *meter, profile string) (failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, j, m) }()
	until := func(c <-chan struct{}) error {
		select {
		case <-c:
			return nil
		case err := <-ended:
			return errors.Join(fmt.Errorf("bench: %s ended after %d records", r.name, m.seen.Load()), err)
		}
	}
	if err := until(m.began); err != nil {
		return err
	}
	if profile != "" {
		end, err := profiles(profile, r.name)
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, end()) }()
	}
	if err := until(m.done); err != nil {
		return err
	}
	cancel()
	return <-ended
}

// profiles writes profiles of the process into a directory.
func profiles(dir, name string) (end func() error, err error) {
	runtime.MemProfileRate = 64 << 10
	cpu, err := os.Create(filepath.Join(dir, name+".cpu"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(filepath.Join(dir, name+".allocs"))
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(heap, 0), heap.Close(), cpu.Close())
	}, nil
}
