//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 2
	exitMissed = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options says what a run does.
type options struct {
	brokers   []string // "embedded", "real"
	address   string   // of the real one; empty: it is started
	keys      []int
	records   int
	rounds    int
	rows      []string
	workers   int
	interval  time.Duration
	latency   bool
	restore   bool
	rebalance bool
	idle      bool
	rate      int
	seconds   int
	profile   string
	seed      uint64
	zipf      bool
}

// run is the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "broker":
			return runBroker(stdin, stdout, stderr)
		case "client":
			return runClient(args[1:], stdin, stdout, stderr)
		}
	}
	o, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, err)
		}
		return exitUsage
	}
	missed, err := bench(ctx, o, stdout, stderr)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, err)
		return exitFailed
	case missed:
		return exitMissed
	}
	return 0
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{address: os.Getenv("KAFKA_BROKERS")}
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	brokers := flags.String("broker", "embedded", "embedded, real (KAFKA_BROKERS, else one is started) or both with a comma")
	keys := flags.String("keys", "100000", "how many keys, with commas")
	chosen := flags.String("rows", strings.Join(names, ","), "the ways to do the job")
	flags.IntVar(&o.records, "records", 3_000_000, "records that are measured, behind one of each key")
	flags.IntVar(&o.rounds, "rounds", 7, "measurements of each row")
	flags.IntVar(&o.workers, "workers", 1, "of streamrun")
	flags.DurationVar(&o.interval, "interval", 100*time.Millisecond, "of commits")
	flags.BoolVar(&o.latency, "latency", false, "measure latency, not cost")
	flags.BoolVar(&o.restore, "restore", false, "measure how fast state is read back, from a changelog of -records records")
	flags.BoolVar(&o.rebalance, "rebalance", false, "measure for how long partitions stand still that do not move when an instance joins and leaves")
	flags.BoolVar(&o.idle, "idle", false, "measure what an instance uses while nothing comes")
	flags.IntVar(&o.rate, "rate", 5000, "of latency and rebalance: events a second")
	flags.IntVar(&o.seconds, "seconds", 10, "of latency, rebalance and idle: how long a measurement takes, or each third of it, behind 3 seconds, or as long again")
	flags.StringVar(&o.profile, "profile", "", "directory for profiles of the clients")
	flags.Uint64Var(&o.seed, "seed", 1, "of the events")
	flags.BoolVar(&o.zipf, "zipf", false, "keys by Zipf's law, not all alike")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.brokers, o.rows = strings.Split(*brokers, ","), strings.Split(*chosen, ",")
	for _, b := range o.brokers {
		if b != "embedded" && b != "real" {
			return nil, fmt.Errorf("-broker %s: it is embedded or real", b)
		}
	}
	for _, r := range o.rows {
		if !slices.Contains(names, r) {
			return nil, fmt.Errorf("-rows %s: there are %s", r, strings.Join(names, ", "))
		}
	}
	for _, k := range strings.Split(*keys, ",") {
		n, err := strconv.Atoi(k)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-keys %s: it is a number from 1 on", k)
		}
		o.keys = append(o.keys, n)
	}
	apart := 0
	for _, chosen := range []bool{o.restore, o.latency, o.rebalance, o.idle} {
		if chosen {
			apart++
		}
	}
	if apart > 1 {
		return nil, errors.New("-restore, -latency, -rebalance and -idle are runs of their own")
	}
	if o.records < 1 || o.rounds < 1 || o.workers < 1 || o.rate < 1 || o.seconds < 1 || o.interval < time.Millisecond {
		return nil, errors.New("-records, -rounds, -workers, -rate and -seconds are at least 1, -interval 1ms")
	}
	return o, nil
}
