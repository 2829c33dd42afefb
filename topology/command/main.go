package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/command/internal/dev"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner"
)

// Exit codes; the package comment says when.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitNo          = 3
	exitRefused     = 5
	exitUnreachable = 6
	exitMalformed   = 78
	exitInterrupted = 130
)

// Main runs the command line of the process and returns its exit code. topo is the
// topology that is compiled in; nil: it comes from a file that the command line names.
//
// The first SIGINT or SIGTERM stops what runs in order, a second one ends the
// process at once; one that comes with the first is taken for the same.
func Main(topo *topology.Topology) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	var interrupted atomic.Bool
	go func() {
		watch(signals, func(s os.Signal) {
			interrupted.Store(s == os.Interrupt)
			cancel()
		})
		os.Exit(exitInterrupted)
	}()
	code := execute(ctx, topo, os.Args[1:], os.Stdout, os.Stderr)
	if interrupted.Load() {
		return exitInterrupted
	}
	return code
}

// settle is how long after a signal another one is taken for the same.
const settle = 250 * time.Millisecond

// watch calls stop with the first signal, and returns with a second one. Some send one
// to the process and to its group at once, as timeout(1) does: they mean it once.
func watch(signals <-chan os.Signal, stop func(os.Signal)) {
	stop(<-signals)
	first := time.Now()
	for range signals {
		if time.Since(first) >= settle {
			return
		}
	}
}

// execute runs one command line.
func execute(ctx context.Context, topo *topology.Topology, args []string, stdout, stderr io.Writer) int {
	root := newRoot(topo)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var code exitError
	switch {
	case errors.As(err, &code):
	case unusable(err): // what was said could not be written
		_ = errors.As(classify(err), &code)
	default:
		code = exitError{exitUsage, err, fmt.Sprintf("%s --help lists what can be said", ran.CommandPath())}
	}
	if code.err != nil {
		_, _ = fmt.Fprintln(stderr, strings.TrimRight(describe(code.err), "\n"))
	}
	if code.next != "" {
		_, _ = fmt.Fprintf(stderr, "next: %s\n", code.next)
	}
	return code.code
}

// exitError is an error with its exit code and the next step. Without an error
// everything was said already.
type exitError struct {
	code int
	err  error
	next string
}

// Error implements error.
func (e exitError) Error() string { return describe(e.err) }

// Unwrap returns the cause.
func (e exitError) Unwrap() error { return e.err }

// describe returns an error's text as people want it.
func describe(err error) string {
	var file *config.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &file):
		return file.Text()
	}
	return err.Error()
}

// classify gives an error of a running app its exit code and next step.
func classify(err error) error {
	var (
		coded exitError
		file  *config.Error
		feed  *dev.FeedError
		moved *task.MovedError
		count *dev.PartitionsError
		topic *runner.TopicsError
		many  *dev.TooManyError
		out   *dev.OutputError
		dial  *net.OpError
		batch *kafka.UndecodableError
	)
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.As(err, &file):
		return exitError{exitMalformed, err, "correct the file; streamrun check -c FILE says the same"}
	case errors.As(err, &feed) && unusable(err):
		return exitError{exitMalformed, err, "name a file that can be read with --feed"}
	case errors.As(err, &feed):
		return exitError{exitMalformed, err, "correct the events, or the expressions of the topology file that read them"}
	case errors.As(err, &moved):
		return exitError{exitRefused, err, "put the offsets back; or go on from where they are with --accept-offsets"}
	case errors.Is(err, runner.ErrChanged):
		return exitError{exitRefused, err, "put the topology back as it was; or give the changed app another name, and for dev another --data-dir"}
	case errors.Is(err, runner.ErrUnknownWas):
		return exitError{exitRefused, err, "name what the step was when its state began, or leave was: out where it is its first name"}
	case errors.Is(err, runner.ErrInUse):
		return exitError{exitRefused, err, "stop the other process; or give this one a --data-dir and an --instance of its own"}
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
		return exitError{exitRefused, err, "restore the records that are missing; or move the group's offsets to what is there and start with --accept-offsets, which counts what is skipped"}
	case errors.As(err, &count):
		return exitError{exitRefused, err, "leave --partitions out, or take another --data-dir"}
	case errors.As(err, &topic):
		return exitError{exitRefused, err, "do what each line says, then start again; topics plan --live lists every topic"}
	case errors.Is(err, dev.ErrNothingOpen):
		return exitError{exitUsage, err, "leave --kill out, or try the file under guarantee: exactly_once"}
	case errors.As(err, &many):
		return exitError{exitUsage, err, "lower partitions in the topology file; --partitions overrides that of the input"}
	case errors.As(err, &out):
		return exitError{exitUsage, err, "name a file that can be written"}
	case errors.Is(err, dev.ErrTooFew):
		return exitError{exitUsage, err, "kill less often, or feed more events"}
	case errors.Is(err, kafka.ErrTLS):
		return exitError{exitMalformed, err, "correct kafka.tls of the topology file, or the port that kafka.brokers names"}
	case errors.Is(err, kafka.ErrCredentials):
		return exitError{exitRefused, err, "correct kafka.sasl of the topology file, or the secret; or have the cluster's owner admit the user"}
	case errors.Is(err, kafka.ErrNotAuthorized):
		return exitError{exitRefused, err, "have the cluster's owner grant what the message names, then start again"}
	case errors.Is(err, kafka.ErrTxnTimeout):
		return exitError{exitRefused, err, "make the transaction timeout shorter, or have the cluster's owner raise transaction.max.timeout.ms, then start again"}
	case errors.Is(err, kafka.ErrTimestamp):
		return exitError{exitRefused, err, "raise message.timestamp.after.max.ms of the topic, then start again: nothing was lost"}
	case errors.Is(err, kafka.ErrTooLarge):
		return exitError{exitRefused, err, "raise the limit of the topic that the message names, or write smaller records, then start again: nothing was lost"}
	case errors.As(err, &batch), errors.Is(err, kafka.ErrStuck):
		return exitError{exitRefused, err, "have the batch repaired; or say undecodable_batch: skip of the input, or move the group's offset past it and start with --accept-offsets: both count what is skipped"}
	case errors.Is(err, kafka.ErrUnreachable), errors.As(err, &dial):
		return exitError{exitUnreachable, err, "see that the broker runs and that --brokers names it, then try again"}
	case unusable(err):
		return exitError{exitFailure, err, "see that the file or directory that the message names can be used, and that its disk has room, then start again"}
	case errors.Is(err, context.Canceled):
		return exitError{exitFailure, errors.New("stopped before the end"), "start it again"}
	}
	return exitError{exitFailure, err, "read the message from its end; if it tells you nothing to do, report it as it is"}
}

// unusable reports whether a file or directory could not be read or written.
func unusable(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}
