package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// A transaction is one commit of a worker: the batches of the tasks that have work,
// and the offsets of all others as they were, so that it is fenced for every task.
// One without batches initialises the producer.
type transaction struct {
	parts    []part
	early    *early // nil: nothing of it was encoded before its time
	rest     []kafka.CommittedOffset
	claims   []kafka.CommittedOffset // at_least_once: of partitions that have none yet
	holdings []decide.Holding        // of all its tasks
	opening  *opening                // nil: it is not open yet
}

// An opening is a transaction that is opened ahead of its commit, which then has two
// answers less to wait for.
type opening struct {
	began  time.Time
	cancel context.CancelFunc // gives it up
	done   chan struct{}      // closed when err is there
	err    error
}

// wait waits until it is open, and gives it up when ctx ends.
func (o *opening) wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, o.cancel)()
	<-o.done
	return o.err
}

// A part is what one task has in a transaction.
type part struct {
	owner *owned
	batch *task.Batch

	// filled in as it is sent
	offsets   []kafka.CommittedOffset
	positions []statestore.Position
}

// errBroken says that a task of the transaction was lost, or lost and assigned again.
var errBroken = errors.New("a task of the transaction was lost meanwhile")

// committer carries out the transactions of one worker, one at a time.
type committer struct {
	*run
	producer kafka.Producer
	writer   task.Writer
	ready    bool      // the producer is initialised
	begun    bool      // it is in the transaction of the next commit
	after    time.Time // it is not initialised before
}

// fenceWait is how long a named instance whose producer was fenced waits before it
// initialises it: the group tells it by then if another process has its name, which
// it would fence in its turn.
func (c *committer) fenceWait() time.Duration { return c.cfg.SessionTimeout / 10 }

// endWait bounds the abort of a transaction that was given up.
const endWait = 2 * time.Second

// commit carries out a transaction and says what became of it, and why. An answer
// that did not come is never guessed: the producer is initialised, which ends what
// is open, and the offsets tell whether the transaction was committed.
func (c *committer) commit(ctx context.Context, tx *transaction) (decide.Fate, error) {
	if o := tx.opening; o != nil {
		err := o.wait(ctx)
		switch {
		case c.cfg.now().Sub(o.began) > c.cfg.TransactionTimeout/2:
			c.ready = false // the task that it was opened for was lost: a new one has all its time
		case err != nil:
			c.begun = false
			return c.failed(ctx, tx, err, false)
		}
	}
	if err := c.initialised(ctx); err != nil {
		return decide.Aborted, err
	}
	if len(tx.parts) == 0 {
		return decide.Committed, nil
	}
	if err := c.send(ctx, tx); err != nil {
		return c.failed(ctx, tx, err, false)
	}
	if err := c.producer.End(ctx, true); err != nil {
		return c.failed(ctx, tx, err, true)
	}
	return decide.Committed, nil
}

// failed says what became of a transaction after an error. It may have been committed
// only if it was asked for.
func (c *committer) failed(ctx context.Context, tx *transaction, err error, asked bool) (decide.Fate, error) {
	switch {
	case errors.Is(err, kafka.ErrFenced), errors.Is(err, kafka.ErrAborted):
		c.ready = false
		if errors.Is(err, kafka.ErrFenced) && c.home.static {
			c.after = c.cfg.now().Add(c.fenceWait())
		}
		return decide.Aborted, err
	case ctx.Err() != nil:
		c.ready = false
		if asked || c.cfg.Guarantee == AtLeastOnce {
			return decide.Unknown, err
		}
		// Without an End it cannot be committed any more; ending it lets others read
		// the offsets at once.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
		defer cancel()
		c.ready = c.producer.End(ending, false) == nil
		return decide.Aborted, err
	case errors.Is(err, kafka.ErrIndefinite):
		c.ready = false
		return c.resolve(ctx, tx, err)
	}
	c.ready = c.producer.End(ctx, false) == nil
	return decide.Aborted, err
}

// initialised initialises the producer if that has to be.
func (c *committer) initialised(ctx context.Context) error {
	if c.ready {
		return nil
	}
	if wait := c.after.Sub(c.cfg.now()); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	id, err := c.initialise(ctx, c.producer)
	if err != nil {
		return fmt.Errorf("initialising the producer: %w", err)
	}
	c.ready, c.begun, c.writer = true, false, task.Writer{ProducerID: id.ID, Epoch: id.Epoch}
	return nil
}

// open begins a transaction ahead of its commit.
func (c *committer) open(ctx context.Context) error {
	if err := c.initialised(ctx); err != nil {
		return err
	}
	if err := c.producer.Begin(); err != nil {
		return err
	}
	c.begun = true
	return c.producer.Open(ctx)
}

// send sends everything of a transaction but its end.
func (c *committer) send(ctx context.Context, tx *transaction) error {
	if !c.begun {
		if err := c.producer.Begin(); err != nil {
			return err
		}
	}
	c.begun = false
	acked, err := c.produce(ctx, tx)
	if err != nil {
		return err
	}
	offsets := slices.Clone(tx.rest)
	for i := range tx.parts {
		p := &tx.parts[i]
		for _, o := range p.batch.Offsets(c.writer, acked[p.batch.JournalAt()]+int64(len(p.batch.Journal))) {
			p.offsets = append(p.offsets, kafka.CommittedOffset(o))
		}
		p.positions = positionsOf(p.batch.Changelog, acked)
		offsets = append(offsets, p.offsets...)
	}
	return c.sendOffsets(ctx, tx, offsets)
}

// produce has the records of a transaction acknowledged: in one go, or phase by phase
// where nothing else keeps them together.
func (c *committer) produce(ctx context.Context, tx *transaction) (acked map[record.TopicPartition]int64, err error) {
	if c.cfg.Guarantee != AtLeastOnce {
		var rest [][]record.Output
		for i := range tx.parts {
			if b := tx.parts[i].batch; !tx.early.has(b) {
				rest = append(rest, outputsOf(b)...)
			}
		}
		if tx.early == nil {
			return c.flush(ctx, rest)
		}
		if err := c.producer.Produce(ctx, tx.early.encoding); err != nil {
			return nil, err
		}
		if len(rest) == 0 {
			return c.producer.Flush(ctx)
		}
		return c.flush(ctx, rest)
	}
	if len(tx.claims) > 0 {
		// A crash must not leave state without offsets: that is a reset from outside.
		if err := c.sendOffsets(ctx, tx, tx.claims); err != nil {
			return nil, err
		}
	}
	var phases [3][][]record.Output
	for i := range tx.parts {
		for n, outputs := range tx.parts[i].batch.Phases() {
			phases[n] = append(phases[n], outputs)
		}
	}
	for _, outputs := range phases {
		if acked, err = c.flush(ctx, outputs); err != nil {
			return nil, err
		}
	}
	return acked, nil
}

// outputsOf returns all that a batch writes.
func outputsOf(b *task.Batch) [][]record.Output {
	return [][]record.Output{b.Changelog, b.Output, b.DeadLetters, b.Journal}
}

// flush has the outputs acknowledged, and tells where all of the transaction begin.
func (c *committer) flush(ctx context.Context, outputs [][]record.Output) (map[record.TopicPartition]int64, error) {
	if err := c.producer.Produce(ctx, c.producer.Encode(outputs...)); err != nil {
		return nil, err
	}
	return c.producer.Flush(ctx)
}

// sendOffsets sends the offsets under the member generation of the moment. While a
// rebalance is under way it waits for the next one: a task that stays is committed
// without a break.
func (c *committer) sendOffsets(ctx context.Context, tx *transaction, offsets []kafka.CommittedOffset) error {
	limit := time.NewTimer(c.cfg.TransactionTimeout / 2)
	defer limit.Stop()
	for {
		member, changed, ok := c.members.speakFor(tx.holdings)
		if !ok {
			return errBroken
		}
		err := c.producer.SendOffsets(ctx, c.names.Group(), member, offsets)
		if !errors.Is(err, kafka.ErrIllegalGeneration) && !errors.Is(err, kafka.ErrUnknownMember) {
			return err
		}
		select {
		case <-changed: // first: it may be over since the answer left
			continue
		default:
		}
		select {
		case <-changed:
		case <-limit.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// resolve finds out what became of a transaction whose answer did not come.
func (c *committer) resolve(ctx context.Context, tx *transaction, cause error) (decide.Fate, error) {
	c.log.Warn("no answer: reading the offsets back", "err", cause)
	// Only an initialised producer has ended the transaction for good: before that,
	// a request that is still on its way could commit it after it was looked at.
	if err := c.initialised(ctx); err != nil {
		return decide.Unknown, errors.Join(cause, err)
	}
	var sent []kafka.CommittedOffset
	var partitions []record.TopicPartition
	for i := range tx.parts {
		sent = append(sent, tx.parts[i].offsets...)
	}
	if len(sent) == 0 {
		return decide.Aborted, cause // it did not come so far as to have offsets
	}
	for _, o := range sent {
		partitions = append(partitions, o.TopicPartition)
	}
	var retry decide.Retry
	for {
		got, err := c.admin.Committed(ctx, c.names.Group(), partitions, true)
		if err == nil {
			if landed(sent, got) {
				return decide.Committed, nil
			}
			return decide.Aborted, cause
		}
		if err := c.again(ctx, &retry, err); err != nil {
			return decide.Unknown, errors.Join(cause, fmt.Errorf("reading the offsets back: %w", err))
		}
	}
}

// landed reports whether the transaction that sent the offsets was committed: the
// offsets bear its commit number and its writer. One partition is enough, since a
// transaction is whole; another may have been committed by its next owner since.
func landed(sent []kafka.CommittedOffset, got map[record.TopicPartition]kafka.CommittedOffset) bool {
	return slices.ContainsFunc(sent, func(s kafka.CommittedOffset) bool {
		want, err := task.ParseMetadata(s.Metadata)
		if err != nil {
			return false
		}
		have, err := task.ParseMetadata(got[s.TopicPartition].Metadata)
		return err == nil && have.Commit == want.Commit && have.Writer == want.Writer
	})
}

// positionsOf returns where the changelogs stand when the records are read.
func positionsOf(changelog []record.Output, acked map[record.TopicPartition]int64) []statestore.Position {
	var all []statestore.Position
	for i := range changelog {
		tp := changelog[i].TopicPartition
		at := slices.IndexFunc(all, func(p statestore.Position) bool { return p.Topic == tp.Topic })
		if at < 0 {
			at = len(all)
			all = append(all, statestore.Position{Topic: tp.Topic, Partition: tp.Partition, Offset: acked[tp]})
		}
		all[at].Offset++
	}
	return all
}

// final reports whether an error will not pass by trying again.
func final(err error) bool {
	for _, lasts := range []error{kafka.ErrTooLarge, kafka.ErrTimestamp, kafka.ErrTxnTimeout, kafka.ErrNotAuthorized, kafka.ErrUnknownTopic} {
		if errors.Is(err, lasts) {
			return true
		}
	}
	return false
}

// named adds to an error about a record what wrote it, and under which key.
func (r *run) named(err error) error {
	var rec *kafka.RecordError
	if !errors.As(err, &rec) {
		return err
	}
	for _, p := range r.plans {
		if writer := p.Writer(rec.Topic); writer != "" {
			return fmt.Errorf("%s, key %.60q: %w", writer, rec.Key, err)
		}
	}
	return err
}
