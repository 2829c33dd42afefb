package topologytest

import (
	"bytes"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// CheckReplay folds every task again from its inputs and its journal alone, and
// fails the test where rows or dispositions are not those that the topics hold.
func (d *Driver) CheckReplay() {
	d.tb.Helper()
	for _, r := range d.tasks {
		d.replay(r)
	}
}

func (d *Driver) replay(r *running) {
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
		if err == nil {
			err = again.Commit(j)
		}
		if err != nil {
			d.tb.Fatal(err)
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
