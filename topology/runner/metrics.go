package runner

import (
	"sync"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// watch is what others see of a Runner: its metrics and its health. Its methods may
// be called from several goroutines; none is called per record.
type watch struct {
	set    *metrics.Set
	status *status
	now    func() time.Time
	maxLag int64 // Config.MaxLag

	mu       sync.Mutex // guards what follows
	assigned bool
	passes   []time.Time
}

func newWatch(app string, s *status, maxLag int64, now func() time.Time) *watch {
	w := &watch{status: s, now: now, maxLag: maxLag}
	w.set = metrics.New(app, Version(), func() metrics.State {
		v := w.vitals()
		h := judge(v)
		return metrics.State{Live: h.Live.OK, Ready: h.Ready.OK, Started: h.Started.OK, Tasks: v.state.Tasks, Restoring: v.state.Restoring, Now: v.now.UnixMilli()}
	})
	return w
}

func (w *watch) vitals() vitals {
	v := vitals{state: w.status.get(), restoring: w.set.Restoring(), maxLag: w.maxLag, now: w.now()}
	v.behind, v.lag = w.set.Lag()
	w.mu.Lock()
	defer w.mu.Unlock()
	v.assigned = w.assigned
	v.passes = append(v.passes, w.passes...)
	return v
}

// working says how many loops run; 0 when they have ended, and nobody is to send
// work any more.
func (w *watch) working(loops int) {
	if loops == 0 {
		w.status.update(func(s *State) { enter(s, Stopping) })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes = make([]time.Time, loops)
	for i := range w.passes {
		w.passes[i] = w.now()
	}
}

// passed says that a loop has come round.
func (w *watch) passed(loop int, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes[loop] = now
}

// rebalanced says that the assignment changed.
func (w *watch) rebalanced(e metrics.Event) {
	w.set.Rebalanced(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.assigned = w.assigned || e == metrics.Assigned
}

// opened adds a task that has been restored.
func (w *watch) opened(name string, o *owned) {
	w.set.RestoreEnded(name)
	sources := make([]metrics.Source, len(o.sources))
	for i := range o.sources {
		sources[i] = metrics.Source{Topic: o.sources[i].Topic, Partition: o.sources[i].Partition}
	}
	o.seen = w.set.Open(name, sources)
	o.seen.Commit(o.totals(o.task.Dispositions(), o.task.Positions()))
}

// totals returns what a commit says of a task besides what is new.
func (o *owned) totals(dispositions []policies.Counts, positions []int64) metrics.Commit {
	open, since := o.task.Gaps()
	return metrics.Commit{
		Gaps:         metrics.Gaps{Open: open, Since: since},
		Dispositions: dispositions, Positions: positions, StoreBytes: o.bytes(),
		Clock: o.task.Clock(), StreamTime: o.task.Position().StreamTime,
	}
}

// bytes returns the size of the committed state, or -1 where the backend does not
// tell.
func (o *owned) bytes() int64 {
	if b, ok := o.backend.(interface{ Bytes() int64 }); ok {
		return b.Bytes()
	}
	return -1
}

// committing returns what the metrics are told of a batch that is committed; it
// looks at the batch before its memory is taken back.
func (o *owned) committing(b *task.Batch, offsets []kafka.CommittedOffset) metrics.Commit {
	positions := make([]int64, len(offsets))
	for i, c := range offsets {
		positions[i] = c.Offset
	}
	c := o.totals(b.Dispositions, positions)
	for i := range b.DeadLetters {
		if c.Letters == nil {
			c.Letters = map[metrics.Letter]int64{}
		}
		reason, rule := policies.LetterCause(b.DeadLetters[i].Headers)
		c.Letters[metrics.Letter{Reason: string(reason), Rule: string(rule)}]++
	}
	if b.Strays != (task.Strays{}) {
		c.Strays = map[policies.Reason]int64{policies.ReasonWrongKey: b.Strays.WrongKey, policies.ReasonWrongPartition: b.Strays.WrongPartition}
	}
	for _, d := range b.Decided {
		if c.Decided == nil {
			c.Decided = make(map[metrics.Decision]int64, len(b.Decided))
		}
		c.Decided[metrics.Decision{Disposition: d.Disposition, Rule: d.Rule}] += d.N
	}
	for _, a := range b.Alarms {
		if c.Alarms == nil {
			c.Alarms = map[policies.Rule]int64{}
		}
		c.Alarms[a.Rule]++
	}
	return c
}

// seeFetch tells the metrics what an answer said of a source.
func (o *owned) seeFetch(i int) {
	s := &o.sources[i]
	o.seen.Fetched(i, s.stable, s.position())
}

// produced returns what a transaction wrote.
func (tx *transaction) produced() (p metrics.Produced) {
	for i := range tx.parts {
		b := tx.parts[i].batch
		for _, outputs := range outputsOf(b) {
			p.Records += int64(len(outputs))
			for j := range outputs {
				p.Bytes += int64(len(outputs[j].Key) + len(outputs[j].Value))
			}
		}
	}
	return p
}

// outcomeOf names fates in the metrics.
func outcomeOf(f decide.Fate) metrics.Outcome {
	switch f {
	case decide.Committed:
		return metrics.Committed
	case decide.Aborted:
		return metrics.Aborted
	case decide.Unknown:
	}
	return metrics.Unknown
}
