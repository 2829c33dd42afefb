package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// A Store says where the state of the tasks is while they run.
type Store string

// Stores. What is committed is in the changelogs under each of them.
const (
	// Memory holds all of the state in memory: a start reads all of it.
	Memory Store = "memory"
	// Badger keeps it in the data directory, written behind, and a bounded part of it in
	// memory: a start reads what was committed since the last write.
	Badger Store = "badger"
)

// stores opens and closes the state of tasks. It is safe for concurrent use.
type stores struct {
	kind    Store
	dir     string // the data directory
	memory  int    // bytes of one task's rows
	tune    func(*badgerdb.Options)
	look    func(context.Context) (map[decide.Task]badgerdb.Origin, error)
	members *membership
	warm    *standbys // nil: there are none
	name    func(decide.Task) string
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex                    // guards what follows
	taken   map[decide.Task]chan struct{} // closed when the state is given back
	origins map[decide.Task]badgerdb.Origin
}

// errGone says that the task was given up meanwhile.
var errGone = errors.New("the task was given up meanwhile")

// open opens the state of a task. It waits while another holding of the task still has
// it. If there is a standby of the task it is that one's.
func (s *stores) open(ctx context.Context, h decide.Holding, p *task.Plan) (statestore.Backend, error) {
	if len(p.Changelogs) == 0 {
		return statestore.NewMemory(), nil
	}
	if s.warm != nil {
		if b, err := s.warm.take(ctx, h.Task); b != nil || err != nil {
			return b, err
		}
	}
	if err := s.take(ctx, h); err != nil {
		return nil, err
	}
	return s.openTaken(h.Task, p, s.memory)
}

// openTaken opens the state of a task that is taken, or gives it back.
func (s *stores) openTaken(t decide.Task, p *task.Plan, restoreBytes int) (statestore.Backend, error) {
	if s.kind != Badger {
		return statestore.NewMemory(), nil
	}
	o := badgerdb.Options{Origin: s.origin(t), MemoryBytes: s.memory / 2, RestoreBytes: restoreBytes, Now: s.now}
	if s.tune != nil {
		s.tune(&o)
	}
	db, err := badgerdb.Open(s.directory(t, p), o)
	if err != nil {
		s.give(t)
		return nil, err
	}
	if why := db.Refused(); why != nil {
		s.log.Warn("the directory of a task cannot be used: it is emptied, and all of its state read from the topics", "task", s.name(t), "why", why)
	}
	return db, nil
}

// origin returns where the rows of a task must have come from.
func (s *stores) origin(t decide.Task) badgerdb.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.origins[t]
}

// directory returns that of a task.
func (s *stores) directory(t decide.Task, p *task.Plan) string {
	return filepath.Join(s.dir, p.Names.TaskDir(p.Sub.Name, t.Partition))
}

// amount returns how far the rows of a task are that it does not run on, of a standby or
// in its directory: the sum of the offsets of its changelogs.
func (s *stores) amount(t decide.Task, p *task.Plan) (sum int64) {
	if s.warm != nil {
		if n, ok := s.warm.amount(t); ok {
			return n
		}
	}
	if s.kind != Badger {
		return 0
	}
	for _, at := range badgerdb.Peek(s.directory(t, p), s.origin(t), s.now()) {
		sum += at.Offset
	}
	return sum
}

// lookAgain asks where rows must come from: the changelogs are not those that they were.
func (s *stores) lookAgain(ctx context.Context) error {
	origins, err := s.look(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = origins
	return nil
}

// take waits until the state of the task is free, and takes it.
func (s *stores) take(ctx context.Context, h decide.Holding) error {
	for {
		_, changed, held := s.members.speakFor([]decide.Holding{h})
		if !held {
			return errGone
		}
		busy := s.tryTake(h.Task)
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryTake takes the state of the task, or returns what is closed when it is given back.
func (s *stores) tryTake(t decide.Task) (busy <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if busy, taken := s.taken[t]; taken {
		return busy
	}
	s.taken[t] = make(chan struct{})
	return nil
}

// give gives the state of a task back, if it was taken.
func (s *stores) give(t decide.Task) {
	s.mu.Lock()
	if busy, taken := s.taken[t]; taken {
		close(busy)
		delete(s.taken, t)
	}
	s.mu.Unlock()
	if s.warm != nil {
		s.warm.wake()
	}
}

// close closes the state of a task, or leaves it to the standby that is to follow; nil is
// none. It writes what is not written yet.
func (s *stores) close(t decide.Task, b statestore.Backend) {
	if b == nil {
		return
	}
	if m, ok := b.(*statestore.Memory); ok && s.warm != nil && s.warm.keep(t, m) {
		return
	}
	s.leave(t, b)
}

// leave is close without a standby that follows: how old a state is that is not complete
// is not known.
func (s *stores) leave(t decide.Task, b statestore.Backend) {
	if b == nil {
		return
	}
	defer s.give(t)
	if err := b.Close(); err != nil {
		s.log.Warn("closing the state of a task: what its directory lacks is read from the topics the next time", "task", s.name(t), "err", err)
	}
}

// refuse closes state that the topics have shown to be wrong, so that it is never
// opened again.
func (s *stores) refuse(t decide.Task, b statestore.Backend, why error) error {
	defer s.give(t)
	if db, ok := b.(*badgerdb.DB); ok {
		return db.Condemn(why)
	}
	return b.Close()
}

// cache is how many bytes of state a task may have decoded; 0: all.
func (s *stores) cache() int {
	if s.kind != Badger {
		return 0
	}
	return s.memory / 2
}

// openStores prepares the opening of states.
func (r *run) openStores(ctx context.Context) (*stores, error) {
	s := &stores{
		kind: r.cfg.Store, dir: r.cfg.DataDir, memory: r.cfg.StoreMemory, tune: r.cfg.tune,
		members: r.members, name: r.name, now: r.cfg.now, log: r.log, taken: map[decide.Task]chan struct{}{},
		look: func(ctx context.Context) (map[decide.Task]badgerdb.Origin, error) {
			return origins(ctx, r.cluster, r.admin, r.plans, r.counts)
		},
	}
	var err error
	if s.kind == Badger || r.cfg.Standbys > 0 {
		s.origins, err = s.look(ctx)
	}
	if r.cfg.Standbys > 0 {
		s.warm = newStandbys(r, s)
	}
	return s, err
}

// openAll opens the states of those tasks that have none yet, side by side. left are
// those that cannot be opened now.
func (r *restorer) openAll(ctx context.Context, all []*restore) (open, left []*restore, err error) {
	errs := make([]error, len(all))
	var opening sync.WaitGroup
	for i, t := range all {
		if t.backend == nil {
			opening.Go(func() { errs[i] = r.openState(ctx, t) })
		}
	}
	opening.Wait()
	for i, t := range all {
		switch {
		case errs[i] == nil:
			open = append(open, t)
		case !errors.Is(errs[i], errGone):
			left = append(left, t)
			err = errors.Join(err, fmt.Errorf("opening the state of task %s: %w", r.name(t.Task), errs[i]))
		}
	}
	return open, left, err
}

func (r *restorer) openState(ctx context.Context, t *restore) (err error) {
	if t.backend, err = r.stores.open(ctx, t.Holding, t.plan); err != nil {
		return err
	}
	t.found = checkpoint(t.backend)
	if db, ok := t.backend.(*badgerdb.DB); ok && db.Refused() != nil {
		t.refused = db.Refused()
	}
	return nil
}

// start begins the restore of a task with what its state has, or without, if that is
// not of the changelogs as they are.
func (r *restorer) start(ctx context.Context, t *restore, committed map[record.TopicPartition]kafka.CommittedOffset, marks map[record.TopicPartition]kafka.Marks) error {
	wrong := t.start(r.cfg.now(), committed, marks)
	if wrong == nil {
		return nil
	}
	err := r.stores.refuse(t.Task, t.backend, wrong)
	if t.backend = nil; err == nil {
		err = r.openState(ctx, t)
	}
	if err != nil {
		return err
	}
	return t.start(r.cfg.now(), committed, marks)
}

// shut closes the state of a task that is not handed over.
func (r *restorer) shut(t *restore) {
	r.stores.leave(t.Task, t.backend)
	t.backend = nil
}

// tell says how a task was restored.
func (r *restorer) tell(t *restore) {
	end := Restored{Task: r.name(t.Task), Records: t.records, Bytes: t.bytes, Checkpoint: t.found, Refused: t.refused}
	r.log.Info("task restored", "task", end.Task, "records", end.Records, "bytes", end.Bytes, "checkpoint", end.Checkpoint, "took", r.cfg.now().Sub(r.began))
	r.status.update(func(s *State) { s.Restored = end })
}

// holdsRows reports whether there is a row.
func holdsRows(b statestore.Backend) bool {
	some := errors.New("there is one")
	return errors.Is(b.Scan(nil, func(_, _ []byte) error { return some }), some)
}

// live says that the state of a holding is complete. Its directory is as young as the last
// time of which the group has confirmed that nobody else held the task.
func live(b statestore.Backend, h decide.Holding, m *membership) {
	db, ok := b.(*badgerdb.DB)
	if !ok {
		return
	}
	db.Live(func() time.Time { return m.owned(h) })
}

// standsAt returns where the reading of a changelog goes on, with what a state has of it. An
// error says that the state is not of this changelog.
func standsAt(b statestore.Backend, tp record.TopicPartition, m kafka.Marks) (next int64, err error) {
	at, ok := position(b, tp)
	if ok && (at < m.LogStart || at > m.HighWater) {
		return 0, fmt.Errorf("it stands for %s-%d up to offset %d, and that holds %d to %d: records were deleted, or the log was cut", tp.Topic, tp.Partition, at, m.LogStart, m.HighWater)
	}
	return max(at, m.LogStart), nil
}

// position returns up to where a state has a changelog.
func position(b statestore.Backend, tp record.TopicPartition) (offset int64, ok bool) {
	for _, p := range b.Positions() {
		if p.Topic == tp.Topic && p.Partition == tp.Partition {
			return p.Offset, true
		}
	}
	return 0, false
}

// checkpoint writes down positions for a person.
func checkpoint(b statestore.Backend) string {
	var at []string
	for _, p := range b.Positions() {
		at = append(at, fmt.Sprintf("%s-%d@%d", p.Topic, p.Partition, p.Offset))
	}
	return strings.Join(at, " ")
}

// defaultRetention is delete.retention.ms of a broker that nobody told another.
const defaultRetention = 24 * time.Hour

// origins tells for each task where the rows in its directory must have come from.
func origins(ctx context.Context, cluster kafka.Cluster, admin kafka.Admin, plans []*task.Plan, counts map[string]int32) (map[decide.Task]badgerdb.Origin, error) {
	id, err := cluster.ID(ctx)
	if err != nil {
		return nil, fmt.Errorf("runner: asking for the cluster's id: %w", err)
	}
	var names []string
	for _, p := range plans {
		names = append(names, changelogTopics(p)...)
	}
	topics, err := admin.Describe(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("runner: asking for the ids of the changelogs: %w", err)
	}
	configs, err := admin.Configs(ctx, names...)
	if err != nil && !errors.Is(err, kafka.ErrNotAuthorized) {
		return nil, fmt.Errorf("runner: asking how long the changelogs keep deletions: %w", err)
	}
	all := map[decide.Task]badgerdb.Origin{}
	for sub, p := range plans {
		o := badgerdb.Origin{Cluster: id, Generation: p.Names.Generation, Layout: p.Layout(), DeleteRetention: defaultRetention}
		for i, c := range p.Changelogs {
			kept := defaultRetention
			if ms, err := strconv.ParseInt(configs[c.Topic][deleteRetention], 10, 64); err == nil {
				kept = max(time.Duration(ms), 1) * time.Millisecond // 0 would be for ever
			}
			if i == 0 || kept < o.DeleteRetention {
				o.DeleteRetention = kept
			}
		}
		for n := range counts[p.Sources[0]] {
			of := o
			for _, c := range p.Changelogs {
				of.Changelogs = append(of.Changelogs, badgerdb.Changelog{Topic: c.Topic, Partition: n, ID: topics[c.Topic].ID})
			}
			all[decide.Task{Sub: sub, Partition: n}] = of
		}
	}
	return all, nil
}

const deleteRetention = "delete.retention.ms"
