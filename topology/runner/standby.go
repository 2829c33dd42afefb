package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

const (
	// standbyWait and standbyBytes bound a fetch for standbys: nobody waits for what it
	// brings, and what it brings is folded in one go.
	standbyWait  = 500 * time.Millisecond
	standbyBytes = 4 << 20
)

// standbys keep the state of tasks warm that other instances hold: they read its
// changelogs as far as they can be read, for as long as the group says. They hold no
// offsets and commit nothing. A task that comes to this instance takes its state from
// them, and its restore goes on where they are.
//
// One goroutine, loop, owns the replicas; what takes time (a fetch, a directory to be
// opened or closed) is a flight, so that a task never waits for more than the fold of
// one answer.
type standbys struct {
	*run
	stores  *stores
	woken   chan struct{} // 1 deep: wanted, kept, or what is held or taken has changed
	asks    chan ask
	done    chan struct{} // closed when loop has returned
	flights sync.WaitGroup

	// of loop
	replicas map[decide.Task]*replica
	opening  map[decide.Task]bool
	opened   chan opened
	waiting  []ask                         // for what is being opened
	troubles map[decide.Task]*decide.Retry // of tasks that failed
	notYet   map[decide.Task]time.Time     // not opened or read before
	fetcher  kafka.Fetcher                 // nil: nothing was read yet
	fetching bool
	answers  chan followed
	refetch  decide.Retry
	pause    time.Time // no fetch before it

	mu      sync.Mutex                // guards what follows
	wanted  map[decide.Task]time.Time // when it was said of a task that was held then; else zero
	kept    map[decide.Task]*replica  // of tasks that were given up, for replicas
	amounts map[decide.Task]int64     // how far each replica is, as State tells it
	ended   bool                      // nothing is kept any more
}

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

// followed is what a fetch for replicas brought.
type followed struct {
	asked   []follow
	sent    time.Time
	fetched []kafka.Fetched
	err     error
}

// follow is what one position of a fetch is for.
type follow struct {
	*replica
	i int
}

func newStandbys(r *run, s *stores) *standbys {
	return &standbys{
		run: r, stores: s, woken: make(chan struct{}, 1), asks: make(chan ask), done: make(chan struct{}),
		replicas: map[decide.Task]*replica{}, opening: map[decide.Task]bool{}, opened: make(chan opened),
		troubles: map[decide.Task]*decide.Retry{}, notYet: map[decide.Task]time.Time{}, answers: make(chan followed, 1),
		wanted: map[decide.Task]time.Time{}, kept: map[decide.Task]*replica{}, amounts: map[decide.Task]int64{},
	}
}

// wake has loop look again at what it is to do.
func (s *standbys) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// want says which tasks to stand by for: all of them.
func (s *standbys) want(tasks []decide.Task) {
	wanted := map[decide.Task]time.Time{}
	for _, t := range tasks {
		wanted[t] = time.Time{}
		if s.held(t) {
			wanted[t] = s.cfg.now()
		}
	}
	s.mu.Lock()
	s.wanted = wanted
	s.mu.Unlock()
	s.wake()
}

// keep takes the state of a task that is given up, if this instance was told to stand by
// for it while it had it. It stays taken.
func (s *standbys) keep(t decide.Task, m *statestore.Memory) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.wanted[t]
	if held.IsZero() || s.ended {
		return false
	}
	// It was the only one that wrote to the changelogs until then; since, nobody knows.
	s.kept[t], s.amounts[t] = s.givenUp(t, m, held), sum(m)
	s.wake()
	return true
}

// putBack takes a replica back from take.
func (s *standbys) putBack(r *replica) {
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.kept[r.Task], s.amounts[r.Task] = r, sum(r.backend)
	}
	s.mu.Unlock()
	if ended {
		s.stores.close(r.Task, r.backend)
	}
	s.wake()
}

// amount returns how far the standby of a task is; false: there is none.
func (s *standbys) amount(t decide.Task) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.amounts[t]
	return n, ok
}

// sum adds up to where a state has its changelogs.
func sum(b statestore.Backend) (n int64) {
	for _, p := range b.Positions() {
		n += p.Offset
	}
	return n
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

// tooOld says why deletions may be missing in a replica that has not caught up for long,
// or returns nil.
func (r *replica) tooOld(now time.Time) error {
	if age, limit := now.Sub(r.asOf()), r.origin.Limit(); limit > 0 && age >= limit {
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

// loop is the life of the standbys.
func (s *standbys) loop(ctx context.Context) {
	flying, land := context.WithCancel(ctx)
	defer close(s.done)
	defer s.end()
	defer s.flights.Wait()
	defer land()
	for ctx.Err() == nil {
		s.settle(flying)
		s.startFetch(flying)
		timer := time.NewTimer(max(0, s.nextWake().Sub(s.cfg.now())))
		select {
		case <-s.woken:
		case a := <-s.asks:
			s.waiting = append(s.waiting, a)
		case o := <-s.opened:
			s.begin(o)
		case a := <-s.answers:
			s.followed(flying, a)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// nextWake returns when there is something to do if nothing happens before.
func (s *standbys) nextWake() time.Time {
	now := s.cfg.now()
	wake := now.Add(time.Minute)
	for _, at := range append(slices.Collect(maps.Values(s.notYet)), s.pause) {
		if at.After(now) && at.Before(wake) {
			wake = at
		}
	}
	return wake
}

// end closes everything.
func (s *standbys) end() {
	s.mu.Lock()
	s.ended, s.wanted = true, nil
	kept := s.kept
	s.mu.Unlock()
	for t, r := range kept {
		s.stores.close(t, r.backend)
	}
	for t, r := range s.replicas {
		s.stores.close(t, r.backend)
		s.watch.set.StandbyEnded(s.name(t))
	}
	if s.fetcher != nil {
		if err := s.fetcher.Close(); err != nil {
			s.log.Warn("closing what standbys read with", "err", err)
		}
	}
}

// settle opens and closes replicas, as they are wanted, and answers who asks for one.
func (s *standbys) settle(ctx context.Context) {
	s.mu.Lock()
	kept, wanted := s.kept, maps.Clone(s.wanted)
	s.kept = map[decide.Task]*replica{}
	s.mu.Unlock()
	maps.Copy(s.replicas, kept)
	now := s.cfg.now()
	s.waiting = slices.DeleteFunc(s.waiting, func(a ask) bool {
		if s.opening[a.Task] {
			return false
		}
		select {
		case a.answer <- s.replicas[a.Task]:
			s.lose(a.Task)
		case <-a.gone:
		}
		return true
	})
	for _, t := range slices.SortedFunc(maps.Keys(s.replicas), decide.Task.Compare) {
		// What is held will be asked for.
		if _, stay := wanted[t]; !stay && !s.held(t) {
			r := s.replicas[t]
			s.lose(t)
			s.flights.Go(func() { s.stores.close(t, r.backend) })
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(wanted), decide.Task.Compare) {
		p := s.plans[t.Sub]
		switch {
		case s.replicas[t] != nil || s.opening[t] || s.held(t) || len(p.Changelogs) == 0 || now.Before(s.notYet[t]):
		case s.stores.tryTake(t) == nil:
			s.opening[t] = true
			s.flights.Go(func() { s.open(ctx, t, p) })
		}
	}
	for t := range s.troubles {
		if _, stay := wanted[t]; !stay {
			delete(s.troubles, t)
			delete(s.notYet, t)
		}
	}
	s.tell()
}

// held reports whether this instance holds the task.
func (s *standbys) held(t decide.Task) bool { return len(s.members.find([]decide.Task{t})) > 0 }

// lose forgets a replica.
func (s *standbys) lose(t decide.Task) {
	if s.replicas[t] == nil {
		return
	}
	delete(s.replicas, t)
	s.watch.set.StandbyEnded(s.name(t))
	s.mu.Lock()
	delete(s.amounts, t)
	s.mu.Unlock()
}

// tell says how many replicas there are.
func (s *standbys) tell() {
	n := len(s.replicas)
	s.status.update(func(st *State) { st.Standbys = n })
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

// seen tells others how far a replica is.
func (s *standbys) seen(r *replica, read metrics.Produced) {
	s.watch.set.Standby(s.name(r.Task), read, r.lag())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.amounts[r.Task] = sum(r.backend)
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
		sum := read[r]
		switch {
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
		if db, ok := r.backend.(*badgerdb.DB); ok && r.asOf().After(db.AsOf()) {
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

// changelogTopics returns the names of a plan's changelogs.
func changelogTopics(p *task.Plan) (names []string) {
	for _, c := range p.Changelogs {
		names = append(names, c.Topic)
	}
	return names
}
