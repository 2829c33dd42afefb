//go:build linux

package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/integration/history"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/statestore/badgerdb"
)

func TestComparesADirectoryWithItsChangelogs(t *testing.T) {
	t.Parallel()
	origin := badgerdb.Origin{Cluster: "c", Layout: "l", Changelogs: []badgerdb.Changelog{{Topic: "order"}, {Topic: "store"}}}
	sampleLogs := func() *changelogs {
		log := func(topic string, records ...string) (l history.Log) {
			l.Topic = topic
			for _, r := range records {
				key, value, ok := strings.Cut(r, "=")
				rec := history.Record{Offset: l.End, Key: []byte(key)}
				if ok {
					rec.Value = []byte(value)
				}
				l.Records = append(l.Records, rec)
				l.End += 2 // each is followed by a marker
			}
			return l
		}
		return &changelogs{
			order: log("order", "\x01a=1", "\x01b=1", "\x03xb=held", "\x03xa=held", "\x01a=2", "\x03xa", "\x01gone=1", "\x01gone"),
			store: log("store", "a=A1", "gone=G", "a=A2", "only=O", "gone"),
		}
	}
	row := func(parts ...[]byte) []byte { return statestore.AppendRow(nil, parts) }
	for _, c := range []struct {
		what   string
		rows   map[string][]byte // instead of those that are right; nil: not there
		logs   func(*changelogs)
		origin func(*badgerdb.Origin)
		order  int64 // where it stands in it, if not at the end
		want   string
		behind bool
	}{
		{what: "equal"},
		{what: "another state", rows: map[string][]byte{"sa": row([]byte("2"), []byte("A1"))}, want: `its row "sa" is`},
		{what: "an older order row", rows: map[string][]byte{"sa": row([]byte("1"), []byte("A2"))}, want: `its row "sa" is`},
		{what: "another held row", rows: map[string][]byte{"o\x03xb": []byte("hold")}, want: `its row "o\x03xb" is`},
		{what: "no state", rows: map[string][]byte{"sonly": nil}, want: `it lacks the row "sonly"`},
		{what: "no held row", rows: map[string][]byte{"o\x03xb": nil}, want: `it lacks the row "o\x03xb"`},
		{what: "a state that is gone", rows: map[string][]byte{"sgone": row(nil, []byte("G"))}, want: `it has the row "sgone"`},
		{what: "a row behind all others", rows: map[string][]byte{"sz": row([]byte("1"))}, want: `it has the row "sz"`},
		{what: "a held row that is gone", rows: map[string][]byte{"o\x03xa": []byte("held")}, want: `it has the row "o\x03xa"`},
		{what: "the changelog says another value", logs: func(l *changelogs) { l.store.Records[3].Value = []byte("P") }, want: `its row "sonly" is`},
		{what: "the changelog lacks a record", logs: func(l *changelogs) { l.order.Records[1] = l.order.Records[0] }, want: `it has the row "sb"`},
		{what: "the changelog lacks a deletion", logs: func(l *changelogs) { l.store.Records = l.store.Records[:4] }, want: `it lacks the row "sgone"`},
		{what: "the changelog goes on", logs: func(l *changelogs) {
			l.store.Records = append(l.store.Records, history.Record{Offset: l.store.End, Key: []byte("a"), Value: []byte("A2")})
			l.store.End++
		}, want: "it stands at store-0@10, the last committed record is 10", behind: true},
		{what: "an aborted transaction follows", logs: func(l *changelogs) { l.store.End += 5 }},
		{what: "before the last order row", order: 14, want: "it stands at order-0@14, the last committed record is 14", behind: true},
		{what: "behind the last order row, before its marker", order: 15},
		{what: "ahead", order: 17, want: "it stands at order-0@17, which ends at 16"},
		{what: "another cluster", origin: func(o *badgerdb.Origin) { o.Cluster = "d" }, want: "it cannot be used: ", behind: true},
	} {
		logs, dir := sampleLogs(), t.TempDir()
		rows := map[string][]byte{
			"sa": row([]byte("2"), []byte("A2")), "sb": row([]byte("1")), "sonly": row(nil, []byte("O")), "o\x03xb": []byte("held"),
		}
		for key, r := range c.rows {
			if rows[key] = r; r == nil {
				delete(rows, key)
			}
		}
		var puts []statestore.Put
		for key, r := range rows {
			puts = append(puts, statestore.Put{Key: []byte(key), Row: r})
		}
		at := []statestore.Position{{Topic: "order", Offset: logs.order.End}, {Topic: "store", Offset: logs.store.End}}
		if c.order > 0 {
			at[0].Offset = c.order
		}
		db, err := badgerdb.Open(dir, badgerdb.Options{Origin: origin})
		if err == nil {
			err = errors.Join(db.Apply(puts, at), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.logs != nil {
			c.logs(logs)
		}
		wanted := origin
		if c.origin != nil {
			c.origin(&wanted)
		}
		n, err := compareDirectory(dir, wanted, logs)
		switch {
		case c.want == "" && (err != nil || n != 4):
			t.Errorf("%s: %d rows, %v", c.what, n, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, errBehind) != c.behind):
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
	if _, err := compareDirectory(filepath.Join(t.TempDir(), "lost"), origin, sampleLogs()); !errors.Is(err, errBehind) {
		t.Errorf("no directory: %v", err)
	}
}

func TestKnowsWhoHadATaskLast(t *testing.T) {
	t.Parallel()
	at := func(n int64, task string) restore { return restore{restored{Task: task}, time.Unix(n, 0)} }
	f := &fleet{all: []*process{
		{name: "i0", restores: []restore{at(1, "t_0"), at(5, "t_1")}},
		{name: "i1", restores: []restore{at(2, "t_1"), at(4, "t_0")}},
		{name: "i0", restores: []restore{at(3, "t_0")}},
	}}
	for task, want := range map[string]string{"t_0": "i1", "t_1": "i0", "t_2": ""} {
		if got := f.last(task); got != want {
			t.Errorf("%s: %q, want %q", task, got, want)
		}
	}
}
