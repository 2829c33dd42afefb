package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

const (
	// maxRecords and maxBytes are the consumed input at which a batch is committed
	// early; while the transaction before it is in flight, no more is stepped.
	maxRecords = 20_000
	maxBytes   = 8 << 20
	// maxBuffered is how much of a source is fetched ahead, at least.
	maxBuffered = 1 << 20
	// fetchBytes is what a fetch waits for, as long as it may.
	fetchBytes = 16 << 10
)

// A worker owns whole tasks: it fetches for them, steps them, and commits them all
// in one transaction. One goroutine, run, owns its fields; what takes time (a fetch,
// a transaction, a restore) is a flight, a goroutine that reports back once.
type worker struct {
	*run
	id      int
	log     *slog.Logger
	fetcher kafka.Fetcher
	mail    chan message
	done    chan struct{} // closed when run has returned
	flights sync.WaitGroup

	tasks     []*owned               // sorted
	restoring map[decide.Task]uint64 // stamps of the holdings
	restored  chan restored
	releases  []*release
	rebuilds  []rebuild // tasks whose state failed
	mending   map[decide.Task]*mending

	// the transaction in flight
	committer committer
	txn       *transaction // nil: none
	cancel    context.CancelFunc
	outcomes  chan outcome

	// work that no transaction has yet
	since   time.Time // of the first of it
	records int
	bytes   int
	retry   decide.Retry
	again   time.Time // no transaction before it

	// the fetch in flight
	fetching bool
	answers  chan answer
	ends     map[record.TopicPartition]int64 // high-water marks, as the fetcher told them
	refetch  decide.Retry
	notYet   time.Time // no fetch before it
}

// An outcome is what became of the transaction in flight.
type outcome struct {
	fate     fate
	err      error
	canceled bool // it was given up from here
	took     time.Duration
}

func newWorker(r *run, id int, p kafka.Producer, pid kafka.ProducerID) (*worker, error) {
	f, err := r.cluster.Fetcher(kafka.FetchOptions{MinBytes: fetchBytes, MaxWait: r.cfg.fetchWait()})
	if err != nil {
		return nil, fmt.Errorf("runner: connecting: %w", err)
	}
	return &worker{
		run: r, id: id, log: r.log.With("worker", id), fetcher: f,
		mail: make(chan message), done: make(chan struct{}),
		restoring: map[decide.Task]uint64{}, mending: map[decide.Task]*mending{}, restored: make(chan restored),
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
		stepped := w.step()
		w.settleReleases()
		w.startRebuilds(flying)
		w.startTransaction(flying)
		w.startFetch(flying)
		if err := w.wait(flying, stepped); err != nil {
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
		w.told(ctx, m)
	case r := <-w.restored:
		w.begin(r)
	case o := <-w.outcomes:
		return w.ended(ctx, o)
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
	sooner := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	if w.txn == nil && w.dirty() {
		sooner(w.due())
	}
	if !w.fetching && len(w.tasks) > 0 {
		// Everything that is fetched waits for room; a timer may make some.
		sooner(now.Add(w.cfg.fetchWait()))
	}
	for _, r := range w.rebuilds {
		if w.txn == nil {
			sooner(r.at)
		}
	}
	for _, r := range w.releases {
		if !r.late {
			sooner(r.until)
		}
	}
	return wake
}

// told sees to a message of the group.
func (w *worker) told(ctx context.Context, m message) {
	if len(m.assign) > 0 {
		w.expect(m.assign)
		w.startRestore(ctx, m.assign)
	}
	for _, h := range m.drop {
		w.remove(h)
	}
	if m.release != nil {
		for _, h := range m.release.holdings {
			if o := w.find(h); o != nil {
				o.leaving = true
			}
		}
		w.releases = append(w.releases, m.release)
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

// remove gives a task up, whatever it is doing.
func (w *worker) remove(h decide.Holding) {
	if w.restoring[h.Task] == h.Stamp {
		delete(w.restoring, h.Task)
		w.watch.set.RestoreEnded(w.name(h.Task))
		w.status.update(func(s *State) { s.Restoring--; settle(s) })
	}
	if o := w.find(h); o != nil {
		w.tasks = slices.DeleteFunc(w.tasks, func(t *owned) bool { return t == o })
		o.gone = true
		o.seen.Close()
		w.closeState(o)
	}
}

// settleReleases gives up the tasks that are asked for when they are committed, or
// when the time for it is over.
func (w *worker) settleReleases() {
	now := w.cfg.now()
	w.releases = slices.DeleteFunc(w.releases, func(r *release) bool {
		r.late = !now.Before(r.until)
		for _, h := range r.holdings {
			o := w.find(h)
			if o == nil || o.settled() {
				continue
			}
			if !r.late {
				return false
			}
			if o.batch != nil {
				w.cancel() // its outcome comes soon, and wakes
				return false
			}
			w.log.Warn("a revoked task could not be committed in time: its work is dropped", "task", w.name(o.Task))
			o.drop()
		}
		for _, h := range r.holdings {
			w.remove(h)
		}
		close(r.done)
		return true
	})
}

// step steps every task once that has reason to be.
func (w *worker) step() (stepped bool) {
	wall := w.cfg.now()
	w.watch.passed(w.id, wall)
	for _, o := range w.tasks {
		if !o.active() {
			continue
		}
		if w.full() {
			return false
		}
		did, records, bytes, err := o.step(wall.UnixMilli())
		if err != nil {
			w.failTask(o, err)
			continue
		}
		if o.dirty && w.since.IsZero() {
			w.since = wall
		}
		w.records += records
		w.bytes += bytes
		stepped = stepped || did
	}
	return stepped
}

// full reports whether a batch is so large that it is committed before more is
// stepped.
func (w *worker) full() bool { return w.records >= maxRecords || w.bytes >= maxBytes }

// failTask stops a task: what of it is not in a transaction is dropped, and everything
// else is committed. If it was its state that failed, the task is restored anew; else
// Run returns the error.
func (w *worker) failTask(o *owned, err error) {
	if o.failed {
		return
	}
	o.failed = true
	o.drop()
	if !w.rebuildLater(o, err) {
		w.fail(fmt.Errorf("runner: %w", err))
	}
}

// dirty reports whether there is work that no transaction has yet.
func (w *worker) dirty() bool {
	return slices.ContainsFunc(w.tasks, func(o *owned) bool { return o.dirty })
}

// due returns when the next transaction is to begin, if there is work.
func (w *worker) due() time.Time {
	due := w.since.Add(w.cfg.CommitInterval)
	if w.full() || slices.ContainsFunc(w.tasks, func(o *owned) bool { return o.leaving && o.dirty }) {
		due = w.since
	}
	if due.Before(w.again) {
		return w.again
	}
	return due
}

// startTransaction commits what is stepped, if it is time to and the transaction
// before has ended. The worker goes on meanwhile.
func (w *worker) startTransaction(ctx context.Context) {
	if w.txn != nil || !w.dirty() || w.cfg.now().Before(w.due()) {
		return
	}
	tx := &transaction{}
	for _, o := range w.tasks {
		tx.holdings = append(tx.holdings, o.Holding)
		if o.dirty {
			o.dirty = false
			o.batch = o.task.Take()
			tx.parts = append(tx.parts, part{owner: o, batch: o.batch})
			tx.claims = append(tx.claims, o.claims()...)
			continue
		}
		for _, c := range o.committed {
			if c.Offset >= 0 {
				tx.rest = append(tx.rest, c)
			}
		}
	}
	w.since, w.records, w.bytes = time.Time{}, 0, 0
	w.carryOut(ctx, tx)
}

func (w *worker) carryOut(ctx context.Context, tx *transaction) {
	ctx, cancel := context.WithCancel(ctx)
	w.txn, w.cancel = tx, cancel
	w.flights.Go(func() {
		began := w.cfg.now()
		f, err := w.committer.commit(ctx, tx)
		w.outcomes <- outcome{f, err, ctx.Err() != nil, w.cfg.now().Sub(began)}
	})
}

// ended sees to the outcome of the transaction.
func (w *worker) ended(ctx context.Context, out outcome) error {
	tx := w.txn
	w.cancel()
	w.txn, w.cancel = nil, nil
	if len(tx.parts) > 0 {
		w.watch.set.Ended(out.fate.outcome(), out.took, tx.produced())
	}
	if out.fate == committed {
		w.apply(tx)
		w.startRestore(ctx, tx.restore)
		return nil
	}
	if final(out.err) || len(tx.parts) == 0 || out.fate == unknown && !out.canceled {
		return fmt.Errorf("runner: committing: %w", out.err)
	}
	w.log.Warn("transaction aborted: its work is done again", "err", out.err)
	w.undo(ctx, tx, out.fate)
	if !out.canceled && !errors.Is(out.err, errBroken) {
		again, giveUp := w.retry.Failed(w.cfg.now(), w.cfg.patience())
		if giveUp {
			return fmt.Errorf("runner: committing: still after %v: %w", w.cfg.patience(), out.err)
		}
		w.again = again
	}
	return nil
}

// apply gives the rows of a committed transaction to the backends.
func (w *worker) apply(tx *transaction) {
	w.retry.Succeeded()
	for i := range tx.parts {
		p := &tx.parts[i]
		if p.owner.gone { // its rows are its next owner's
			continue
		}
		saw := p.owner.committing(p.batch, p.offsets)
		if err := p.owner.commit(p); err != nil {
			w.failTask(p.owner, err)
			continue
		}
		saw.StoreBytes = p.owner.bytes()
		p.owner.seen.Commit(saw)
		w.alarm(p.batch)
	}
}

// undo drops the batches of a transaction and what was stepped on top of them. The
// tasks are opened again from their committed rows; if the fate is not known, from
// their changelogs, when the producer is initialised.
func (w *worker) undo(ctx context.Context, tx *transaction, f fate) {
	var doubtful []decide.Holding
	if f == unknown { // of those that are to be rebuilt too
		doubtful = w.takeRebuilds(func(rebuild) bool { return true })
	}
	for i := range tx.parts {
		o := tx.parts[i].owner
		switch {
		case o.gone:
		case f == unknown:
			// Its committed offsets are in doubt too, and must not be sent again.
			w.remove(o.Holding)
			if o.active() {
				doubtful = append(doubtful, o.Holding)
			}
		case !o.active():
			o.batch = nil
			o.drop()
		default:
			if err := o.open(w.cfg.now().UnixMilli()); err != nil {
				w.failTask(o, err)
			}
		}
	}
	if !w.dirty() {
		w.since, w.records, w.bytes = time.Time{}, 0, 0
	}
	if len(doubtful) > 0 {
		w.expectAgain(doubtful)
		w.carryOut(ctx, &transaction{restore: doubtful})
	}
}

// alarm logs what a committed batch wants somebody to know.
func (w *worker) alarm(b *task.Batch) {
	if len(b.Alarms) == 0 {
		return
	}
	a := b.Alarms[0]
	w.log.Warn("events are missing", "task", b.Task, "alarms", len(b.Alarms),
		"entity", a.Entity, "from", a.From, "rule", a.Rule, "rebuild_requested", a.Rebuild)
}
