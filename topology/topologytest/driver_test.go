package topologytest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
	"github.com/streamrun/streamrun/topology/topologytest"
)

func words() (serde.KV[string, string], statestore.KeyValueSpec[string, int64]) {
	return serde.Of(serde.String(), serde.String()), statestore.KeyValue("counts", serde.Of(serde.String(), serde.Int64()))
}

func counting(tb testing.TB) *topology.Topology {
	tb.Helper()
	texts, counts := words()
	b := topology.New("app")
	lines := processors.Filter(topology.Source(b, "lines", texts), func(_, v string) bool { return v != "skip" })
	table := processors.Aggregate(lines, counts, func(_, _ string, n int64) (int64, error) { return n + 1, nil })
	topology.SinkTable(table, "table")
	topology.Sink(processors.MapValues(table.ToStream(), func(n int64) string { return string(rune('0' + n)) }), "updates", texts)
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return topo
}

func TestCountsSurviveEveryCrash(t *testing.T) {
	t.Parallel()
	texts, counts := words()
	for _, crash := range []topologytest.CrashPoint{0, topologytest.BeforeCommit, topologytest.AfterCommit, topologytest.LoseState} {
		d := topologytest.New(t, counting(t), topologytest.Options{Partitions: 3})
		in := topologytest.Input(d, "lines", texts)
		updates := topologytest.Output(d, "updates", texts)
		n := 0
		for range 3 {
			for _, key := range []string{"a", "b", "c", "a", "d"} {
				d.CrashNext(crash)
				in.Send(key, "x")
				n += len(updates.Read())
			}
			in.Send("a", "skip")
			d.Restart()
		}
		want := map[string]int64{"a": 6, "b": 3, "c": 3, "d": 3}
		if diff := cmp.Diff(want, topologytest.Store(d, "app", counts)); diff != "" {
			t.Errorf("crash point %d: store: %s", crash, diff)
		}
		if diff := cmp.Diff(want, topologytest.Table(d, "table", counts.Serde())); diff != "" {
			t.Errorf("crash point %d: table: %s", crash, diff)
		}
		if n != 15 {
			t.Errorf("crash point %d: %d updates, want 15", crash, n)
		}
		if c := d.Dispositions("lines"); c.Delivered != 18 || c.Applied != 18 || !c.Balanced() {
			t.Errorf("crash point %d: dispositions %+v", crash, c)
		}
	}
}

func TestAFailedRecordLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	texts, counts := words()
	b := topology.New("app")
	failing := topology.Process(topology.Source(b, "lines", texts), "failing",
		func(ctx topology.Context) (topology.Processor[string, string, string, string], error) {
			store, err := counts.In(ctx)
			if err != nil {
				return nil, err
			}
			return topology.ProcessorFunc[string, string, string, string](
				func(_ topology.Context, r topology.Record[string, string], emit func(topology.Record[string, string])) error {
					if err := store.Put(r.Key, int64(len(r.Value))); err != nil {
						return err
					}
					emit(r)
					if r.Value == "bad" {
						return errors.New("no")
					}
					return nil
				}), nil
		}, counts)
	topology.Sink(failing, "out", texts)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	tb := &fatal{TB: t}
	d := topologytest.New(tb, topo, topologytest.Options{})
	in := topologytest.Input(d, "lines", texts)
	in.Send("a", "good")
	if !tb.fails(func() { in.Send("a", "bad") }) {
		t.Fatal("a failure outside any contract does not stop the task")
	}
	const want = `task counts_0: lines-0@1: node "failing": no; fix the handler or the record and start again, or put the events in order behind a contract that dead-letters them`
	if tb.text != want {
		t.Errorf("got  %s\nwant %s", tb.text, want)
	}
	if got := topologytest.Store(d, "app", counts)["a"]; got != 4 {
		t.Errorf("the store has %d, want 4", got)
	}
	if got := len(topologytest.Output(d, "out", texts).Read()); got != 1 {
		t.Errorf("%d records out, want 1", got)
	}
}

// fatal is a testing.TB whose Fatal can be looked at.
type fatal struct {
	testing.TB
	text string
}

func (f *fatal) Fatal(args ...any) {
	f.text = args[0].(error).Error()
	panic(f)
}

func (f *fatal) fails(run func()) (failed bool) {
	defer func() {
		if r := recover(); r != nil {
			failed = r == any(f)
		}
	}()
	run()
	return false
}
