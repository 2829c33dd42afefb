package runner

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
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
	for t, held := range wanted {
		if held.IsZero() { // it may be given up, and its state still on the way to keep
			wanted[t] = s.wanted[t]
		}
	}
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
