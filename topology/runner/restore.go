package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// restored is the end of one task's restore.
type restored struct {
	owner *owned
	err   error
}

// expect says that tasks are to be restored.
func (w *worker) expect(holdings []decide.Holding) {
	for _, h := range holdings {
		w.watch.set.RestoreBegan(w.name(h.Task))
	}
}

// startRestore restores tasks beside the processing of the others.
func (w *worker) startRestore(ctx context.Context, holdings []decide.Holding) {
	tasks := make([]*restore, len(holdings))
	for i, h := range holdings {
		tasks[i] = newRestore(h, w.plans[h.Sub])
	}
	w.flights.Go(func() {
		now := w.cfg.now()
		r := restorer{run: w.run, began: now, said: now, deliver: func(r restored) {
			select {
			case w.restored <- r:
			case <-ctx.Done():
				w.stores.close(r.owner.Task, r.owner.backend)
			}
		}}
		r.restore(ctx, tasks)
	})
}

// begin takes a restored task, if it is still expected.
func (w *worker) begin(r restored) (running bool) {
	o := r.owner
	restored := w.decide.Restored
	if r.err != nil {
		restored = w.decide.NotRestored
	}
	if !restored(o.Holding) { // given up meanwhile
		w.closeState(o)
		return false
	}
	w.status.update(func(s *State) { s.Restoring--; settle(s) })
	if r.err != nil {
		w.fail(fmt.Errorf("runner: restoring task %s: %w", w.name(o.Task), r.err))
		return false
	}
	at, _ := slices.BinarySearchFunc(w.tasks, o, func(a, b *owned) int { return a.Task.Compare(b.Task) })
	w.tasks = slices.Insert(w.tasks, at, o)
	w.watch.opened(w.name(o.Task), o)
	w.decide.Stepped(o.Holding, 0, 0, len(o.moves) > 0, w.cfg.now())
	return true
}

// A restore brings the state of one task back. The order is what makes it right:
// first the committed offsets, then the ends of the changelogs, then everything up
// to them, then the offsets once more: if they moved, somebody committed meanwhile.
type restore struct {
	decide.Holding
	plan       *task.Plan
	backend    statestore.Backend // nil: not open, or handed over
	committed  []kafka.CommittedOffset
	begin      []int64 // of the sources
	changelogs []changelog
	found      string // the checkpoint that the backend was opened with
	refused    error  // why what was there is not used
	records    int64
	bytes      int64
}

// changelog is how far one changelog partition is read.
type changelog struct {
	record.TopicPartition
	next, end int64
	moved     time.Time // when next moved last
	stable    int64

	began   time.Time
	first   int64 // next as it was then
	records int64 // read since
	bytes   int64
}

func newRestore(h decide.Holding, p *task.Plan) *restore { return &restore{Holding: h, plan: p} }

// sources returns the source partitions of the task.
func (t *restore) sources() []record.TopicPartition {
	all := make([]record.TopicPartition, len(t.plan.Sources))
	for i, s := range t.plan.Sources {
		all[i] = record.TopicPartition{Topic: s, Partition: t.Partition}
	}
	return all
}

func (t *restore) journal() record.TopicPartition {
	return record.TopicPartition{Topic: t.plan.Journal, Partition: t.Partition}
}

// start begins from committed offsets and the marks taken after them, with what the
// backend has. An error says that this is not of these changelogs.
func (t *restore) start(now time.Time, committed map[record.TopicPartition]kafka.CommittedOffset, marks map[record.TopicPartition]kafka.Marks) error {
	t.committed, t.begin, t.changelogs = nil, nil, nil
	for _, tp := range t.sources() {
		t.committed = append(t.committed, committed[tp])
		t.begin = append(t.begin, marks[tp].LogStart)
	}
	for _, c := range t.plan.Changelogs {
		tp := record.TopicPartition{Topic: c.Topic, Partition: t.Partition}
		m := marks[tp]
		next, err := standsAt(t.backend, tp, m)
		if err != nil {
			return err
		}
		t.changelogs = append(t.changelogs, changelog{TopicPartition: tp, next: next, end: m.HighWater, moved: now, stable: m.LastStable, began: now, first: next})
	}
	return nil
}

// complete reports whether everything up to the marks is read.
func (t *restore) complete() bool {
	return !slices.ContainsFunc(t.changelogs, func(c changelog) bool { return c.next < c.end })
}

// left returns how many offsets are to be read.
func (t *restore) left() (n int64) {
	for _, c := range t.changelogs {
		n += max(0, c.end-c.next)
	}
	return n
}

// bare reports whether some source has no committed offset.
func (t *restore) bare() bool {
	return slices.ContainsFunc(t.committed, func(c kafka.CommittedOffset) bool { return c.Offset < 0 })
}

// moved reports whether the offsets are not those that the restore began with.
func (t *restore) moved(committed map[record.TopicPartition]kafka.CommittedOffset) bool {
	return slices.ContainsFunc(t.committed, func(c kafka.CommittedOffset) bool { return committed[c.TopicPartition] != c })
}

// restorer restores tasks that came together.
type restorer struct {
	*run
	began   time.Time
	said    time.Time // when it last said how far it is
	fetcher kafka.Fetcher
	deliver func(restored)
}

// restore restores tasks and delivers each as it is done.
func (r *restorer) restore(ctx context.Context, tasks []*restore) {
	f, err := r.cluster.Fetcher(kafka.FetchOptions{MaxWait: r.cfg.fetchWait()})
	if err != nil {
		r.giveUp(tasks, err)
		return
	}
	defer func() {
		if err := f.Close(); err != nil {
			r.log.Warn("closing what restored", "err", err)
		}
	}()
	r.fetcher = f
	defer func() {
		for _, t := range tasks {
			r.shut(t)
		}
	}()
	var retry decide.Retry
	todo := slices.Clone(tasks)
	for len(todo) > 0 && ctx.Err() == nil {
		left, err := r.round(ctx, todo)
		todo = r.stillHeld(left)
		if err == nil {
			retry.Succeeded()
			continue
		}
		if ctx.Err() == nil {
			r.log.Warn("restore failed: it starts over", "tasks", len(todo), "err", err)
		}
		if err := r.again(ctx, &retry, err); err != nil {
			r.giveUp(todo, err)
			return
		}
	}
}

func (r *restorer) giveUp(tasks []*restore, err error) {
	for _, t := range tasks {
		r.shut(t)
		r.deliver(restored{&owned{Holding: t.Holding}, err})
	}
}

// stillHeld returns the tasks that were not given up meanwhile.
func (r *restorer) stillHeld(tasks []*restore) []*restore {
	return slices.DeleteFunc(tasks, func(t *restore) bool {
		_, _, held := r.members.speakFor([]decide.Holding{t.Holding})
		if !held {
			r.shut(t)
		}
		return !held
	})
}

// round restores the tasks with what they have, and returns those that have to start
// over: their offsets moved, or something failed.
func (r *restorer) round(ctx context.Context, all []*restore) (left []*restore, err error) {
	todo, left, failure := r.openAll(ctx, all)
	defer func() { err = errors.Join(failure, err) }()
	var sources, ends []record.TopicPartition
	for _, t := range todo {
		sources = append(sources, t.sources()...)
		ends = append(append(ends, t.sources()...), t.journal())
		for _, c := range t.plan.Changelogs {
			ends = append(ends, record.TopicPartition{Topic: c.Topic, Partition: t.Partition})
		}
	}
	committed, err := r.admin.Committed(ctx, r.names.Group(), sources, true)
	if err != nil {
		return all, fmt.Errorf("reading the committed offsets: %w", err)
	}
	marks, err := r.admin.EndOffsets(ctx, ends)
	if err != nil {
		return all, fmt.Errorf("reading the ends of the changelogs: %w", err)
	}
	for _, t := range todo {
		if err := r.start(ctx, t, committed, marks); err != nil {
			return all, err
		}
	}
	for len(todo) > 0 {
		var done, rest []*restore
		for _, t := range r.stillHeld(todo) {
			if t.complete() {
				done = append(done, t)
			} else {
				rest = append(rest, t)
			}
		}
		over, err := r.finish(ctx, done, marks)
		left = append(left, over...)
		if err != nil {
			return append(left, rest...), err
		}
		todo = rest
		if err := r.read(ctx, todo); err != nil {
			return append(left, todo...), err
		}
	}
	return left, nil
}

// read fetches once and folds what came.
func (r *restorer) read(ctx context.Context, todo []*restore) error {
	var positions []kafka.Position
	type part struct {
		task *restore
		i    int
	}
	var parts []part
	for _, t := range todo {
		for i, c := range t.changelogs {
			if c.next < c.end {
				positions = append(positions, kafka.Position{TopicPartition: c.TopicPartition, Offset: c.next})
				parts = append(parts, part{t, i})
			}
		}
	}
	if len(positions) == 0 {
		return nil
	}
	fetched, err := r.fetcher.Fetch(ctx, positions)
	if err != nil {
		return err
	}
	now := r.cfg.now()
	var records, bytes int64
	for _, p := range parts {
		t, c := p.task, &p.task.changelogs[p.i]
		if len(fetched) > 0 && fetched[0].TopicPartition == c.TopicPartition {
			f := &fetched[0]
			fetched = fetched[1:]
			if f.Err != nil {
				return fmt.Errorf("%s-%d@%d: %w", c.Topic, c.Partition, c.next, f.Err)
			}
			if f.Next > c.next {
				if err := t.plan.Restore(t.backend, p.i, t.Partition, f.Records, f.Next); err != nil {
					r.shut(t) // a back end that failed stays so
					return err
				}
				c.next, c.moved = f.Next, now
			}
			c.stable = f.LastStable
			c.records += int64(len(f.Records))
			c.bytes += int64(f.Bytes)
			t.records += int64(len(f.Records))
			t.bytes += int64(f.Bytes)
			r.watch.set.Restored(r.name(t.Task), metrics.Produced{Records: int64(len(f.Records)), Bytes: int64(f.Bytes)}, t.left())
			records += int64(len(f.Records))
			bytes += int64(f.Bytes)
		}
		if wait := now.Sub(c.moved); c.next < c.end && wait > r.openWait() {
			return fmt.Errorf("%s-%d: a transaction that is open since offset %d keeps the state up to %d from being read for %v; "+
				"find its producer, or abort it (kafka-transactions.sh)", c.Topic, c.Partition, c.stable, c.end, wait)
		}
	}
	r.sayProgress(todo, now)
	if records > 0 {
		r.status.update(func(s *State) { s.Records += records; s.Bytes += bytes })
	}
	return nil
}

// openWait is how long an open transaction in a changelog is waited for: its
// timeout, and the time in which a broker looks for those that are over.
func (r *restorer) openWait() time.Duration { return 2*r.cfg.TransactionTimeout + 10*time.Second }

// finish reads the offsets of complete tasks once more, and delivers those whose
// offsets have not moved.
func (r *restorer) finish(ctx context.Context, done []*restore, marks map[record.TopicPartition]kafka.Marks) (over []*restore, failure error) {
	if len(done) == 0 {
		return nil, nil
	}
	var err error
	journals := make([]journal, len(done))
	var sources []record.TopicPartition
	for i, t := range done {
		sources = append(sources, t.sources()...)
		if t.bare() || r.cfg.AcceptOffsets {
			if journals[i], err = r.lastJournal(ctx, t.journal(), marks[t.journal()]); err != nil {
				return done, err
			}
		}
	}
	committed, err := r.admin.Committed(ctx, r.names.Group(), sources, true)
	if err != nil {
		return done, fmt.Errorf("reading the committed offsets once more: %w", err)
	}
	for i, t := range done {
		if t.moved(committed) {
			over = append(over, t)
			continue
		}
		live(t.backend, t.Holding, r.stores.members)
		o, err := r.open(t, journals[i])
		if state := (*task.StateError)(nil); errors.As(err, &state) {
			r.shut(t)
			over, failure = append(over, t), err
			continue
		}
		if err != nil {
			r.giveUp([]*restore{t}, err)
			continue
		}
		r.tell(t)
		t.backend = nil // the task's
		r.deliver(restored{owner: o})
	}
	return over, failure
}

// open makes the task of a restored state, or refuses its offsets.
func (r *restorer) open(t *restore, j journal) (*owned, error) {
	o := &owned{
		Holding: t.Holding, plan: t.plan, backend: t.backend, partitions: r.partitions, cache: r.stores.cache(),
		begin: t.begin, committed: t.committed,
	}
	wall := r.cfg.now().UnixMilli()
	var err error
	if problem := unexplained(t.plan, t.Partition, t.committed, t.records > 0 || holdsRows(t.backend), &j); problem != "" {
		err = &task.MovedError{Task: r.name(t.Task), Problem: problem}
	} else {
		err = o.open(wall)
	}
	var moved *task.MovedError
	if errors.As(err, &moved) && r.cfg.AcceptOffsets {
		o.committed, o.moves = accept(t.plan, t.committed, t.begin, &j)
		r.log.Warn("going on with offsets that were moved from outside", "task", r.name(t.Task), "problem", moved.Problem, "moves", describeMoves(t.plan, o.moves))
		err = o.open(wall)
	}
	return o, err
}
