package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

const (
	// standbyWait and standbyBytes bound a fetch for standbys: nobody waits for what it
	// brings, and what it brings is folded in one go.
	standbyWait  = 500 * time.Millisecond
	standbyBytes = 4 << 20
)

// followed is what a fetch for replicas brought.
type followed struct {
	asked   []follow
	sent    time.Time
	fetched []kafka.Fetched
	err     error

	unanswered []record.TopicPartition // left out for another reason than that nothing has changed
}

// follow is what one position of a fetch is for.
type follow struct {
	*replica
	i int
}

// startFetch reads on for every replica, if no fetch is in flight.
func (s *standbys) startFetch(ctx context.Context) {
	now := s.cfg.now()
	if s.fetching || now.Before(s.pause) {
		return
	}
	var positions []kafka.Position
	a := followed{sent: now}
	for _, t := range slices.SortedFunc(maps.Keys(s.replicas), decide.Task.Compare) {
		if now.Before(s.notYet[t]) {
			continue
		}
		r := s.replicas[t]
		for i, c := range r.plan.Changelogs {
			tp := record.TopicPartition{Topic: c.Topic, Partition: t.Partition}
			positions = append(positions, kafka.Position{TopicPartition: tp, Offset: r.trails[i].Next()})
			a.asked = append(a.asked, follow{r, i})
		}
	}
	if len(positions) == 0 {
		return
	}
	if s.fetcher == nil {
		f, err := s.cluster.Fetcher(kafka.FetchOptions{MinBytes: fetchBytes, MaxWait: standbyWait, MaxBytes: standbyBytes})
		if err != nil {
			s.pause, _ = s.refetch.Failed(now, s.cfg.patience())
			s.log.Warn("standbys cannot be read", "err", err)
			return
		}
		s.fetcher = f
	}
	s.fetching = true
	s.flights.Go(func() {
		a.fetched, a.err = s.fetcher.Fetch(ctx, positions)
		a.unanswered = s.fetcher.Unanswered()
		s.answers <- a
	})
}

// followed folds what a fetch brought into the replicas that are still here.
func (s *standbys) followed(ctx context.Context, a followed) {
	s.fetching = false
	if a.err != nil {
		s.pause, _ = s.refetch.Failed(s.cfg.now(), s.cfg.patience())
		if !errors.Is(a.err, context.Canceled) {
			s.watch.set.FetchFailed()
			s.log.Warn("a fetch for standbys failed", "err", a.err)
		}
		return
	}
	s.refetch.Succeeded()
	read, failed := map[*replica]metrics.Produced{}, map[*replica]bool{}
	for _, ask := range a.asked {
		r := ask.replica
		tp := record.TopicPartition{Topic: r.plan.Changelogs[ask.i].Topic, Partition: r.Partition}
		var f *kafka.Fetched
		if len(a.fetched) > 0 && a.fetched[0].TopicPartition == tp {
			f, a.fetched = &a.fetched[0], a.fetched[1:]
		}
		if s.replicas[r.Task] != r {
			continue
		}
		if why := r.tooOld(s.cfg.now()); why != nil { // what is read now lacks what was forgotten meanwhile
			s.restart(ctx, r, why)
			continue
		}
		sum := read[r]
		switch {
		case f == nil && slices.Contains(a.unanswered, tp):
		case f == nil:
			r.trails[ask.i].Unchanged(a.sent)
		case s.fold(ctx, r, ask.i, f, a.sent):
			sum.Records += int64(len(f.Records))
			sum.Bytes += int64(f.Bytes)
		default:
			failed[r] = true
		}
		read[r] = sum
	}
	for _, r := range slices.SortedFunc(maps.Keys(read), func(a, b *replica) int { return a.Compare(b.Task) }) {
		if s.replicas[r.Task] != r {
			continue
		}
		if why := r.tooOld(s.cfg.now()); why != nil {
			s.restart(ctx, r, why)
			continue
		}
		if !failed[r] {
			delete(s.troubles, r.Task)
		}
		if db, ok := r.backend.(*badgerdb.DB); ok && !r.asOf().Equal(db.AsOf()) {
			db.CaughtUp(r.asOf())
		}
		s.seen(r, read[r])
	}
}

// fold folds what was read of a changelog; where that cannot be gone on with, the replica
// is put off, or starts over.
func (s *standbys) fold(ctx context.Context, r *replica, i int, f *kafka.Fetched, sent time.Time) bool {
	trail := &r.trails[i]
	err := f.Err
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
		s.restart(ctx, r, fmt.Errorf("%s-%d was cut, or made again: %w", f.Topic, f.Partition, err))
		return false
	case err != nil:
		s.trouble(r.Task, fmt.Errorf("%s-%d@%d: %w", f.Topic, f.Partition, trail.Next(), err))
		return false
	case f.Next > trail.Next():
		err = r.plan.Restore(r.backend, i, r.Partition, f.Records, f.Next)
	}
	if _, durable := r.backend.(*badgerdb.DB); err != nil && !durable {
		s.restart(ctx, r, err)
		return false
	}
	if err != nil { // a back end that failed stays so; what is in its directory may be right
		s.lose(r.Task)
		s.flights.Go(func() { s.stores.close(r.Task, r.backend) })
		s.trouble(r.Task, err)
		return false
	}
	trail.Read(sent, f.Next, f.HighWater, f.LastStable)
	return true
}

// restart has a replica start over, from nothing.
func (s *standbys) restart(ctx context.Context, r *replica, why error) {
	s.lose(r.Task)
	s.trouble(r.Task, why)
	s.flights.Go(func() {
		if err := errors.Join(s.stores.lookAgain(ctx), s.stores.refuse(r.Task, r.backend, why)); err != nil {
			s.log.Warn("closing the standby of a task", "task", s.name(r.Task), "err", err)
		}
	})
}

// trouble puts off what failed: nobody depends on a standby.
func (s *standbys) trouble(t decide.Task, err error) {
	retry := s.troubles[t]
	if retry == nil {
		retry = &decide.Retry{}
		s.troubles[t] = retry
	}
	s.notYet[t], _ = retry.Failed(s.cfg.now(), s.cfg.patience())
	s.log.Warn("the standby of a task failed: it is tried again", "task", s.name(t), "err", err)
}

// seen tells others how far a replica is.
func (s *standbys) seen(r *replica, read metrics.Produced) {
	s.watch.set.Standby(s.name(r.Task), read, r.lag())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.amounts[r.Task] = sum(r.backend)
}
