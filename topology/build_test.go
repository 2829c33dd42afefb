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

// A topic that the app, a broker or another node has is refused, for each of the
// ways to name one.
func TestATopicHasOneOwner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, out, letters, want string }{
		{"in", "out", "letters", ""},
		{"in", "app-other-changelog", "app-other-journal", ""}, // nothing here has these names
		{"app.g2x-counts-changelog", "app.g1-counts-changelog", "app-order-dlq", ""},
		{"in", "in", "letters", `Source "a": topic "in" is written by "a.sink"`},
		{"in", "out", "in", `Source "a": topic "in" is written by "order"`},
		{"in", "out", "out", `InOrder "order": topic "out" is written by "a.sink" already; dead letters need a topic of their own`},
		{"app-counts-changelog", "out", "letters", `Source "a": topic "app-counts-changelog" is the changelog of store "counts"; take another name`},
		{"in", "app-order-order", "letters", `Sink "a.sink": topic "app-order-order" is where "order" keeps its order`},
		{"in", "out", "app-counts-journal", `InOrder "order": topic "app-counts-journal" is the journal of sub-topology "counts"`},
		{"in", "out", "app-counts-commands", `the commands of sub-topology "counts"`},
		{"in", "app-meta", "letters", "the app's meta topic"},
		{"in", "app.g12-counts-changelog", "letters", `the changelog of store "counts"`},
		{"__consumer_offsets", "out", "letters", "Kafka's own"},
		{"in", "out", "a letter", `InOrder "order": topic: the name "a letter" has ' '`},
	} {
		b := topology.New("app")
		s := topology.Source(b, "a", texts, c.in)
		topology.Sink(s, c.out, texts)
		ordered := topology.Ordered(topology.Source(b, "b", texts), topology.OrderSpec[string, string]{
			Name: "order", Order: noOrder{}, Contract: policies.Contract{EventsFor: "X", Because: "Y"}, DeadLetters: c.letters,
		})
		processors.Aggregate(ordered, counts, count)
		switch _, err := b.Build(); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s, %s, %s: got %v, want %q", c.in, c.out, c.letters, err, c.want)
		}
	}
}

// Two sub-topologies that would be called the same would share a journal.
func TestSubTopologiesHaveDifferentNames(t *testing.T) {
	t.Parallel()
	b := topology.New("app")
	processors.Aggregate(topology.Source(b, "a", texts), counts, count)
	topology.Sink(topology.Source(b, "counts", texts), "out", texts)
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), `Source "counts": its sub-topology and that of "a" would both be called "counts"`) {
		t.Error(err)
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
