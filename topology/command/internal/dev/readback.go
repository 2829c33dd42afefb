package dev

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// baseline is what an earlier run on the data directory left.
type baseline struct {
	input [][]record.Record
	count policies.Counts
	table map[string][]byte
}

func (b *baseline) records() int64 {
	n := int64(0)
	for _, records := range b.input {
		n += int64(len(records))
	}
	return n
}

// before reads what is there before the app is started.
func (r *run) before(ctx context.Context) (b baseline, err error) {
	if b.input, err = r.topics.read(ctx, r.File.Input.Topic); err != nil {
		return b, err
	}
	table, err := r.topics.read(ctx, r.File.Output.Topic)
	if err != nil {
		return b, err
	}
	b.table = readTable(table)
	p, err := r.progress(ctx, true)
	b.count = p.counts
	return b, err
}

// readBack reads everything that the app has written, when it has stopped.
func (r *run) readBack(ctx context.Context) (*world, error) {
	w := &world{file: r.File, baseline: r.baseline.count, tableBefore: r.baseline.table, sent: r.sent, stored: make(map[string]*entity)}
	r.Logger.Info("reading everything back")
	input, err := r.topics.read(ctx, r.File.Input.Topic)
	if err != nil {
		return nil, err
	}
	for p, records := range input {
		for i := range records {
			e, err := understand(r.File, &records[i])
			if err != nil && !e.invalid {
				return nil, fmt.Errorf("dev: %s-%d@%d: %w", r.File.Input.Topic, p, records[i].Offset, err)
			}
			w.deliveries = append(w.deliveries, delivery{
				event: e, partition: int32(p), offset: records[i].Offset, before: p < len(r.baseline.input) && i < len(r.baseline.input[p]),
				readable: r.readable[records[i].Timestamp],
			})
		}
	}
	table, err := r.topics.read(ctx, r.File.Output.Topic)
	if err != nil {
		return nil, err
	}
	w.table = readTable(table)
	letters, err := r.topics.read(ctx, r.task.DeadLetters())
	if err != nil {
		return nil, err
	}
	if w.letters, err = readLetters(r.task.DeadLetters(), letters); err != nil {
		return nil, err
	}
	return w, r.readTasks(ctx, w, input)
}

// readTasks restores and replays every task.
func (r *run) readTasks(ctx context.Context, w *world, input [][]record.Record) error {
	journal, err := r.topics.read(ctx, r.task.Journal)
	if err != nil {
		return err
	}
	changelogs := make([][][]record.Record, len(r.task.Changelogs))
	for i, cl := range r.task.Changelogs {
		if changelogs[i], err = r.topics.read(ctx, cl.Topic); err != nil {
			return err
		}
	}
	committed, err := r.committed(ctx, true)
	if err != nil {
		return err
	}
	counts, err := r.counts(ctx)
	if err != nil {
		return err
	}
	from := 0
	for p := range r.partitions {
		to := from + len(input[p])
		if err := clocked(w.deliveries[from:to], partition(journal, p)); err != nil {
			return fmt.Errorf("dev: partition %d: %w", p, err)
		}
		from = to
		t := taskTopics{
			plan: r.task, partition: p, partitions: counts, input: input[p],
			journal: partition(journal, p), committed: committed[record.TopicPartition{Topic: r.File.Input.Topic, Partition: p}],
		}
		for _, cl := range changelogs {
			t.changelogs = append(t.changelogs, partition(cl, p))
		}
		if err := r.readTask(w, &t); err != nil {
			return fmt.Errorf("dev: partition %d: %w", p, err)
		}
	}
	return nil
}

func partition(all [][]record.Record, p int32) []record.Record {
	if int(p) >= len(all) {
		return nil
	}
	return all[p]
}

// counts returns the function that tells a task the partitions of what it writes.
func (r *run) counts(ctx context.Context) (func(topic string) int32, error) {
	counts := make(map[string]int32)
	for _, o := range r.task.Outputs() {
		n, err := r.topics.partitions(ctx, o.Topic)
		if err != nil {
			return nil, err
		}
		counts[o.Topic] = n
	}
	return func(topic string) int32 { return max(counts[topic], 1) }, nil
}

// readTask adds one task to the world, and folds it again.
func (r *run) readTask(w *world, t *taskTopics) error {
	live, err := t.restore()
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	w.total = w.total.Add(live.counts)
	if err := entitiesOf(w.file.Contract.WithDefaults(), live.rows, w.stored); err != nil {
		return err
	}
	// Volatile held events keep the offset back; else nothing does.
	if n := len(t.input); w.behind == "" && n > 0 && live.counts.Held == 0 && t.committed.Offset <= t.input[n-1].Offset {
		w.behind = behind(t.committed, t.input[n-1].Offset)
	}
	if w.refold != "" {
		return nil
	}
	again, err := t.replay()
	var other *task.PlanError
	if errors.As(err, &other) {
		w.replanned = fmt.Sprintf("the contract was changed since: %v", other)
		return nil
	}
	if err != nil {
		w.refold = err.Error()
		return nil //nolint:nilerr // that it cannot be folded again is the answer
	}
	w.refold, err = live.difference(again)
	if w.refold != "" {
		w.refold = fmt.Sprintf("partition %d: %s", t.partition, w.refold)
	}
	return err
}

func behind(c kafka.CommittedOffset, last int64) string {
	if c.Offset < 0 {
		return fmt.Sprintf("no offset is committed for %s-%d", c.Topic, c.Partition)
	}
	return fmt.Sprintf("offset %d is committed for %s-%d, whose last record is at %d", c.Offset, c.Topic, c.Partition, last)
}
