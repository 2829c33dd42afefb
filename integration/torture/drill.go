//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/streamrun/streamrun/integration/history"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
)

// poll is how often something that is waited for is looked at.
const poll = 5 * time.Millisecond

// drill is one run. It is used by one goroutine.
type drill struct {
	*options
	out      io.Writer
	rng      *rand.Rand
	kafka    *kafka
	reader   *history.Reader
	fleet    *fleet
	feed     *feed
	cutter   cutter
	cuts     map[kind]outcomes
	began    time.Time
	frozen   map[int64]bool // producers of instances that were stopped
	open     int            // kills with an open transaction
	refused  int            // commits of instances that woke
	lives    []life         // that followed a kill
	growth   growth
	damages  []damage
	trickled time.Time // when the feed was let go on a little
	places   int64     // at which directories were cut
	reasons  []string  // why the judgement is no
}

// life is a process that was started where another one was killed.
type life struct {
	fault  int
	before *process
	frozen time.Time // when the one before was stopped first
	killed time.Time
	*process
}

// torture runs a drill and judges it; false is a no.
func torture(ctx context.Context, o *options, out, log io.Writer) (ok bool, err error) {
	fmt.Fprintf(out, "torture %s: seed %d, %d faults, %d instances, %d events, %d partitions\n", o.verb, o.seed, o.kills, o.instances, o.events, o.partitions)
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		return false, fmt.Errorf("torture: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &drill{options: o, out: out, rng: rand.New(rand.NewPCG(o.seed, 0x6661756c74)), began: time.Now(), frozen: map[int64]bool{}, cuts: map[kind]outcomes{}}
	if d.kafka, err = openKafka(ctx, o, dir, d.cutter.see, log); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.kafka.close()) }()
	if err := d.kafka.createTopic(ctx, inputOf(o.app()), o.partitions); err != nil {
		return false, err
	}
	if d.reader, err = history.Open(d.kafka.brokers); err != nil {
		return false, err
	}
	defer d.reader.Close()
	if d.fleet, err = newFleet(dir, d.kafka.brokers, o); err != nil {
		return false, err
	}
	defer d.fleet.end()
	return d.run(ctx)
}

func (d *drill) run(ctx context.Context) (bool, error) {
	for i := range d.instances {
		if _, err := d.fleet.start(fmt.Sprintf("i%d", i)); err != nil {
			return false, err
		}
	}
	if err := d.until(ctx, time.Minute, "every task runs, and every instance has some", d.spread); err != nil {
		return false, err
	}
	d.say("%s is up, %d instances run %d tasks", d.kafka.what, d.instances, d.partitions)
	feeding, end := context.WithCancel(ctx)
	defer end()
	var err error
	if d.feed, err = startFeed(feeding, d.kafka.brokers, d.options); err != nil {
		return false, err
	}
	if d.verb == "kill9" {
		watching, stop := context.WithCancel(ctx)
		defer d.growth.watch(watching, d.kafka.brokers, judged(d.app(), int32(d.partitions)))()
		defer stop()
	}
	if d.verb == "truncate" {
		return d.truncate(ctx)
	}
	for i := range d.kills {
		if err := d.share(ctx, d.kills-i); err != nil {
			return false, err
		}
		if err := d.fault(ctx, i); err != nil {
			return false, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	return d.finish(ctx)
}

// spread reports whether every task runs and no instance is without, where there are
// enough of them.
func (d *drill) spread() bool {
	idle := 0
	for _, p := range d.fleet.alive {
		if s, _ := p.state(); s.Tasks == 0 {
			idle++
		}
	}
	return d.fleet.tasks() == d.partitions && idle == max(0, d.instances-d.partitions)
}

// share lets the feed go on by the share of one of the faults that are left, and waits
// until it is in the middle of it: the fault comes while events flow, and some are left
// while it lasts. Shares are of what is left: a fault may have let the feed go on too.
func (d *drill) share(ctx context.Context, faults int) error {
	if d.verb == "storm" { // which has a clock
		d.feed.allowed.Store(int64(d.events) * 2)
		return nil
	}
	before := d.feed.sent.Load()
	share := (int64(d.events) - before) / int64(2*faults+1)
	if share <= 0 {
		return fmt.Errorf("torture: %d events are sent and %d faults are left, with nothing to do for them: more -events, or fewer -kills", before, faults)
	}
	d.feed.allowed.Store(before + 2*share)
	at := before + share/4 + int64(d.rng.Float64()*float64(share))
	return d.until(ctx, d.drain, fmt.Sprintf("%d events are sent", at), func() bool { return d.feed.sent.Load() >= at })
}

// goOn lets a feed that has nothing left to send go on a little, for a transaction to be
// there: by the clock, since who waits for one may be slow to get it.
func (d *drill) goOn() {
	if sent := d.feed.sent.Load(); sent >= d.feed.allowed.Load() && time.Since(d.trickled) > 5*slot {
		d.trickled = time.Now()
		d.feed.allowed.Store(sent + 2*int64(d.partitions))
	}
}

// fault injects one fault.
func (d *drill) fault(ctx context.Context, i int) error {
	switch d.verb {
	case "kill9":
		return d.kill9(ctx, i)
	case "stop":
		return d.stop(ctx, i)
	case "storm":
		return d.storm(ctx, i)
	case "timeout":
		return d.timeout(ctx, i)
	case "disk":
		return d.disk(ctx, i)
	default: // leader, coordinator
		return d.node(ctx, i)
	}
}

// finish lets everything be done, stops the app, and judges.
func (d *drill) finish(ctx context.Context) (bool, error) {
	d.feed.allowed.Store(int64(1) << 62)
	if err := d.drained(ctx); err != nil {
		return false, err
	}
	sent := d.feed.sent.Load()
	if err := d.fleet.stop(); err != nil {
		return false, err
	}
	d.say("%d deliveries are sent and done, the app has stopped; reading everything back", sent)
	reading, cancel := context.WithTimeout(ctx, d.drain)
	defer cancel()
	report, err := history.Read(reading, d.kafka.brokers, judged(d.app(), int32(d.partitions)))
	if err != nil {
		return false, err
	}
	fmt.Fprint(d.out, report)
	events, copies := 0, 0
	for i := range report.Verdicts {
		events += report.Verdicts[i].Events
		copies += report.Verdicts[i].Copies
	}
	if events != d.events || int64(events+copies) != sent {
		d.no("the input topic has %d events and %d copies; %d events in %d deliveries were sent", events, copies, d.events, sent)
	}
	for i := range report.Verdicts {
		for _, difference := range report.Verdicts[i].Differences {
			d.no("partition %d: %s", report.Verdicts[i].Partition, difference)
		}
	}
	if err := d.compareStores(reading); err != nil {
		return false, err
	}
	if err := d.summary(reading); err != nil {
		return false, err
	}
	return d.verdict(), nil
}

// drained waits until everything is sent, consumed and decided.
func (d *drill) drained(ctx context.Context) error {
	var sent bool
	var failure error
	input := inputOf(d.app())
	err := d.until(ctx, d.drain, "everything is consumed and decided", func() bool {
		if !sent {
			select {
			case err := <-d.feed.failure:
				sent, failure = true, err
			default:
				return false
			}
		}
		if failure != nil {
			return true
		}
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		ends, err := d.reader.Ends(asking, input, int32(d.partitions))
		if err != nil {
			return false // a node may be away; the deadline of all ends it
		}
		committed, err := d.reader.Committed(asking, topology.Names{App: d.app()}.Group(), input, int32(d.partitions))
		if err != nil {
			return false
		}
		for p, c := range committed {
			if ends[p] == 0 {
				continue
			}
			m, err := history.ParseMetadata(c.Metadata)
			if c.Offset < ends[p] || err != nil || m.Counts.Held() > 0 {
				return false
			}
		}
		return true
	})
	return errors.Join(err, failure)
}

// until waits until something is so. It fails when an instance ends by itself.
func (d *drill) until(ctx context.Context, wait time.Duration, what string, so func() bool) error {
	limit := time.Now().Add(wait)
	for !so() {
		if err := d.fleet.surprise(); err != nil {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("torture: waiting until %s: not within %v; tasks run: %d of %d\n%s", what, wait, d.fleet.tasks(), d.partitions, d.words())
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
	return d.fleet.surprise()
}

// words are the last ones of every instance.
func (d *drill) words() (all string) {
	for _, name := range slices.Sorted(maps.Keys(d.fleet.alive)) {
		p := d.fleet.alive[name]
		s, alive := p.state()
		all += fmt.Sprintf("%s (alive: %v, %s, %d tasks) said last:\n%s\n", name, alive, s.Phase, s.Tasks, p.log)
	}
	return all
}

func (d *drill) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%7.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// victim draws an instance that runs tasks.
func (d *drill) victim(ctx context.Context) (found *process, err error) {
	err = d.until(ctx, time.Minute, "an instance runs tasks", func() bool {
		var running []*process
		for _, name := range slices.Sorted(maps.Keys(d.fleet.alive)) {
			p := d.fleet.alive[name]
			if s, alive := p.state(); alive && s.Phase == runner.Running && s.Tasks > 0 {
				running = append(running, p)
			}
		}
		if len(running) > 0 {
			found = running[d.rng.IntN(len(running))]
		}
		return found != nil
	})
	return found, err
}

// ids are the transactional ids of an instance.
func (d *drill) ids(instance string) (ids []string) {
	for w := range d.workers {
		ids = append(ids, topology.Names{App: d.app()}.TransactionalID(instance, w))
	}
	return ids
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
