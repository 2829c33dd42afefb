package topology_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
)

var (
	texts  = serde.Of(serde.String(), serde.String())
	counts = statestore.KeyValue("counts", serde.Of(serde.String(), serde.Int64()))
)

func count(_, _ string, n int64) (int64, error) { return n + 1, nil }

func TestBuildReturnsEveryErrorWithItsNodeAndPlace(t *testing.T) {
	t.Parallel()
	b := topology.New("my app")
	s := topology.Source(b, "lines", texts)
	topology.Source(b, "lines", texts, "other")
	topology.Source(b, "idle", texts)
	tab := processors.Aggregate(s, counts, count)
	topology.SinkTable(tab, "out put")
	topology.Sink(s, "lines", texts)
	_, err := b.Build()
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`topology: app: the name "my app" has ' '`,
		`topology/build_test.go:26: topology: Source "lines": the name is taken by the Source at topology/build_test.go:25`,
		`topology/build_test.go:27: topology: Source "idle": nothing reads the stream`,
		`topology/build_test.go:29: topology: SinkTable "counts.table": topic: the name "out put" has ' '`,
		`topology/build_test.go:25: topology: Source "lines": topic "lines" is written by "lines.sink" of the same topology`,
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("no %q in:\n%v", w, err)
		}
	}
	var e *topology.Error
	if !errors.As(err, &e) {
		t.Error("no *topology.Error among them")
	}
}

func TestBuildWithoutASourceSaysSo(t *testing.T) {
	t.Parallel()
	if _, err := topology.New("app").Build(); err == nil || !strings.Contains(err.Error(), "no source") {
		t.Errorf("got %v", err)
	}
}

func TestNodesThatShareAStoreShareATask(t *testing.T) {
	t.Parallel()
	b := topology.New("app")
	for _, name := range []string{"a", "b"} {
		topology.Sink(topology.Process(topology.Source(b, name, texts), "count-"+name,
			func(ctx topology.Context) (topology.Processor[string, string, string, string], error) {
				_, err := counts.In(ctx)
				return nil, err
			}, counts), "out-"+name, texts)
	}
	topology.Sink(topology.Source(b, "c", texts), "out-c", texts)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	subs := topo.Describe().Subs
	if len(subs) != 2 || subs[0].Name != "counts" || len(subs[0].Nodes) != 6 || subs[1].Name != "c" {
		t.Errorf("sub-topologies %+v", subs)
	}
}

func TestAnOrderBehindStateOrANewKeyIsRefused(t *testing.T) {
	t.Parallel()
	order := func(s *topology.Stream[string, string], name string) {
		topology.Sink(topology.Ordered(s, topology.OrderSpec[string, string]{
			Name: name, Order: noOrder{}, Contract: policies.Contract{EventsFor: "X", Because: "Y"},
		}), "out-"+name, texts)
	}
	b := topology.New("app")
	rekeyed := processors.Map(topology.Source(b, "a", texts), func(k, v string) (string, string, error) { return v, k, nil })
	order(rekeyed, "o1")
	counted := processors.Aggregate(topology.Source(b, "b", texts), counts, count)
	order(processors.MapValues(counted.ToStream(), func(int64) string { return "" }), "o2")
	c := topology.Source(b, "c", texts)
	order(c, "o3")
	topology.Sink(c, "beside", texts)
	_, err := b.Build()
	for _, w := range []string{`"a.map" before it changes the key`, `"counts" before it has a store`, `source "c" has other readers`} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("no %q in:\n%v", w, err)
		}
	}
}

// noOrder is an order that Build looks at and nothing drives.
type noOrder struct{ topology.Order }

func (noOrder) Contract() policies.Contract { return policies.Contract{} }
