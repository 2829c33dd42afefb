package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
	"github.com/streamrun/streamrun/topology/runner/internal/meta"
)

// ErrChanged says that the topology is not the one whose state is in the cluster, so
// that going on could misread it; the error names what changed.
var ErrChanged = errors.New("the topology was changed")

// ErrUnknownWas says that a step names what it was, and nothing of that name is
// recorded.
var ErrUnknownWas = errors.New("there was no such step")

// errOutrun says that another instance wrote to the meta topic meanwhile.
var errOutrun = errors.New("another instance writes to the meta topic")

// settlePlans gives the plans the names and the order of sources that are recorded.
// write has the records that are missing, by key.
func settlePlans(app string, plans []*task.Plan, recorded recording) (settled []*task.Plan, write map[string]string, notes []string, err error) {
	now := make([]meta.Plan, len(plans))
	for i, p := range plans {
		now[i] = meta.Plan{Name: p.Sub.Name, Hash: p.Hash, Topics: p.Sources, Steps: p.Steps}
	}
	if unknown := meta.Unknown(recorded.Plans, now); len(unknown) > 0 {
		return nil, nil, nil, fmt.Errorf("runner: app %s: was %q: %w", app, unknown, ErrUnknownWas)
	}
	records, notes, changes := meta.Settle(recorded.Plans, now)
	if len(changes) > 0 {
		return nil, nil, notes, fmt.Errorf("runner: %w: %w", ErrChanged, &meta.ChangedError{App: app, Changes: changes})
	}
	write = map[string]string{}
	for i := range records {
		rec := &records[i]
		p := plans[i].As(rec.Name, rec.Topics)
		rec.Hash = p.Hash
		settled = append(settled, p)
		key, value := string(meta.Key(meta.Live, rec.Name)), string(rec.Append(nil))
		if recorded.values[key] != value {
			write[key] = value
		}
	}
	return settled, write, notes, nil
}

// recording is what the meta topic holds.
type recording struct {
	meta.Generation
	values map[string]string // by key
	open   bool              // there is more, of a transaction that is not decided
}

// metaPartition is the one partition of the meta topic that is used.
func metaPartition(names topology.Names) record.TopicPartition {
	return record.TopicPartition{Topic: names.Meta()}
}

// readMeta reads everything that is committed in the meta topic of an app; nothing
// where there is none. wait is how long the end of an open transaction is waited for;
// 0: what is behind it is left out.
func readMeta(ctx context.Context, cluster kafka.Cluster, admin kafka.Admin, names topology.Names, wait time.Duration) (rec recording, err error) {
	doing := func(err error) error { return fmt.Errorf("runner: reading the meta topic %s: %w", names.Meta(), err) }
	tp := metaPartition(names)
	found, err := admin.Describe(ctx, tp.Topic)
	if err != nil {
		return rec, doing(err)
	}
	if _, ok := found[tp.Topic]; !ok {
		return rec, nil
	}
	marks, err := admin.EndOffsets(ctx, []record.TopicPartition{tp})
	if err != nil {
		return rec, doing(err)
	}
	f, err := cluster.Fetcher(kafka.FetchOptions{})
	if err != nil {
		return rec, doing(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	waiting, stop, end := ctx, func() {}, marks[tp].LastStable
	if wait > 0 {
		waiting, stop = context.WithTimeout(ctx, wait)
		end = marks[tp].HighWater
	}
	defer stop()
	var records []record.Record
	for at := marks[tp].LogStart; at < end; {
		fetched, err := f.Fetch(waiting, []kafka.Position{{TopicPartition: tp, Offset: at}})
		if err == nil {
			err = waiting.Err()
		}
		if err != nil {
			return rec, doing(fmt.Errorf("from offset %d on, where a transaction may be open: %w", at, err))
		}
		for _, g := range fetched {
			if g.Err != nil {
				return rec, doing(g.Err)
			}
			records, at = append(records, g.Records...), g.Next
		}
	}
	generations, values, err := meta.Decode(records)
	if err != nil {
		return rec, doing(err)
	}
	return recording{generations[meta.Live], values, end < marks[tp].HighWater}, nil
}

// settle finds out what the app has recorded of itself, refuses what does not fit
// it, creates and checks the topics, and records what is new.
func (r *run) settle(ctx context.Context) error {
	var retry decide.Retry
	for {
		err := r.trySettle(ctx)
		if !errors.Is(err, errOutrun) {
			return err
		}
		if err := r.again(ctx, &retry, err); err != nil {
			return fmt.Errorf("runner: %w", err)
		}
	}
}

func (r *run) trySettle(ctx context.Context) error {
	recorded, err := readMeta(ctx, r.cluster, r.admin, r.names, 0)
	if err == nil && recorded.open {
		// Whoever began it is gone, or is outrun: writing nothing ends it.
		if err = r.writeMeta(ctx, recorded, nil); err == nil {
			recorded.open = false
		}
	}
	if err != nil {
		return err
	}
	plans, write, notes, err := settlePlans(r.names.App, r.declared, recorded)
	if err != nil {
		return err
	}
	found, err := prepareTopics(ctx, r.admin, r.names, plans, recorded.Generation, r.log)
	if err != nil {
		return err
	}
	r.counts = map[string]int32{}
	for name, t := range found {
		r.counts[name] = t.Partitions
	}
	for _, name := range keptTopics(plans) {
		key, value := string(meta.TopicKey(meta.Live, name)), string(meta.AppendTopic(nil, found[name].ID))
		if recorded.values[key] != value {
			write[key] = value
		}
	}
	if len(write) > 0 {
		if err := r.writeMeta(ctx, recorded, write); err != nil {
			return err
		}
	}
	r.plans = plans
	for _, n := range notes {
		r.log.Warn("the topology was changed", "change", n)
	}
	return nil
}

// metaWait is how long a transaction that is open in the meta topic is waited for.
func (r *run) metaWait() time.Duration { return 2*r.cfg.TransactionTimeout + 10*time.Second }

// writeMeta writes records to the meta topic, if it still holds what was read: all
// instances write under one transactional id, so that of two that start together
// the later one fences the earlier, and looks again at what the other has written.
func (r *run) writeMeta(ctx context.Context, seen recording, write map[string]string) (err error) {
	doing := func(err error) error {
		for _, passes := range []error{kafka.ErrFenced, kafka.ErrAborted, kafka.ErrIndefinite} {
			if errors.Is(err, passes) {
				return fmt.Errorf("%w: %w", errOutrun, err)
			}
		}
		return fmt.Errorf("runner: writing to the meta topic %s: %w", r.names.Meta(), err)
	}
	p, err := r.cluster.Producer(kafka.ProducerOptions{
		TransactionalID: r.names.Meta(), TransactionTimeout: r.cfg.TransactionTimeout, RequestTimeout: r.cfg.TransactionTimeout / 2,
	})
	if err != nil {
		return doing(err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if _, err := r.initialise(ctx, p); err != nil {
		return doing(err)
	}
	// From here on nobody else can commit without fencing this one.
	again, err := readMeta(ctx, r.cluster, r.admin, r.names, r.metaWait())
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("%w: %w", errOutrun, err) // its end is on the way
	case err != nil:
		return err
	}
	if !maps.Equal(again.values, seen.values) {
		return errOutrun
	}
	if len(write) == 0 {
		return nil
	}
	if err := p.Begin(); err != nil {
		return doing(err)
	}
	var outputs []record.Output
	now := r.cfg.now().UnixMilli()
	for _, key := range slices.Sorted(maps.Keys(write)) {
		outputs = append(outputs, record.Output{TopicPartition: metaPartition(r.names), Timestamp: now, Key: []byte(key), Value: []byte(write[key])})
	}
	if err := p.Produce(ctx, p.Encode(outputs)); err != nil {
		return doing(err)
	}
	if _, err := p.Flush(ctx); err != nil {
		return doing(err)
	}
	if err := p.End(ctx, true); err != nil {
		return doing(err)
	}
	return nil
}
