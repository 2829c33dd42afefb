package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// A Runner runs one instance of an app. New makes one.
type Runner struct {
	names    topology.Names
	declared []*task.Plan
	cfg      Config
	cluster  kafka.Cluster // nil: Config.Brokers
	started  atomic.Bool
	status   *status
	watch    *watch
}

// New returns a runner of the topology. Nothing is connected before Run.
func New(topo *topology.Topology, cfg Config) (*Runner, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("runner: no broker address; set Config.Brokers")
	}
	if err := cfg.wire("").Validate(); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	return newRunner(topo, nil, cfg)
}

// NewOn is New on a cluster that is connected already and stays the caller's.
func NewOn(topo *topology.Topology, cluster kafka.Cluster, cfg Config) (*Runner, error) {
	return newRunner(topo, cluster, cfg)
}

func newRunner(topo *topology.Topology, cluster kafka.Cluster, cfg Config) (*Runner, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	plans := task.Plans(topo)
	if err := checkContracts(plans, cfg.Guarantee); err != nil {
		return nil, err
	}
	r := &Runner{names: topology.Names{App: topo.App()}, declared: plans, cfg: cfg, cluster: cluster, status: &status{listen: cfg.Listener}}
	r.watch = newWatch(topo.App(), r.status, cfg.MaxLag, cfg.now)
	return r, nil
}

// Run runs the app until ctx ends; then it commits what is stepped, leaves the group
// (a named instance keeps its place) and returns nil. It returns an error when it
// cannot go on: the topics are wrong, a record cannot be handled, the cluster stays
// away. It is called once; a second call is an error.
func (r *Runner) Run(ctx context.Context) (err error) {
	if r.started.Swap(true) {
		return errors.New("runner: Run was called before; make another Runner")
	}
	r.status.update(func(s *State) { s.Phase = Created })
	defer func() {
		if err != nil {
			r.status.update(func(s *State) { s.Phase, s.Reason = Failed, err })
		}
	}()
	if ctx.Err() != nil {
		return nil
	}
	if r.cfg.Metrics != nil {
		unregister, err := r.watch.set.Register(r.cfg.Metrics)
		if err != nil {
			return fmt.Errorf("runner: %w", err)
		}
		defer unregister()
	}
	cluster := r.cluster
	if cluster == nil {
		if cluster, err = wire.New(r.cfg.wire(r.names.Group())); err != nil {
			return fmt.Errorf("runner: connecting: %w", err)
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
	}
	home, err := openHome(r.cfg.DataDir, r.names.Group(), r.cfg.Instance, r.cfg.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	admin, err := cluster.Admin()
	if err != nil {
		return fmt.Errorf("runner: connecting: %w", err)
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	rn := &run{
		Runner: r, cluster: cluster, admin: admin, home: home, members: newMembership(),
		log: r.cfg.Logger.With("app", r.names.App, "instance", home.instance),
	}
	err = rn.run(ctx)
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil // it had not begun
	}
	return err
}

// run is what one Run works with. Its fields do not change while workers run.
type run struct {
	*Runner
	cluster kafka.Cluster
	admin   kafka.Admin
	home    *home
	log     *slog.Logger
	members *membership
	plans   []*task.Plan     // as the app has recorded them
	sources [][]string       // source topics of each plan
	counts  map[string]int32 // partitions of every topic
	stores  *stores
	workers []*worker

	stop    context.CancelFunc // leaves the group
	failing sync.Mutex         // guards failure
	failure error
}

// fail makes Run return the error, the first one of all, when everything else is
// committed.
func (r *run) fail(err error) {
	r.failing.Lock()
	first := r.failure == nil
	if first {
		r.failure = err
	}
	r.failing.Unlock()
	if first {
		r.status.update(func(s *State) { s.Phase, s.Reason = Failed, err })
	}
	r.log.Error("stopping", "err", err)
	r.stop()
}

func (r *run) run(ctx context.Context) (err error) {
	if err := r.settle(ctx); err != nil {
		return err
	}
	for _, p := range r.plans {
		r.sources = append(r.sources, p.Sources)
	}
	if r.stores, err = r.openStores(ctx); err != nil {
		return err
	}
	producers, ids, err := r.openProducers(ctx)
	defer func() {
		for _, p := range producers {
			err = errors.Join(err, p.Close())
		}
	}()
	if err != nil {
		return err
	}
	grouped, stop := context.WithCancel(ctx)
	defer stop()
	r.stop = stop
	// Workers outlive ctx: they commit what is revoked when the group is left.
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer r.watch.working(0) // when they have ended
	defer all.Wait()
	defer end()
	for i, p := range producers {
		w, err := newWorker(r, i, p, ids[i])
		if err != nil {
			return err
		}
		r.workers = append(r.workers, w)
	}
	r.watch.working(len(r.workers))
	for _, w := range r.workers {
		all.Go(func() {
			if err := w.loop(working); err != nil {
				r.fail(err)
			}
		})
	}
	if s := r.stores.warm; s != nil {
		all.Go(func() { s.loop(working) })
	}
	return r.join(grouped)
}

// join is in the group until ctx ends.
func (r *run) join(ctx context.Context) (err error) {
	opts := kafka.GroupOptions{Group: r.names.Group(), SessionTimeout: r.cfg.SessionTimeout, RebalanceTimeout: r.cfg.rebalanceTimeout(), Standbys: r.cfg.Standbys}
	for _, topics := range r.sources {
		opts.Topics = append(opts.Topics, topics...)
	}
	if r.home.static {
		opts.InstanceID = r.home.instance
	}
	group, err := r.cluster.Group(opts)
	if err != nil {
		return fmt.Errorf("runner: joining group %s: %w", opts.Group, err)
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	r.members.opened(group)
	r.status.update(func(s *State) { enter(s, Rebalancing) })
	left := context.AfterFunc(ctx, func() { r.status.update(func(s *State) { enter(s, Stopping) }) })
	defer left()
	err = group.Run(ctx, &assignment{run: r, owner: map[decide.Task]*worker{}, ended: ctx.Done()})
	r.failing.Lock()
	defer r.failing.Unlock()
	switch {
	case r.failure != nil:
		return r.failure
	case errors.Is(err, kafka.ErrUnknownMember) && r.home.static:
		return fmt.Errorf("runner: the place of instance %s in its group was taken: %w: %w", r.home.instance, ErrInUse, err)
	case err != nil:
		return fmt.Errorf("runner: in group %s: %w", opts.Group, err)
	}
	return nil
}

// openProducers opens a producer for every worker and initialises it, and so ends
// what a predecessor left open, before any committed offset is read: a read of
// stable offsets would wait for the timeout of such a transaction. Where there were
// more workers the last time, the ids above are initialised once.
func (r *run) openProducers(ctx context.Context) (producers []kafka.Producer, ids []kafka.ProducerID, err error) {
	tasks := 0
	for _, p := range r.plans {
		tasks += int(r.counts[p.Sources[0]])
	}
	workers := min(r.cfg.Workers, tasks)
	n := max(workers, r.home.workers)
	ids = make([]kafka.ProducerID, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		opts := kafka.ProducerOptions{
			TransactionalID:    r.names.TransactionalID(r.home.instance, i),
			TransactionTimeout: r.cfg.TransactionTimeout,
			RequestTimeout:     r.cfg.TransactionTimeout / 2,
		}
		if r.cfg.Guarantee == AtLeastOnce && i < workers {
			opts.TransactionalID, opts.Plain = "", true
		}
		p, err := r.cluster.Producer(opts)
		if err != nil {
			errs[i] = err
			break
		}
		producers = append(producers, p)
		all.Go(func() { ids[i], errs[i] = r.initialise(ctx, p) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return producers, nil, fmt.Errorf("runner: initialising the producers of instance %s: %w", r.home.instance, err)
	}
	for _, p := range producers[workers:] {
		errs = append(errs, p.Close())
	}
	errs = append(errs, r.home.keep(workers))
	return producers[:workers], ids[:workers], errors.Join(errs...)
}

// initialise initialises a producer, however often it takes.
func (r *run) initialise(ctx context.Context, p kafka.Producer) (kafka.ProducerID, error) {
	var retry decide.Retry
	for {
		id, err := p.Init(ctx)
		switch {
		case err == nil, final(err):
			return id, err
		case ctx.Err() != nil:
			return id, ctx.Err()
		}
		if err := r.again(ctx, &retry, err); err != nil {
			return kafka.ProducerID{}, err
		}
	}
}

// again waits after a failure, until it is time to try again; or it returns the
// failure, when it has gone on for too long.
func (r *run) again(ctx context.Context, retry *decide.Retry, failure error) error {
	now := r.cfg.now()
	next, giveUp := retry.Failed(now, r.cfg.patience())
	if errors.Is(failure, kafka.ErrNotAuthorized) {
		return failure
	}
	if giveUp {
		return fmt.Errorf("still after %v: %w", r.cfg.patience(), failure)
	}
	return sleep(ctx, next.Sub(now))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// name returns the name of a task.
func (r *run) name(t decide.Task) string { return topology.Task(r.plans[t.Sub].Sub.Name, t.Partition) }

// partitions tells tasks the number of partitions of a topic.
func (r *run) partitions(topic string) int32 { return r.counts[topic] }
