package topologytest_test

import (
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
	"github.com/streamrun/streamrun/topology/topologytest"
)

// What no store can keep is a letter of its event: the task goes on.
func TestWhatIsTooLargeToKeepIsALetter(t *testing.T) {
	t.Parallel()
	sd := serde.Of(serde.String(), serde.String())
	states, sizes := statestore.KeyValue("states", sd), statestore.KeyValue("sizes", sd)
	b := topology.New("app")
	in := reorder.InOrder(topology.Source(b, "events", sd), "in-order", policies.Contract{
		EventsFor: "an entity", Because: "the test says so", Class: policies.Class{Poison: policies.PoisonSkip},
	}, reorder.Options[string, string]{
		Metadata: func(r topology.Record[string, string], m *policies.Metadata) error {
			m.HasSequence, m.Sequence = true, int64(r.Value[0]-'0')
			return nil
		},
	})
	grown := topology.Update(in, "grow", states, func(_ topology.Context, st *statestore.Store[string, string], r topology.Record[string, string], emit func(topology.Record[string, string])) error {
		err := st.Put(r.Key, r.Value[1:])
		emit(r)
		return err
	})
	measured := topology.Update(grown, "measure", sizes, func(_ topology.Context, st *statestore.Store[string, string], r topology.Record[string, string], _ func(topology.Record[string, string])) error {
		return st.Put(r.Key, strings.Repeat("#", len(r.Value)/2))
	})
	topology.SinkTable(topology.TableOf(measured, sizes), "sizes")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := topologytest.New(t, topo, topologytest.Options{})
	events := topologytest.Input(d, "events", sd)
	events.Send("A", "1small")
	events.Send("A", "2"+strings.Repeat("x", 1_000_000)) // the first value alone
	events.Send("A", "3"+strings.Repeat("x", 700_000))   // both together
	events.Send("A", "4"+strings.Repeat("x", 600_000))
	events.Send(strings.Repeat("k", 60_000), "1")
	var got []string
	for _, l := range topologytest.Letters(d, "app-in-order-dlq") {
		got = append(got, string(l.Reason)+" "+l.Message)
	}
	want := []string{
		`poison store states: the values under key "A" would be 1000003 bytes`, // with the size of small beside it
		`poison store sizes: the values under key "A" would be 1050000 bytes`,
		"invalid_metadata a key of 60000 bytes",
	}
	for i, w := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], w) {
			t.Fatalf("letters %q, want %q", got, want)
		}
	}
	if c := d.Dispositions("events"); c.Applied != 2 || c.DeadLettered != 3 {
		t.Errorf("dispositions %+v", c)
	}
	if n := len(topologytest.Store(d, "app", states)["A"]); n != 600_000 {
		t.Errorf("the state has %d bytes: that of an event that failed stayed", n)
	}
}
