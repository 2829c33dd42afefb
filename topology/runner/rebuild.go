package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// rebuild is a task whose state failed and is to be restored anew.
type rebuild struct {
	decide.Holding
	at time.Time // not before
}

// mending is how often the state of a task failed lately.
type mending struct {
	decide.Retry
	last time.Time
}

// rebuildLater has a task restored anew whose state in the data directory failed: from
// the directory where the disk failed, from the topics alone where it was damaged,
// which the next open finds. It reports false when that is not the matter, or was
// tried for too long.
func (w *worker) rebuildLater(o *owned, err error) bool {
	var state *task.StateError
	if _, durable := o.backend.(*badgerdb.DB); !durable || !errors.As(err, &state) {
		return false
	}
	kind := "transient"
	if errors.Is(err, badgerdb.ErrDamaged) {
		kind = "corrupted"
	}
	now := w.cfg.now()
	m := w.mending[o.Task]
	if m == nil || now.Sub(m.last) > w.cfg.patience() {
		m = &mending{}
		w.mending[o.Task] = m
	}
	again, giveUp := m.Failed(now, w.cfg.patience())
	m.last = now
	if giveUp {
		return false
	}
	w.log.Error("the state of a task failed: the task is restored anew, the others go on", "task", w.name(o.Task), "kind", kind, "err", err)
	w.rebuilds = append(w.rebuilds, rebuild{o.Holding, again})
	return true
}

// startRebuilds restores tasks whose state failed. No transaction is in flight then: it
// might have the task's batch, and be committed behind the restore's last look.
func (w *worker) startRebuilds(ctx context.Context) {
	if w.txn != nil || len(w.rebuilds) == 0 {
		return
	}
	now := w.cfg.now()
	due := w.takeRebuilds(func(r rebuild) bool { return !now.Before(r.at) })
	w.expectAgain(due)
	w.startRestore(ctx, due)
}

// takeRebuilds takes out the tasks that are to be rebuilt and still held.
func (w *worker) takeRebuilds(now func(rebuild) bool) (due []decide.Holding) {
	w.rebuilds = slices.DeleteFunc(w.rebuilds, func(r rebuild) bool {
		if w.find(r.Holding) == nil {
			return true
		}
		if !now(r) {
			return false
		}
		w.remove(r.Holding)
		due = append(due, r.Holding)
		return true
	})
	return due
}

// expectAgain says that tasks that ran are to be restored.
func (w *worker) expectAgain(holdings []decide.Holding) {
	w.status.update(func(s *State) { s.Restoring += len(holdings); settle(s) })
	w.expect(holdings)
}

// closeState closes the state of a task that is given up, beside the work on others.
func (w *worker) closeState(o *owned) {
	if o.backend == nil {
		return
	}
	w.flights.Go(func() { w.stores.close(o.Task, o.backend) })
}
