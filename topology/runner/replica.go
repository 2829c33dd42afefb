package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// A replica is the state of one task, and how far its changelogs are followed.
type replica struct {
	decide.Task
	plan    *task.Plan
	origin  badgerdb.Origin // of its rows
	backend statestore.Backend
	trails  []decide.Trail // of the plan's changelogs
}

// An ask wants the replica of a task, or to hear that there is none.
type ask struct {
	decide.Task
	answer chan *replica
	gone   <-chan struct{} // nobody waits any more
}

// opened is the end of a flight that opened a replica.
type opened struct {
	decide.Task
	replica *replica
	err     error
}

// tooOld says why deletions may be missing in a replica that has not caught up for long,
// or returns nil.
func (r *replica) tooOld(now time.Time) error {
	// By the wall clock: the other one may stand still while the machine is suspended.
	if age, limit := now.Round(0).Sub(r.asOf()), r.origin.Limit(); limit > 0 && age >= limit {
		return fmt.Errorf("its rows are %s old, and deletions are sure to be in the changelog for %s only", age.Round(time.Second), limit)
	}
	return nil
}

// asOf returns the last time as of which all of the replica is complete.
func (r *replica) asOf() time.Time {
	asOf := r.trails[0].AsOf()
	for i := range r.trails {
		if at := r.trails[i].AsOf(); at.Before(asOf) {
			asOf = at
		}
	}
	return asOf
}

// lag returns how many offsets can be read that are not.
func (r *replica) lag() (n int64) {
	for i := range r.trails {
		n += r.trails[i].Lag()
	}
	return n
}

// givenUp returns a replica with the state that this instance had of a task until now.
func (s *standbys) givenUp(t decide.Task, m *statestore.Memory, asOf time.Time) *replica {
	r := &replica{Task: t, plan: s.plans[t.Sub], origin: s.stores.origin(t), backend: m}
	for _, c := range r.plan.Changelogs {
		next, _ := position(m, record.TopicPartition{Topic: c.Topic, Partition: t.Partition})
		r.trails = append(r.trails, decide.NewTrail(next, asOf))
	}
	return r
}

// open opens the replica of a task that is taken.
func (s *standbys) open(ctx context.Context, t decide.Task, p *task.Plan) {
	r, err := s.openReplica(ctx, t, p)
	select {
	case s.opened <- opened{t, r, err}:
	case <-ctx.Done():
		if r != nil {
			s.stores.close(t, r.backend)
		}
	}
}

// openReplica opens the state of a task with what it has of the changelogs. What is not of
// them is refused; the next try has nothing.
func (s *standbys) openReplica(ctx context.Context, t decide.Task, p *task.Plan) (*replica, error) {
	var tps []record.TopicPartition
	for _, c := range p.Changelogs {
		tps = append(tps, record.TopicPartition{Topic: c.Topic, Partition: t.Partition})
	}
	sent, origin := s.cfg.now(), s.stores.origin(t)
	marks, err := s.admin.EndOffsets(ctx, tps)
	if err != nil {
		s.stores.give(t)
		return nil, fmt.Errorf("reading the ends of the changelogs: %w", err)
	}
	b, err := s.stores.openTaken(t, p, s.stores.memory/2)
	if err != nil {
		return nil, err
	}
	asOf := sent // nothing is missing in what is empty
	if db, ok := b.(*badgerdb.DB); ok {
		asOf = db.AsOf()
	}
	r := &replica{Task: t, plan: p, origin: origin, backend: b}
	for _, tp := range tps {
		next, err := standsAt(b, tp, marks[tp])
		if err != nil {
			return nil, errors.Join(err, s.stores.refuse(t, b, err))
		}
		trail := decide.NewTrail(next, asOf)
		trail.Read(sent, next, marks[tp].HighWater, marks[tp].LastStable)
		r.trails = append(r.trails, trail)
	}
	return r, nil
}

// begin takes a replica that was opened.
func (s *standbys) begin(o opened) {
	delete(s.opening, o.Task)
	if o.err != nil {
		s.trouble(o.Task, o.err)
		return
	}
	s.replicas[o.Task] = o.replica
	s.seen(o.replica, metrics.Produced{})
}

// take returns the state of a task that comes to this instance, or nil if there is no
// standby of it, or none that can be gone on with.
func (s *standbys) take(ctx context.Context, t decide.Task) (statestore.Backend, error) {
	r, err := s.ask(ctx, t)
	if r == nil {
		return nil, err
	}
	topics, err := s.admin.Describe(ctx, changelogTopics(r.plan)...)
	if err != nil {
		s.putBack(r)
		return nil, fmt.Errorf("asking for the ids of the changelogs: %w", err)
	}
	why := r.tooOld(s.cfg.now())
	for _, c := range r.origin.Changelogs {
		if topics[c.Topic].ID != c.ID {
			why = fmt.Errorf("topic %s was made again", c.Topic)
		}
	}
	if why == nil {
		s.log.Info("a standby takes over", "task", s.name(t), "standby", checkpoint(r.backend))
		return r.backend, nil
	}
	s.log.Warn("the standby of a task cannot take over: all of its state is read from the topics", "task", s.name(t), "why", why)
	if err := s.stores.refuse(t, r.backend, why); err != nil {
		return nil, err
	}
	return nil, s.stores.lookAgain(ctx)
}

// ask asks loop for the replica of a task; nil: there is none.
func (s *standbys) ask(ctx context.Context, t decide.Task) (*replica, error) {
	a := ask{Task: t, answer: make(chan *replica), gone: ctx.Done()}
	select {
	case s.asks <- a:
	case <-s.done:
		return nil, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-a.answer:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sum adds up to where a state has its changelogs.
func sum(b statestore.Backend) (n int64) {
	for _, p := range b.Positions() {
		n += p.Offset
	}
	return n
}

// changelogTopics returns the names of a plan's changelogs.
func changelogTopics(p *task.Plan) (names []string) {
	for _, c := range p.Changelogs {
		names = append(names, c.Topic)
	}
	return names
}
