//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamrun/streamrun/integration/history"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
)

// changelogs are what the rows of one task are made from.
type changelogs struct{ order, store history.Log }

// compareStores compares directories with the changelogs, after a graceful stop: the one of
// each task at the instance that had it last must hold what they say. Another one may have
// stayed behind, but must not be wrong where it says that it stands at the end.
func (d *drill) compareStores(ctx context.Context) error {
	if d.store != string(runner.Badger) {
		return nil
	}
	app := judged(d.app(), int32(d.partitions))
	equal, rows, homeless := 0, 0, 0
	for p := range app.Partitions {
		origin, err := d.kafka.origin(ctx, &app, p)
		if err != nil {
			return err
		}
		logs, err := d.changelogs(ctx, &app, p)
		if err != nil {
			return err
		}
		task := topology.Task(storeName, p)
		last := d.fleet.last(task)
		switch last {
		case guest:
			homeless++
		case "":
			d.no("%s: no instance ever had it", task)
		}
		for i := range d.instances {
			name := fmt.Sprintf("i%d", i)
			dir := filepath.Join(d.fleet.home(name), topology.Names{App: d.app()}.TaskDir(storeName, p))
			n, err := compareDirectory(dir, origin, logs)
			switch {
			case err == nil && name == last:
				equal++
				rows += n
			case err != nil && (name == last || !errors.Is(err, errBehind)):
				d.no("the directory of %s at %s: %v", task, name, err)
			}
		}
	}
	fmt.Fprintf(d.out, "directories: %d of %d tasks equal their changelogs (%d rows)", equal, d.partitions, rows)
	if homeless > 0 {
		fmt.Fprintf(d.out, "; %d were last at an instance that has none", homeless)
	}
	fmt.Fprintln(d.out)
	return nil
}

// last returns the instance that had a task last; empty: none had it.
func (f *fleet) last(task string) (name string) {
	var at time.Time
	for _, p := range f.all {
		all, _ := p.restored()
		for _, r := range all {
			if r.Task == task && r.at.After(at) {
				name, at = p.name, r.at
			}
		}
	}
	return name
}

// origin returns what a start of the app would ask the rows of a task to be from; however
// old they are. The layout has the changelogs in the order of the parts of a row.
func (k *kafka) origin(ctx context.Context, app *history.App, partition int32) (badgerdb.Origin, error) {
	o := badgerdb.Origin{Layout: fmt.Sprintf("1 0:%s 1:%s", app.Order, app.Changelog)}
	q := kmsg.NewPtrMetadataRequest()
	for _, topic := range []string{app.Order, app.Changelog} {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		q.Topics = append(q.Topics, t)
	}
	a, err := q.RequestWith(ctx, k.client)
	if err != nil {
		return o, fmt.Errorf("torture: asking for the ids of the changelogs: %w", err)
	}
	if a.ClusterID != nil {
		o.Cluster = *a.ClusterID
	}
	for _, t := range a.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return o, fmt.Errorf("torture: asking for the ids of the changelogs: %w", err)
		}
		o.Changelogs = append(o.Changelogs, badgerdb.Changelog{Topic: *t.Topic, Partition: partition, ID: t.TopicID})
	}
	return o, nil
}

// changelogs reads those of a task.
func (d *drill) changelogs(ctx context.Context, app *history.App, partition int32) (*changelogs, error) {
	logs := &changelogs{}
	for topic, l := range map[string]*history.Log{app.Order: &logs.order, app.Changelog: &logs.store} {
		ends, err := d.reader.Settled(ctx, topic, app.Partitions)
		if err != nil {
			return nil, err
		}
		if *l, err = d.reader.Log(ctx, topic, partition, ends[partition]); err != nil {
			return nil, err
		}
	}
	return logs, nil
}

// errBehind is wrapped where a directory does not stand at the end of its changelogs, or is
// not one that a start would use.
var errBehind = errors.New("it does not stand at the end")

// compareDirectory compares all rows of a directory with its changelogs, and returns how
// many there are. Nobody has it open.
func compareDirectory(dir string, origin badgerdb.Origin, logs *changelogs) (rows int, err error) {
	if _, err := os.Stat(dir); err != nil {
		return 0, fmt.Errorf("%w: %w", errBehind, err)
	}
	db, err := badgerdb.Open(dir, badgerdb.Options{Origin: origin})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if why := db.Refused(); why != nil {
		return 0, fmt.Errorf("%w: it cannot be used: %w", errBehind, why)
	}
	for _, l := range []*history.Log{&logs.order, &logs.store} {
		if err := standsAtEnd(db.Positions(), l); err != nil {
			return 0, err
		}
	}
	return compareRows(db, logs.rows())
}

// standsAtEnd says whether positions leave out no committed record of a log. The end of the
// log may be further: what follows is of aborted transactions, or marks the end of one.
func standsAtEnd(positions []statestore.Position, l *history.Log) error {
	at := int64(0)
	for _, p := range positions {
		if p.Topic == l.Topic && p.Partition == l.Partition {
			at = p.Offset
		}
	}
	if n := len(l.Records); n > 0 && at <= l.Records[n-1].Offset {
		return fmt.Errorf("%w: it stands at %s-%d@%d, the last committed record is %d", errBehind, l.Topic, l.Partition, at, l.Records[n-1].Offset)
	}
	if at > l.End {
		return fmt.Errorf("it stands at %s-%d@%d, which ends at %d", l.Topic, l.Partition, at, l.End)
	}
	return nil
}

// compareRows returns how many rows there are, or the first key, in their order, at which
// they differ.
func compareRows(b statestore.Backend, want map[string][]byte) (rows int, err error) {
	keys := slices.Sorted(maps.Keys(want))
	err = b.Scan(nil, func(key, row []byte) error {
		switch {
		case len(keys) == 0 || string(key) < keys[0]:
			return fmt.Errorf("it has the row %q, and its changelogs have not", key)
		case string(key) > keys[0]:
			return fmt.Errorf("it lacks the row %q", keys[0])
		case !bytes.Equal(row, want[keys[0]]):
			return fmt.Errorf("its row %q is %q, its changelogs give %q", key, row, want[keys[0]])
		}
		keys = keys[1:]
		rows++
		return nil
	})
	if err == nil && len(keys) > 0 {
		err = fmt.Errorf("it lacks the row %q", keys[0])
	}
	return rows, err
}

// entityKey is the first byte of a key of the order topic that is about an entity.
const entityKey = 1

// rows folds the changelogs into the rows that package statestore draws: the last record of
// a key stands. The order row of an entity and its state are parts of one row, in this order.
func (c *changelogs) rows() map[string][]byte {
	rows, entities := map[string][]byte{}, map[string][][]byte{}
	set := func(entity []byte, part int, value []byte) {
		if entities[string(entity)] == nil {
			entities[string(entity)] = make([][]byte, 2)
		}
		entities[string(entity)][part] = value
	}
	for _, r := range c.order.Records {
		key := string(statestore.KindOrder) + string(r.Key)
		entity, is := bytes.CutPrefix(r.Key, []byte{entityKey})
		switch {
		case is:
			set(entity, 0, r.Value)
		case r.Value == nil:
			delete(rows, key)
		default:
			rows[key] = r.Value
		}
	}
	for _, r := range c.store.Records {
		set(r.Key, 1, r.Value)
	}
	for entity, parts := range entities {
		if row := statestore.AppendRow(nil, parts); row != nil {
			rows[string(statestore.KindSlot)+entity] = row
		}
	}
	return rows
}
