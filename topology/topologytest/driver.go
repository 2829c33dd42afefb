package topologytest

import (
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// Options configure a Driver; the zero value is one partition, started at the
// beginning of 2000 in UTC.
type Options struct {
	Partitions int       // of every topic; 0 means 1
	Start      time.Time // of the virtual clock
	// Budget is the number of decisions of one step; 0 means 1000. Small ones try how
	// a long drain is cut.
	Budget int
	// Cache bounds the bytes of state that stay decoded while they are not in use, as a
	// store on disk does; 0: all of it stays. Small ones try that nothing depends on it.
	Cache int
}

// A CrashPoint is a moment of a commit.
type CrashPoint int

// Crash points.
const (
	// BeforeCommit: the records were processed, nothing of it was committed. They are
	// delivered again.
	BeforeCommit CrashPoint = iota + 1
	// AfterCommit: the transaction has ended, the local state did not get its rows.
	// They are restored from the changelogs.
	AfterCommit
	// LoseState: as AfterCommit, and the local state is lost as a whole.
	LoseState
)

// A Driver runs a topology. It belongs to one test and is not safe for concurrent use.
type Driver struct {
	tb      testing.TB
	options Options
	now     time.Time
	topics  map[string][][]record.Record
	tasks   []*running
	crash   CrashPoint
}

// running is one task with what survives its process.
type running struct {
	plan      *task.Plan
	partition int32
	backend   *statestore.Memory
	starts    []task.Start
	task      *task.Task
	more      bool       // the last step left something, or a restart may have
	behind    *committed // not applied yet; nil: none is
}

// committed is a batch that was committed, and where its changelogs end.
type committed struct {
	*task.Batch
	positions []statestore.Position
}

// New starts the tasks of a topology.
func New(tb testing.TB, topo *topology.Topology, o Options) *Driver {
	tb.Helper()
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	if o.Budget == 0 {
		o.Budget = 1000
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	d := &Driver{tb: tb, options: o, now: o.Start, topics: map[string][][]record.Record{}}
	for _, p := range task.Plans(topo) {
		for i := range o.Partitions {
			r := &running{plan: p, partition: int32(i), backend: statestore.NewMemory(), starts: make([]task.Start, len(p.Sources))}
			for j := range r.starts {
				r.starts[j].None = true
			}
			d.tasks = append(d.tasks, r)
			d.open(r)
		}
	}
	return d
}

// Now returns the virtual time.
func (d *Driver) Now() time.Time { return d.now }

// Advance moves the virtual clock and lets what is due happen, in the order of time.
func (d *Driver) Advance(by time.Duration) {
	d.tb.Helper()
	end := d.now.Add(by)
	for {
		next := end
		for _, r := range d.tasks {
			if due, ok := r.task.Due(); ok {
				if at := time.UnixMilli(due); at.Before(next) && at.After(d.now) {
					next = at
				}
			}
		}
		d.now = next
		d.run()
		if next.Equal(end) {
			return
		}
	}
}

// CrashNext lets the process die at a point of the next commit, and restart at once.
func (d *Driver) CrashNext(p CrashPoint) { d.crash = p }

// Restart ends the process and starts it again: the tasks begin anew from what they
// have committed.
func (d *Driver) Restart() {
	for _, r := range d.tasks {
		d.open(r)
	}
	d.run()
}

// Dispositions returns what has become of the records of a source topic so far.
func (d *Driver) Dispositions(topic string) policies.Counts {
	var total policies.Counts
	for _, r := range d.tasks {
		for i, c := range r.task.Dispositions() {
			if r.plan.Sources[i] == topic {
				total = total.Add(c)
			}
		}
	}
	return total
}

func (d *Driver) open(r *running) {
	d.tb.Helper()
	d.apply(r)
	starts := make([]task.Start, len(r.starts))
	copy(starts, r.starts)
	t, err := task.Open(r.plan, r.partition, r.backend, task.Options{
		Partitions: func(string) int32 { return int32(d.options.Partitions) }, Cache: d.options.Cache,
	}, starts)
	if err != nil {
		d.tb.Fatal(err)
	}
	r.task, r.more = t, true
}

// run steps every task until none has anything to do.
func (d *Driver) run() {
	d.tb.Helper()
	for again := true; again; {
		again = false
		for _, r := range d.tasks {
			for d.step(r) {
				again = true
			}
		}
	}
}

// step steps a task once and commits; it reports whether anything changed.
func (d *Driver) step(r *running) bool {
	d.tb.Helper()
	s := task.Step{Clock: d.now.UnixMilli(), Wall: d.now.UnixMilli(), Budget: d.options.Budget}
	inputs, some := make([]task.Input, len(r.plan.Sources)), false
	for i, topic := range r.plan.Sources {
		log := d.log(topic, r.partition)
		from := r.task.Positions()[i]
		inputs[i] = task.Input{Records: log[from:], Next: int64(len(log))}
		some = some || len(inputs[i].Records) > 0
	}
	due, armed := r.task.Due()
	switch {
	case some:
		s.Kind, s.Inputs = task.StepRecords, inputs
	case r.more:
		s.Kind = task.StepMore
	case armed && due <= s.Clock:
		s.Kind = task.StepTick
	default:
		return false
	}
	res, err := r.task.Step(s)
	if err != nil {
		d.tb.Fatal(err)
	}
	r.more = res.More
	if !res.Changed && !res.More {
		return false
	}
	d.commit(r)
	return true
}

// commit does what the runner does, in its order: a batch may be taken before the one
// before it is applied.
func (d *Driver) commit(r *running) {
	d.tb.Helper()
	crash := d.crash
	d.crash = 0
	if crash == BeforeCommit {
		d.open(r)
		return
	}
	b := r.task.Take()
	if b == nil {
		return
	}
	for i, c := range b.Dispositions {
		if !c.Balanced() {
			d.tb.Fatalf("%s: dispositions of %s do not add up: %+v", b.Task, r.plan.Sources[i], c)
		}
	}
	for _, outputs := range [][]record.Output{b.Changelog, b.Output, b.DeadLetters, b.Journal} {
		for _, o := range outputs {
			d.append(o)
		}
	}
	journal := int64(len(d.log(b.JournalAt().Topic, b.JournalAt().Partition)))
	for i, o := range b.Offsets(task.Writer{}, journal) {
		r.starts[i] = task.Start{Offset: o.Offset, Metadata: o.Metadata}
	}
	d.apply(r)
	if crash == 0 {
		r.behind = &committed{Batch: b}
		for _, c := range r.plan.Changelogs {
			r.behind.positions = append(r.behind.positions, statestore.Position{Topic: c.Topic, Partition: r.partition, Offset: int64(len(d.log(c.Topic, r.partition)))})
		}
		return
	}
	if crash == LoseState {
		r.backend = statestore.NewMemory()
	}
	d.restore(r)
	d.open(r)
}

// apply gives the rows of the batch that was committed last to the backend.
func (d *Driver) apply(r *running) {
	d.tb.Helper()
	b := r.behind
	if b == nil {
		return
	}
	if err := r.backend.Apply(b.Puts, b.positions); err != nil {
		d.tb.Fatal(err)
	}
	r.task.Recycle(b.Batch)
	r.behind = nil
}

// restore replays what the changelogs have beyond the backend's positions.
func (d *Driver) restore(r *running) {
	d.tb.Helper()
	for i, c := range r.plan.Changelogs {
		from := int64(0)
		for _, p := range r.backend.Positions() {
			if p.Topic == c.Topic {
				from = p.Offset
			}
		}
		log := d.log(c.Topic, r.partition)
		if err := r.plan.Restore(r.backend, i, r.partition, log[from:], int64(len(log))); err != nil {
			d.tb.Fatal(err)
		}
	}
}

func (d *Driver) log(topic string, partition int32) []record.Record {
	if d.topics[topic] == nil {
		d.topics[topic] = make([][]record.Record, d.options.Partitions)
	}
	return d.topics[topic][partition]
}

// append writes a copy: the bytes belong to the batch.
func (d *Driver) append(o record.Output) {
	log := d.log(o.Topic, o.Partition)
	r := copied(o)
	r.Offset = int64(len(log))
	d.topics[o.Topic][o.Partition] = append(log, r)
}

func copied(o record.Output) record.Record {
	r := record.Record{Timestamp: o.Timestamp, Key: clone(o.Key), Value: clone(o.Value)}
	for _, h := range o.Headers {
		r.Headers = append(r.Headers, record.Header{Key: clone(h.Key), Value: clone(h.Value)})
	}
	return r
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
