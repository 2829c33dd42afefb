//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

const (
	exitFailed = 1
	exitUsage  = 2
	exitNo     = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options says what a run does.
type options struct {
	verb        string
	seed        uint64
	kills       int // faults
	instances   int
	workers     int
	events      int
	partitions  int
	brokers     []string
	nodes       int // of a real cluster that is started; 0: none
	rate        int // events a second
	session     time.Duration
	transaction time.Duration
	every       time.Duration // of storm
	drain       time.Duration
	store       string
}

// app is the name of the app: a seed has its own topics.
func (o *options) app() string { return fmt.Sprintf("torture-%x", o.seed) }

// run is the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "app":
		return runApp(args[1:], stdin, stdout, stderr)
	case "drain-app":
		return runDrainApp(args[1:], stdin, stdout, stderr)
	case "drain":
		o, err := parseDrain(args[1:], stderr)
		return judge(err, stderr, func() (bool, error) { return tortureDrain(ctx, o, stdout) })
	}
	o, err := parse(args, stderr)
	return judge(err, stderr, func() (bool, error) { return torture(ctx, o, stdout, stderr) })
}

// judge runs a drill that was not asked for wrongly, and returns the exit code.
func judge(wrong error, stderr io.Writer, drill func() (ok bool, err error)) int {
	if wrong != nil {
		if !errors.Is(wrong, flag.ErrHelp) {
			fmt.Fprintln(stderr, wrong)
		}
		return exitUsage
	}
	ok, err := drill()
	switch {
	case err != nil:
		fmt.Fprintln(stderr, err)
		return exitFailed
	case !ok:
		return exitNo
	}
	return 0
}

// verbs are the drills, and how many faults each injects unless it is told.
func verbs() map[string]int {
	return map[string]int{"kill9": 20, "stop": 2, "storm": 30, "leader": 3, "coordinator": 3, "timeout": 4 * len(kinds()), "truncate": 1, "disk": 60}
}

// eventsOf is how many events there are for a drill unless it is told. A kill takes those of
// a second or two: until a transaction is open, and until the instance is back.
func eventsOf(verb string) int {
	if verb == "kill9" {
		return 1_000_000
	}
	return 100_000
}

func parse(args []string, stderr io.Writer) (*options, error) {
	known := []string{"kill9", "stop", "storm", "leader", "coordinator", "timeout", "truncate", "disk"}
	if len(args) == 0 || !slices.Contains(known, args[0]) {
		return nil, fmt.Errorf("usage: torture %s|drain [flags]; -h after a verb shows them", strings.Join(known, "|"))
	}
	o := &options{verb: args[0]}
	flags := flag.NewFlagSet("torture "+o.verb, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>40, "of events and faults; default: another one each time")
	flags.IntVar(&o.kills, "kills", verbs()[o.verb], "how many faults")
	flags.IntVar(&o.instances, "instances", 3, "processes of the app")
	flags.IntVar(&o.workers, "workers", 1, "of each process")
	flags.IntVar(&o.events, "events", eventsOf(o.verb), "events, without copies")
	flags.IntVar(&o.partitions, "partitions", 12, "of every topic")
	flags.IntVar(&o.nodes, "nodes", 0, "1 or 3: start a real Kafka of so many nodes for this run; 0: embedded broker, or -brokers")
	flags.IntVar(&o.rate, "rate", 20_000, "events a second at most")
	flags.DurationVar(&o.session, "session", 10*time.Second, "session timeout of the group")
	flags.DurationVar(&o.transaction, "transaction", 10*time.Second, "transaction timeout")
	flags.DurationVar(&o.every, "every", 2*time.Second, "storm: from one joining or leaving to the next")
	flags.DurationVar(&o.drain, "drain", 5*time.Minute, "how long the app may take for what is left at the end")
	flags.StringVar(&o.store, "store", string(runner.Badger), "where the app has its state: badger or memory")
	brokers := flags.String("brokers", os.Getenv("KAFKA_BROKERS"), "addresses of a cluster that is there")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if *brokers != "" && o.nodes == 0 {
		o.brokers = strings.Split(*brokers, ",")
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("torture: what is %q? Flags begin with a dash", flags.Arg(0))
	case o.kills < 1 || o.instances < 1 || o.events < 1 || o.partitions < 1 || o.rate < 1 || o.workers < 1:
		return nil, errors.New("torture: kills, instances, workers, events, partitions and rate are at least 1")
	case o.nodes != 0 && o.nodes != 1 && o.nodes != 3:
		return nil, fmt.Errorf("torture: -nodes %d; a cluster has 1 or 3", o.nodes)
	case (o.verb == "leader" || o.verb == "coordinator") && o.nodes != 3:
		return nil, fmt.Errorf("torture: %s kills nodes; it needs -nodes 3", o.verb)
	case o.verb == "timeout" && (o.nodes != 0 || len(o.brokers) > 0):
		return nil, errors.New("torture: timeout cuts requests inside the embedded broker; leave -nodes, -brokers and KAFKA_BROKERS out")
	case o.verb == "timeout" && o.kills < 2*len(kinds()):
		return nil, fmt.Errorf("torture: -kills %d; timeout needs %d, for each request to be lost once, and until its client gives up", o.kills, 2*len(kinds()))
	case o.store != string(runner.Badger) && (o.store != string(runner.Memory) || o.verb == "disk"):
		return nil, fmt.Errorf("torture: -store %s; it is badger or memory, and disk damages that of badger", o.store)
	case o.verb == "stop" && o.instances < 2:
		return nil, errors.New("torture: stop needs another instance to take over; -instances 2 or more")
	}
	if o.verb == "storm" { // events flow until its end
		o.rate = max(1, min(o.rate, int(float64(o.events)/(float64(o.kills)*o.every.Seconds()))))
	}
	return o, nil
}
