package topologytest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// CheckReplay folds every task again from its inputs and its journal alone, and
// fails the test where rows, dispositions or any record that it would produce are not
// those that the topics hold, byte for byte.
func (d *Driver) CheckReplay() {
	d.tb.Helper()
	made := produced{}
	read := map[string]bool{}
	for _, r := range d.tasks {
		d.replay(r, made)
		for _, topic := range r.plan.Sources {
			read[topic] = true
		}
	}
	for topic, partitions := range d.topics {
		for p, log := range partitions {
			if tp := (record.TopicPartition{Topic: topic, Partition: int32(p)}); !read[topic] || made[tp] != nil {
				made.compare(d.tb, tp, log)
			}
		}
	}
}

// produced is what replays would produce, per partition and task.
type produced map[record.TopicPartition]map[string][]record.Record

func (m produced) add(b *task.Batch) {
	for _, outputs := range [][]record.Output{b.Changelog, b.Output, b.DeadLetters, b.Journal} {
		for _, o := range outputs {
			if m[o.TopicPartition] == nil {
				m[o.TopicPartition] = map[string][]record.Record{}
			}
			m[o.TopicPartition][b.Task] = append(m[o.TopicPartition][b.Task], copied(o))
		}
	}
}

// compare compares with what a partition has, byte for byte. The order is that of the
// log where one task alone writes to it; elsewhere it is theirs only.
func (m produced) compare(tb testing.TB, tp record.TopicPartition, log []record.Record) {
	tb.Helper()
	var want, got []string
	for i := range log {
		want = append(want, text(&log[i]))
	}
	for _, records := range m[tp] {
		for i := range records {
			got = append(got, text(&records[i]))
		}
	}
	if len(m[tp]) > 1 {
		slices.Sort(want)
		slices.Sort(got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s-%d: the topic has (-), and the replay would produce (+)\n%s", tp.Topic, tp.Partition, diff)
	}
}

// text is everything of a record but its offset, and what a handler's error said: of
// one that passed, the journal knows where and when it was, not that.
func text(r *record.Record) string {
	said := []string{"__streams.errors.exception", "__streams.errors.message"}
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h record.Header) bool {
		return slices.Contains(said, string(h.Key))
	})
	return fmt.Sprintf("%d %q %q %q", r.Timestamp, r.Key, r.Value, headers)
}

func (d *Driver) replay(r *running, made produced) {
	d.tb.Helper()
	again, err := task.NewReplay(r.plan, r.partition, task.Options{
		Partitions: func(string) int32 { return int32(d.options.Partitions) },
	}, func(source int, from, to int64) ([]record.Record, error) {
		return d.log(r.plan.Sources[source], r.partition)[from:to], nil
	})
	if err != nil {
		d.tb.Fatal(err)
	}
	for _, rec := range d.log(r.plan.Journal, r.partition) {
		j, err := task.DecodeJournal(rec.Value)
		var b *task.Batch
		if err == nil {
			b, err = again.Commit(j)
		}
		if err != nil {
			d.tb.Fatal(err)
		}
		if b != nil {
			made.add(b)
		}
	}
	live := statestore.NewMemory()
	for i, c := range r.plan.Changelogs {
		log := d.log(c.Topic, r.partition)
		if err := r.plan.Restore(live, i, r.partition, log, int64(len(log))); err != nil {
			d.tb.Fatal(err)
		}
	}
	want, got := rows(live), rows(again.Backend())
	for key, row := range want {
		if !bytes.Equal(got[key], row) {
			d.tb.Errorf("%s: row %q: the replay has %q, the topics have %q", r.task.Name(), key, got[key], row)
		}
	}
	for key, row := range got {
		if want[key] == nil {
			d.tb.Errorf("%s: row %q: the replay has %q, the topics have none", r.task.Name(), key, row)
		}
	}
	for i, c := range again.Dispositions() {
		if live := r.task.Dispositions()[i]; c != live {
			d.tb.Errorf("%s: dispositions: the replay has %+v, the task %+v", r.task.Name(), c, live)
		}
	}
}

func rows(b statestore.Backend) map[string][]byte {
	m := map[string][]byte{}
	_ = b.Scan(nil, func(key, row []byte) error {
		m[string(key)] = append([]byte{}, row...)
		return nil
	})
	return m
}
