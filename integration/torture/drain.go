//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamrun/streamrun/topology/embedded"
)

const (
	drainIn, drainOut = "drain-events", "drain-applied"
	// feeder is the client id of the drill itself, whose requests are never slow.
	feeder = "drill"
	// smallHole is how many events wait behind each of the holes that a large one is
	// compared with.
	smallHole = 1000
	// others is how many entities there are beside the one with the hole.
	others = 997
)

// drainOptions say what a drain drill does.
type drainOptions struct {
	held  int           // events behind one hole
	rate  int           // events of others a second
	delay time.Duration // of every request of the app
	hot   bool          // as many events of the entity with the hole come as of others
	quiet time.Duration // for how long others are measured without a drain
	limit time.Duration // for a drain
}

func parseDrain(args []string, stderr io.Writer) (o drainOptions, err error) {
	flags := flag.NewFlagSet("torture drain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.held, "held", 1_000_000, "events that wait behind one hole")
	flags.IntVar(&o.rate, "rate", 2000, "events of others a second")
	flags.DurationVar(&o.delay, "delay", 0, "what every request of the app takes longer")
	flags.BoolVar(&o.hot, "hot", false, "let as many events of the entity with the hole come as of others")
	flags.DurationVar(&o.quiet, "quiet", 8*time.Second, "for how long others are measured without a drain")
	flags.DurationVar(&o.limit, "limit", 10*time.Minute, "what the drain may take")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("torture: what is %q? Flags begin with a dash", flags.Arg(0))
	case o.held < smallHole || o.rate < 100 || o.delay < 0 || o.quiet < time.Second:
		return o, fmt.Errorf("torture: drain needs -held %d, -rate 100 and -quiet 1s at least", smallHole)
	}
	return o, nil
}

// drainer is a run of the drill.
type drainer struct {
	drainOptions
	out     io.Writer
	client  *kgo.Client
	process *process
	seqs    map[string]int64 // last, of each entity

	mu   sync.Mutex // guards lags
	lags []lag
}

// lag is how late an event of another entity came out.
type lag struct {
	due  time.Time
	took time.Duration
}

// tortureDrain lets many events wait behind one hole, fills it, and judges what that does
// to others and to the memory of the app; false is a no.
func tortureDrain(ctx context.Context, o drainOptions, out io.Writer) (ok bool, err error) {
	fmt.Fprintf(out, "torture drain: %d held, %d others a second, every request %v longer, hot %t\n", o.held, o.rate, o.delay, o.hot)
	b, err := embedded.Start(embedded.Options{MinSessionTimeout: time.Second, Tap: func(e embedded.Event) embedded.Verdict {
		if o.delay > 0 && e.Moment == embedded.Received && e.ClientID != feeder {
			_ = pause(ctx, o.delay) // the run ends with ctx
		}
		return embedded.Pass
	}})
	if err != nil {
		return false, fmt.Errorf("torture: %w", err)
	}
	defer b.Close()
	d := &drainer{drainOptions: o, out: out, seqs: map[string]int64{}}
	d.client, err = kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.ClientID(feeder), kgo.DefaultProduceTopic(drainIn), kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1<<20), kgo.ConsumeTopics(drainOut), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return false, fmt.Errorf("torture: %w", err)
	}
	defer d.client.Close()
	k := &kafka{client: d.client}
	for _, topic := range []string{drainIn, drainOut} {
		if err := k.createTopic(ctx, topic, 1); err != nil {
			return false, err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("torture: %w", err)
	}
	if d.process, err = startProcess("the app", program, "drain-app", "-brokers", b.Addrs()[0], "-held", strconv.Itoa(d.bound())); err != nil {
		return false, err
	}
	defer func() { _ = d.process.kill() }() // it is gone then, or was before
	ctx, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer stop()
	reader.Go(func() { d.read(ctx) })
	return d.run(ctx)
}

// bound is how many events may be held: those behind the hole, and those that come before
// it is filled.
func (d *drainer) bound() int { return d.held + int(d.quiet.Seconds()+60)*d.rate }

// read measures how late others come out.
func (d *drainer) read(ctx context.Context) {
	for {
		fetched := d.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		d.mu.Lock()
		fetched.EachRecord(func(r *kgo.Record) {
			if e, err := (drainSerde{}).Decode(r.Value); err == nil && e.due > 0 {
				due := time.Unix(0, e.due)
				d.lags = append(d.lags, lag{due, now.Sub(due)})
			}
		})
		d.mu.Unlock()
	}
}

// send delivers events and waits until they are acknowledged.
func (d *drainer) send(ctx context.Context, keys []string, events []drainEvent) error {
	records := make([]*kgo.Record, len(keys))
	for i, key := range keys {
		value, _ := drainSerde{}.Append(nil, events[i]) // it has no errors
		records[i] = &kgo.Record{Key: []byte(key), Value: value}
	}
	if err := d.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("torture: feeding: %w", err)
	}
	return nil
}

// hold lets n events of an entity wait for its first one.
func (d *drainer) hold(ctx context.Context, key string, n int) error {
	const part = 5000
	for from := 0; from < n; from += part {
		keys, events := make([]string, min(part, n-from)), make([]drainEvent, min(part, n-from))
		for i := range keys {
			keys[i], events[i] = key, drainEvent{seq: int64(from+i) + 2}
		}
		if err := d.send(ctx, keys, events); err != nil {
			return err
		}
	}
	d.seqs[key] = int64(n) + 1
	return nil
}

// feed lets others come until ctx ends.
func (d *drainer) feed(ctx context.Context) error {
	began, ticks := time.Now(), time.NewTicker(slot)
	defer ticks.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		var keys []string
		var events []drainEvent
		for due := int(time.Since(began).Seconds() * float64(d.rate)); n < due; n++ {
			key, e := fmt.Sprint("other ", n%others), drainEvent{due: began.Add(time.Duration(n) * time.Second / time.Duration(d.rate)).UnixNano()}
			if d.hot && n%2 == 1 {
				key, e.due = late, 0
			}
			d.seqs[key]++
			e.seq = d.seqs[key]
			keys, events = append(keys, key), append(events, e)
		}
		if err := d.send(ctx, keys, events); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// p99 is that of the others that were due in a time.
func (d *drainer) p99(from, to time.Time) (p99 time.Duration, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []time.Duration
	for _, l := range d.lags {
		if !l.due.Before(from) && l.due.Before(to) {
			all = append(all, l.took)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)*99/100], len(all)
}

// settle waits until others come out no later than before: at first they wait for the
// commits of what is held.
func (d *drainer) settle(ctx context.Context) error {
	const round = 2 * time.Second
	var last time.Duration
	for range 30 {
		from := time.Now()
		if err := pause(ctx, round); err != nil {
			return err
		}
		now, n := d.p99(from, from.Add(round/2))
		if n > 0 && last > 0 && now > last*3/4 {
			return nil
		}
		last = now
	}
	return fmt.Errorf("torture: others come out later and later, %v at last", last)
}

// until waits until the app says something.
func (d *drainer) until(ctx context.Context, what string, holds func(drainSaid) bool) (drainSaid, error) {
	for end := time.Now().Add(d.limit); ; {
		s, _ := d.process.state()
		if holds(s.Drain) {
			return s.Drain, nil
		}
		if err := errors.Join(d.process.surprise(), pause(ctx, poll)); err != nil {
			return s.Drain, err
		}
		if time.Now().After(end) {
			return s.Drain, d.process.failure(fmt.Sprintf("did not come in %v to where %s", d.limit, what))
		}
	}
}

// cost lets n events wait behind each of some holes, fills all of them at once, and
// returns what the drain of one takes of a processor.
func (d *drainer) cost(ctx context.Context, n, holes int) (time.Duration, error) {
	before, _ := d.process.state()
	keys, events := make([]string, holes), make([]drainEvent, holes)
	for i := range keys {
		keys[i], events[i] = fmt.Sprint("hole ", n, " ", i), drainEvent{seq: 1}
		if err := d.hold(ctx, keys[i], n); err != nil {
			return 0, err
		}
	}
	all := int64(n * holes)
	s, err := d.until(ctx, "all are held", func(s drainSaid) bool { return s.Quiet && s.Read >= before.Drain.Read+all })
	if err != nil {
		return 0, err
	}
	if err := d.send(ctx, keys, events); err != nil {
		return 0, err
	}
	done, err := d.until(ctx, "all are drained", func(e drainSaid) bool { return e.Quiet && e.Applied >= s.Applied+all })
	return (done.CPU - s.CPU) / time.Duration(all), err
}

func (d *drainer) run(ctx context.Context) (bool, error) {
	start, err := d.until(ctx, "it runs", func(s drainSaid) bool { return s.Running })
	if err != nil {
		return false, err
	}
	if err := d.hold(ctx, late, d.held); err != nil {
		return false, err
	}
	if _, err := d.until(ctx, "all are held", func(s drainSaid) bool { return s.Read >= int64(d.held) }); err != nil {
		return false, err
	}
	feeding, end := context.WithCancel(ctx)
	defer end()
	failure := make(chan error, 1)
	go func() { failure <- d.feed(feeding) }()
	if err := d.settle(ctx); err != nil {
		return false, err
	}
	settled := time.Now()
	if err := pause(ctx, d.quiet); err != nil {
		return false, err
	}
	filled := time.Now()
	before, _ := d.process.state()
	if err := d.send(ctx, []string{late}, []drainEvent{{seq: 1}}); err != nil {
		return false, err
	}
	if _, err := d.until(ctx, "the drain ends", func(s drainSaid) bool { return s.Late > int64(d.held) }); err != nil {
		return false, err
	}
	drained := time.Now()
	if err := pause(ctx, 2*time.Second); err != nil { // those that are late are told too
		return false, err
	}
	end()
	if err := <-failure; err != nil {
		return false, err
	}
	ok := true
	verdict := func(good bool, format string, args ...any) {
		word := "good"
		if !good {
			ok, word = false, "BAD"
		}
		fmt.Fprintf(d.out, "%-4s  %s\n", word, fmt.Sprintf(format, args...))
	}
	without, n := d.p99(settled, filled)
	during, m := d.p99(filled, drained)
	took := drained.Sub(filled)
	verdict(n > 0 && m > 0 && during <= without*3/2, "others: p99 %v of %d without the drain, %v of %d during it, %v long (%.0f events a second)",
		without.Round(time.Millisecond), n, during.Round(time.Millisecond), m, took.Round(time.Millisecond), float64(d.held)/took.Seconds())
	if d.delay == 0 {
		large, err := d.cost(ctx, d.held, 1)
		if err != nil {
			return false, err
		}
		small, err := d.cost(ctx, smallHole, d.held/smallHole)
		if err != nil {
			return false, err
		}
		verdict(large <= 2*small, "drain: %v of a processor for an event of %d held, %v of %d", large, d.held, small, smallHole)
	}
	s, _ := d.process.state()
	verdict(s.Drain.Moves == start.Moves, "group: %d changes since it ran", s.Drain.Moves-start.Moves)
	bound := memoryBound(1, 1, int(before.Drain.Read), drainKey+drainValue) // all that came may be held
	verdict(s.Drain.Live <= bound, "memory: %d MB of live heap at most, its settings allow %d MB; %d MB from the system", s.Drain.Live>>20, bound>>20, s.Drain.Total>>20)
	return ok, nil
}
