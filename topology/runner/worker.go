package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

const (
	// maxRecords and maxBytes are the consumed input at which a batch is committed
	// early; while the transaction before it is in flight, no more is stepped.
	maxRecords = 120_000
	maxBytes   = 24 << 20
	// maxBuffered is how much of a source is fetched ahead, at least.
	maxBuffered = 1 << 20
	// fetchBytes is what a fetch waits for, as long as it may.
	fetchBytes = 16 << 10
	// idleWait is how long a fetch waits for anything when nothing goes on.
	idleWait = 500 * time.Millisecond
)

// A worker owns whole tasks: it fetches for them, steps them, and commits them all
// in one transaction. One goroutine, loop, owns its fields; what takes time (a fetch,
// a transaction, a restore) is a flight, a goroutine that reports back once. What is
// done when is decided by its decide.Worker; here it is carried out.
type worker struct {
	*run
	id      int
	log     *slog.Logger
	fetcher kafka.Fetcher
	mail    chan message
	done    chan struct{} // closed when loop has returned
	flights sync.WaitGroup

	decide   *decide.Worker
	tasks    []*owned  // sorted
	early    *early    // of the next transaction; nil: nothing is done of it
	kept     time.Time // since when a full batch waits for the transaction before, and nothing is left to be done of it; zero: it does not
	restored chan restored
	releases map[uint64]chan struct{} // closed when the tasks are given up
	asked    uint64                   // the last of releases

	// the transaction in flight
	committer committer
	opening   *opening     // of the next one; nil: it is not open
	txn       *transaction // nil: none
	cancel    context.CancelFunc
	outcomes  chan outcome

	// the fetch in flight
	fetching  bool
	brought   bool   // the last one brought something
	interrupt func() // ends one that waits long; nil: there is none
	answers   chan answer
	ends      map[record.TopicPartition]int64 // high-water marks, as the fetcher told them
	refetch   decide.Retry
	notYet    time.Time // no fetch before it
}

// An outcome is what became of the transaction in flight.
type outcome struct {
	fate   decide.Fate
	err    error
	took   time.Duration
	resent int64 // batches that were sent again
}

func newWorker(r *run, id int, p kafka.Producer, pid kafka.ProducerID) (*worker, error) {
	f, err := r.cluster.Fetcher(kafka.FetchOptions{MinBytes: fetchBytes, MaxWait: r.cfg.fetchWait()})
	if err != nil {
		return nil, fmt.Errorf("runner: connecting: %w", err)
	}
	return &worker{
		run: r, id: id, log: r.log.With("worker", id), fetcher: f,
		mail: make(chan message), done: make(chan struct{}),
		decide:   decide.NewWorker(r.cfg.limits()),
		restored: make(chan restored), releases: map[uint64]chan struct{}{},
		committer: committer{run: r, producer: p, writer: task.Writer{ProducerID: pid.ID, Epoch: pid.Epoch}, ready: true},
		outcomes:  make(chan outcome, 1),
		answers:   make(chan answer, 1),
		ends:      map[record.TopicPartition]int64{},
	}, nil
}

// loop is the worker's life: what can be done is done, then it waits for the next
// thing to happen.
func (w *worker) loop(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, w.fetcher.Close())
	}()
	defer w.flights.Wait()
	defer func() { // those that nobody revoked
		for _, o := range w.tasks {
			w.closeState(o)
		}
	}()
	flying, land := context.WithCancel(ctx)
	defer land()
	defer close(w.done)
	for ctx.Err() == nil {
		w.act(flying)
		stepped := w.step()
		full := w.decide.Full()
		w.decide.Passed(w.cfg.now())
		w.act(flying)
		w.startFetch(flying)
		// When a full batch is on its way what is fetched goes on.
		if err := w.wait(flying, stepped || full && !w.decide.Full()); err != nil {
			return err
		}
	}
	return nil
}

// wait waits until something has happened, and sees to it; with busy set it only
// looks.
func (w *worker) wait(ctx context.Context, busy bool) error {
	var pass time.Duration
	if !busy {
		pass = max(0, w.nextWake().Sub(w.cfg.now()))
	}
	timer := time.NewTimer(pass)
	defer timer.Stop()
	select {
	case m := <-w.mail:
		w.told(m)
	case r := <-w.restored:
		if w.begin(r) && w.interrupt != nil {
			w.interrupt() // the task's sources are to be fetched too
			return w.fetched(<-w.answers)
		}
	case o := <-w.outcomes:
		w.cancel()
		if ctx.Err() == nil { // else it was given up with everything else
			return w.ended(o)
		}
	case a := <-w.answers:
		return w.fetched(a)
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// nextWake returns when there is something to do if nothing happens before.
func (w *worker) nextWake() time.Time {
	now := w.cfg.now()
	wake := now.Add(time.Minute)
	if at, ok := w.decide.Wake(); ok && at.Before(wake) {
		wake = at
	}
	if !w.fetching && len(w.tasks) > 0 {
		// Everything that is fetched waits for room; a timer may make some.
		if at := now.Add(w.cfg.fetchWait()); at.Before(wake) {
			wake = at
		}
	}
	return wake
}

// told sees to a message of the group.
func (w *worker) told(m message) {
	if len(m.assign) > 0 {
		w.expect(m.assign)
		w.decide.Assigned(m.assign)
	}
	w.decide.Lost(m.drop)
	if r := m.release; r != nil {
		w.asked++
		w.releases[w.asked] = r.done
		w.decide.Revoked(w.asked, r.holdings, r.until)
	}
}

// act carries out what is decided.
func (w *worker) act(ctx context.Context) {
	for actions := w.decide.Take(); len(actions) > 0; actions = w.decide.Take() {
		for _, a := range actions {
			w.carryOut(ctx, a)
		}
	}
}

func (w *worker) carryOut(ctx context.Context, a decide.Action) {
	switch a.Kind {
	case decide.Restore:
		w.startRestore(ctx, a.Holdings)
	case decide.RestoreAgain:
		w.status.update(func(s *State) { s.Restoring += len(a.Holdings); settle(s) })
		w.expect(a.Holdings)
	case decide.Open:
		w.openTransaction(ctx)
	case decide.Begin:
		w.startTransaction(ctx, a.Commit)
	case decide.Cancel:
		w.cancel()
	case decide.Released:
		close(w.releases[a.Release])
		delete(w.releases, a.Release)
	case decide.Close, decide.Reopen, decide.Drop, decide.Apply:
		for _, h := range a.Holdings {
			w.carryOutFor(h, a.Kind)
		}
	}
}

// carryOutFor carries out what is decided of one task.
func (w *worker) carryOutFor(h decide.Holding, kind decide.ActionKind) {
	o := w.find(h)
	switch {
	case o == nil && kind == decide.Close: // it was being restored
		w.watch.set.RestoreEnded(w.name(h.Task))
		w.status.update(func(s *State) { s.Restoring--; settle(s) })
	case o == nil:
	case kind == decide.Close:
		w.tasks = slices.DeleteFunc(w.tasks, func(t *owned) bool { return t == o })
		o.gone = true
		o.seen.Close()
		w.closeState(o)
	case kind == decide.Reopen:
		now := w.cfg.now()
		if err := o.open(now.UnixMilli()); err != nil {
			w.failTask(o, err)
		} else {
			w.decide.Stepped(h, 0, 0, len(o.moves) > 0, now)
		}
	case kind == decide.Drop:
		o.drop()
	case kind == decide.Apply:
		w.apply(o)
	}
}

// find returns the running task of a holding, or nil.
func (w *worker) find(h decide.Holding) *owned {
	for _, o := range w.tasks {
		if o.Holding == h {
			return o
		}
	}
	return nil
}

// step steps every task once that has reason to be.
func (w *worker) step() (stepped bool) {
	wall := w.cfg.now()
	w.watch.passed(w.id, wall)
	if w.decide.Full() {
		switch {
		case w.early == nil:
			w.takeEarly()
			return true
		case w.early.more():
			return true
		case w.kept.IsZero():
			w.kept = wall
		}
		return false
	}
	if !w.kept.IsZero() {
		w.watch.set.Waited(wall.Sub(w.kept))
		w.kept = time.Time{}
	}
	for _, o := range w.tasks {
		if !w.decide.Active(o.Holding) {
			continue
		}
		if w.decide.Full() {
			return stepped
		}
		did, records, bytes, err := o.step(wall.UnixMilli(), w.decide.Drain())
		if err != nil {
			w.failTask(o, err)
			continue
		}
		w.decide.Stepped(o.Holding, records, bytes, did == changed, wall)
		if o.more && o.full(w.decide.Drain()) {
			w.decide.Awaited()
		}
		stepped = stepped || did != nothing
	}
	return stepped
}

// takeEarly takes the batches that the next transaction has, and begins to encode them.
func (w *worker) takeEarly() {
	w.decide.Taken()
	w.early = &early{}
	var outputs [][]record.Output
	for _, o := range w.tasks {
		if !w.decide.Active(o.Holding) {
			continue
		}
		if b := o.ahead(); b != nil {
			w.early.batches = append(w.early.batches, b)
			outputs = append(outputs, outputsOf(b)...)
		}
	}
	if w.cfg.Guarantee != AtLeastOnce { // whose records go in three phases
		w.early.encoding, w.early.left = w.committer.producer.Encode(outputs...), true
	}
}

// failTask stops a task. If it was its state that failed, the task is restored anew:
// from its directory where the disk failed, from the topics alone where it was
// damaged, which the next open finds. Else everything else is committed, and Run
// returns the error.
func (w *worker) failTask(o *owned, err error) {
	if o.failed {
		return
	}
	o.failed = true
	var state *task.StateError
	if _, durable := o.backend.(*badgerdb.DB); !durable || !errors.As(err, &state) {
		w.decide.Failed(o.Holding)
		w.fail(fmt.Errorf("runner: %w", err))
		return
	}
	if w.decide.StateFailed(o.Holding, w.cfg.now()) {
		w.fail(fmt.Errorf("runner: %w", err))
		return
	}
	kind := "transient"
	if errors.Is(err, badgerdb.ErrDamaged) {
		kind = "corrupted"
	}
	w.log.Error("the state of a task failed: the task is restored anew, the others go on", "task", w.name(o.Task), "kind", kind, "err", err)
}

// openTransaction opens the next transaction. The worker goes on meanwhile.
func (w *worker) openTransaction(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	o := &opening{began: w.cfg.now(), cancel: cancel, done: make(chan struct{})}
	w.opening = o
	w.flights.Go(func() {
		defer close(o.done)
		defer cancel()
		o.err = w.committer.open(ctx)
	})
}

// startTransaction carries a commit out. The worker goes on meanwhile.
func (w *worker) startTransaction(ctx context.Context, c *decide.Commit) {
	tx := &transaction{holdings: c.All, opening: w.opening}
	w.opening = nil
	for _, h := range c.Parts {
		o := w.find(h)
		tx.parts = append(tx.parts, part{owner: o, batch: o.take()})
		tx.claims = append(tx.claims, o.claims()...)
	}
	if len(tx.parts) > 0 {
		tx.early, w.early = w.early.of(tx.parts), nil
	}
	for _, h := range c.Rest {
		for _, at := range w.find(h).committed {
			if at.Offset >= 0 {
				tx.rest = append(tx.rest, at)
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	w.txn, w.cancel = tx, cancel
	w.flights.Go(func() {
		began, resent := w.cfg.now(), w.committer.producer.Resent()
		f, err := w.committer.commit(ctx, tx)
		w.outcomes <- outcome{f, err, w.cfg.now().Sub(began), w.committer.producer.Resent() - resent}
	})
}

// ended sees to the outcome of the transaction.
func (w *worker) ended(out outcome) error {
	w.watch.set.Resent(out.resent)
	if len(w.txn.parts) > 0 {
		w.watch.set.Ended(outcomeOf(out.fate), out.took, w.txn.produced())
	}
	verdict := w.decide.Ended(decide.Outcome{Fate: out.fate, Final: final(out.err), Broken: errors.Is(out.err, errBroken)}, w.cfg.now())
	switch {
	case verdict == decide.Hopeless:
		return fmt.Errorf("runner: committing: %w", w.named(out.err))
	case verdict == decide.TooLong:
		return fmt.Errorf("runner: committing: still after %v: %w", w.cfg.patience(), out.err)
	case out.fate != decide.Committed:
		w.early = nil // what was on top of it is undone
		w.log.Warn("transaction aborted: its work is done again", "err", out.err)
	}
	return nil
}

// apply gives the rows of a task that the last transaction committed to its backend.
func (w *worker) apply(o *owned) {
	at := slices.IndexFunc(w.txn.parts, func(p part) bool { return p.owner == o })
	p := &w.txn.parts[at]
	saw := o.committing(p.batch, p.offsets)
	w.alarm(p.batch)
	if err := o.commit(p); err != nil {
		w.failTask(o, err)
		return
	}
	saw.StoreBytes = o.bytes()
	o.seen.Commit(saw)
}

// closeState closes the state of a task that is given up, beside the work on others.
func (w *worker) closeState(o *owned) {
	if o.backend == nil {
		return
	}
	w.flights.Go(func() { w.stores.close(o.Task, o.backend) })
}

// alarm logs what a committed batch wants somebody to know: how much there is of it, and
// the first of each kind.
func (w *worker) alarm(b *task.Batch) {
	if len(b.Alarms) > 0 {
		a := b.Alarms[0]
		w.log.Warn("events are missing", "task", b.Task, "alarms", len(b.Alarms),
			"entity", a.Entity, "from", a.From, "rule", a.Rule, "rebuild_requested", a.Rebuild)
	}
	if len(b.DeadLetters) > 0 {
		first := &b.DeadLetters[0]
		if l, err := policies.ReadLetter(first.Headers); err == nil {
			w.log.Warn("events are dead-lettered", "task", b.Task, "letters", len(b.DeadLetters), "to", first.Topic,
				"first", fmt.Sprintf("%s-%d@%d", l.Topic, l.Partition, l.Offset), "node", l.Step, "entity", l.Entity,
				"reason", l.Reason, "rule", l.Rule, "message", l.Message)
		}
	}
}
