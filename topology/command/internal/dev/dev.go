package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/command/internal/feed"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner"
)

// Options says what a run does.
type Options struct {
	File       *config.File
	Feed       string // file of the events
	Delivery   feed.Options
	Kills      int    // inside an open transaction
	Partitions int    // of the input; 0: as the file says, else 8
	DataDir    string // of broker and app; empty: nothing is kept
	UntilIdle  bool   // stop when everything is decided, and verify; else go on until ctx ends
	TableOut   string // file for the table; empty: none
	LettersOut string // file for the dead letters; empty: none
	Program    string // of the app
	Logger     *slog.Logger
}

const (
	// instance is the app's name in its transactional ids and its group.
	instance = "dev"
	// feedID is the transactional id of the feed. No app has it: names have no dot.
	feedID = "dev.feed"

	defaultPartitions = 8
	// MaxPartitions bounds the partitions of a topic: each costs the broker a file and
	// the app a task.
	MaxPartitions = 1024
)

// A FeedError says that the feed cannot be used; nothing was started.
type FeedError struct{ Err error }

// Error implements error.
func (e *FeedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FeedError) Unwrap() error { return e.Err }

// A PartitionsError says that the data directory has the input with another number
// of partitions than was asked for.
type PartitionsError struct {
	Topic, DataDir string
	Have, Asked    int32
}

// Error implements error.
func (e *PartitionsError) Error() string {
	return fmt.Sprintf("dev: topic %s in %s has %d partitions, %d were asked for", e.Topic, e.DataDir, e.Have, e.Asked)
}

// ErrNothingOpen says that the app has no transactions to be killed in.
var ErrNothingOpen = errors.New("dev: --kill kills the app inside open transactions, and under guarantee: at_least_once it has none")

// A TooManyError says that a topic is to have more than MaxPartitions.
type TooManyError struct {
	Topic string
	Asked int
}

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("dev: topic %s is to have %d partitions; here it can have %d", e.Topic, e.Asked, MaxPartitions)
}

// Run runs the app against an embedded broker, feeds it, kills it as often as it is
// told to, and with UntilIdle waits for the end, stops it and verifies everything. The
// report is nil when ctx ended first, which is no error without UntilIdle.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	began := time.Now()
	in, err := readFeed(o.File, o.Feed)
	if err != nil {
		return nil, &FeedError{err}
	}
	plan, err := feed.NewPlan(len(in.events), o.Delivery)
	if err != nil {
		return nil, err
	}
	kills := planKills(o.Kills, o.Delivery.Seed)
	segments, err := cut(plan.Deliveries, o.Delivery.Shuffle, len(kills))
	if err != nil {
		return nil, err
	}
	topo, err := o.File.Topology()
	if err != nil {
		return nil, err
	}
	if o.Kills > 0 && o.File.Kafka.Guarantee == config.AtLeastOnce {
		return nil, ErrNothingOpen
	}
	if err := checkPartitions(&o); err != nil {
		return nil, err
	}
	table, letters, err := openOutputs(o.TableOut, o.LettersOut)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, table.close(), letters.close()) }()
	run := &run{Options: o, table: table, letters: letters, in: in, plan: plan, planned: kills, segments: segments, topology: topo, task: task.Plans(topo)[0], readable: map[int64]int64{}}
	report, err = run.inside(ctx)
	if report != nil {
		report.Seconds = time.Since(began).Seconds()
	}
	return report, err
}

// checkPartitions refuses topics that the broker would be too small for.
func checkPartitions(o *Options) error {
	input, output := o.File.Input.Partitions, o.File.Output.Partitions
	if o.Partitions > 0 {
		input = o.Partitions
	}
	switch {
	case input > MaxPartitions:
		return &TooManyError{o.File.Input.Topic, input}
	case output > MaxPartitions:
		return &TooManyError{o.File.Output.Topic, output}
	}
	return nil
}

// run is what one Run works with.
type run struct {
	Options
	in       *input
	plan     *feed.Plan
	planned  []planned
	segments []segment // one for each planned kill, and one more
	table    *output
	letters  *output
	topology *topology.Topology
	task     *task.Plan

	app        *child
	killer     *killer
	cluster    kafka.Cluster
	topics     *topics
	producer   kafka.Producer
	partitions int32
	baseline   baseline
	sent       int64           // records in the input topic
	readable   map[int64]int64 // by the timestamp of records of this run: when all of them could be read
	kills      []Kill
}

// inside opens everything, works, and closes it again in the reverse order.
func (r *run) inside(ctx context.Context) (report *Report, err error) {
	names := topology.Names{App: r.File.Name}
	r.killer = newKiller(strings.TrimSuffix(names.TransactionalID(instance, 0), "0"), func() { r.app.kill() })
	broker, err := embedded.Start(embedded.Options{DataDir: r.DataDir, Tap: r.killer.see})
	if err != nil {
		return nil, fmt.Errorf("dev: %w", err)
	}
	defer broker.Close()
	r.app = newChild(r.Program, r.arguments(broker.Addrs()))
	if r.cluster, err = wire.New(wire.Options{Brokers: broker.Addrs(), ClientID: "streamrun-dev"}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.cluster.Close()) }()
	if r.topics, err = openTopics(r.cluster); err != nil {
		return nil, err
	}
	if err := r.unchanged(ctx); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	r.Logger.Info("broker is up", "brokers", strings.Join(broker.Addrs(), ","), "topic", r.File.Input.Topic, "partitions", r.partitions)

	for i, bad := range r.in.bad {
		if i == maxProblems {
			r.Logger.Warn("and more lines like these", "lines", len(r.in.bad)-i)
			break
		}
		r.Logger.Warn("a line is sent as it is, with no key", "line", bad)
	}
	if err := r.app.start(); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-r.app.ended:
			cancel(err)
		case <-running.Done():
		}
	}()
	end, err := r.live(running)
	if cause := context.Cause(running); cause != nil {
		err = cause
	}
	interrupted := ctx.Err() != nil
	var ended error
	if err == nil || interrupted {
		ended = r.app.stop()
	} else {
		r.app.kill()
	}
	switch {
	case interrupted && !r.UntilIdle:
		return nil, ended
	case err != nil || ended != nil:
		return nil, errors.Join(err, ended)
	}
	return r.report(ctx, end)
}

// arguments are those of the app's process.
func (r *run) arguments(brokers []string) []string {
	args := []string{"run", "-c", r.File.Path, "--brokers", strings.Join(brokers, ","), "--plaintext", "--http=", "--instance", instance}
	if r.DataDir == "" {
		return append(args, "--store", "memory")
	}
	return append(args, "--data-dir", filepath.Join(r.DataDir, "app"))
}

// unchanged refuses a file that the app of the data directory was not made from,
// before an event is fed that it would not read.
func (r *run) unchanged(ctx context.Context) error {
	_, problems, _, err := runner.CompareTopics(ctx, r.topology, r.cluster, nil)
	if err != nil {
		return fmt.Errorf("dev: looking at the data directory: %w", err)
	}
	for _, p := range problems {
		if errors.Is(p, runner.ErrChanged) {
			return p
		}
	}
	return nil
}

// prepare creates the input topic, or looks at the one that is there, and remembers
// what was there before.
func (r *run) prepare(ctx context.Context) error {
	topic := r.File.Input.Topic
	found, err := r.topics.partitions(ctx, topic)
	if err != nil {
		return err
	}
	wanted := int32(r.Partitions)
	if found > 0 {
		if wanted > 0 && wanted != found {
			return &PartitionsError{topic, r.DataDir, found, wanted}
		}
		r.partitions = found
		r.baseline, err = r.before(ctx)
		r.sent = r.baseline.records()
		return err
	}
	if wanted == 0 {
		wanted = int32(r.File.Input.Partitions)
	}
	if wanted == 0 {
		wanted = defaultPartitions
	}
	r.partitions = wanted
	if err := r.topics.admin.Create(ctx, kafka.Topic{Name: topic, Partitions: wanted}); err != nil {
		return fmt.Errorf("dev: creating topic %s: %w", topic, err)
	}
	return nil
}

// live feeds and kills the app, and waits for the end.
func (r *run) live(ctx context.Context) (outcome, error) {
	if err := r.feedAll(ctx); err != nil {
		return goOn, err
	}
	if !r.UntilIdle {
		<-ctx.Done()
		return goOn, nil
	}
	return r.untilIdle(ctx)
}

// untilIdle waits until everything is decided.
func (r *run) untilIdle(ctx context.Context) (outcome, error) {
	r.Logger.Info("waiting until everything is decided")
	last, since := progress{}, time.Now()
	teller := teller{r.Logger, since}
	for {
		now, err := r.progress(ctx, true)
		if err != nil {
			return goOn, err
		}
		if now != last {
			last, since = now, time.Now()
		}
		teller.tell(time.Now(), now, time.Since(since), r.File.Contract)
		if o := judge(now, time.Since(since), r.File.Contract); o != goOn {
			return o, nil
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return goOn, err
		}
	}
}

// report reads everything back and verifies it.
func (r *run) report(ctx context.Context, end outcome) (*Report, error) {
	w, err := r.readBack(ctx)
	if err != nil {
		return nil, err
	}
	v, err := verify(w)
	if err != nil {
		return nil, err
	}
	losses := feed.Losses(len(r.in.events), r.plan.Lost, r.in.places)
	_, known := w.news()
	givenUp, took := tooLate(v)
	report := &Report{
		Seed: r.Delivery.Seed, In: len(r.in.events) - len(r.plan.Lost), Copies: len(r.plan.Duplicates), Lost: len(r.plan.Lost), Known: known,
		Left:   r.baseline.records() - (w.baseline.Delivered - w.baseline.Lost),
		Counts: minus(w.total, w.baseline), Kills: r.kills, Waits: end == waits, Entities: v.entities,
		Keyless: w.keyless(), GivenUp: givenUp, Took: took, MaxWait: r.File.Contract.WithDefaults().MaxWait,
		Notes: notesOf(w, v, losses), Checks: v.checks, Partitions: r.partitions,
	}
	report.Lives, report.CPU = r.app.used()
	if inside, open, _ := report.killed(); inside > 0 {
		var d differences
		if open < inside {
			d.add("%d of %d", open, inside)
		}
		report.Checks = append(report.Checks, d.check("killed inside an open transaction", "yes"))
	}
	if end == stands {
		report.Checks = append(report.Checks, Check{
			Name: "everything is decided", Answer: "NO",
			Detail: fmt.Sprintf("held %d, retrying %d, %d of %d records consumed, and nothing changes any more; the app said last: %s",
				w.total.Held, w.total.Retrying, w.total.Delivered-w.total.Lost, r.sent, r.app.lastLine()),
		})
	}
	if err := r.table.write(func(f io.Writer) error { return writeTable(f, w.table) }); err != nil {
		return nil, fmt.Errorf("dev: writing the table: %w", err)
	}
	if err := r.letters.write(func(f io.Writer) error { return writeLetters(f, w.letters) }); err != nil {
		return nil, fmt.Errorf("dev: writing the dead letters: %w", err)
	}
	return report, nil
}
