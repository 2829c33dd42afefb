package runner

import (
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/serde"
)

// inOrder is a topology whose values are the sequence numbers of their keys; those
// of the key "odd" are of another entity.
func inOrder(t testing.TB) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	c := policies.Contract{EventsFor: "an entity", Because: "the test says so", MaxWait: time.Minute}
	events := reorder.InOrder(topology.Source(b, "events", str), "in-order", c, reorder.Options[string, string]{
		Metadata: func(r topology.Record[string, string], m *policies.Metadata) error {
			n, err := strconv.ParseInt(r.Value, 10, 64)
			if err != nil {
				return err
			}
			m.HasSequence, m.Sequence, m.ID = true, n, r.Key+"-"+r.Value
			if r.Key == "odd" {
				m.Entity = "even"
			}
			return nil
		},
	})
	topology.Sink(events, "updates", str)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func TestMetricsOfAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.topology = inOrder(t)
		r, stop := x.observed(Config{Instance: "a", Workers: 1})
		x.ready(r)
		var outputs []record.Output
		for _, e := range [][2]string{{"a", "1"}, {"a", "3"}, {"a", "4"}, {"a", "1"}, {"odd", "1"}, {"b", "?"}} {
			x.add(&outputs, e[0], e[1])
		}
		x.write(outputs)
		x.drained()
		<-time.After(10 * time.Second)
		for series, want := range map[string]string{
			`gaps_open{app="app",task="in-order_0"}`:                                                             "1",
			`records_held{app="app",partition="0",topic="events"}`:                                               "2",
			`disposition_total{app="app",disposition="applied",partition="0",reason="",topic="events"}`:          "2",
			`disposition_total{app="app",disposition="dropped",partition="0",reason="duplicate",topic="events"}`: "1",
			`letters_unresolved{app="app",partition="0",topic="events"}`:                                         "1",
			`dlq_records_total{app="app",reason="invalid_metadata",rule="-",task="in-order_0"}`:                  "1",
			`stray_records_total{app="app",reason="wrong_key",task="in-order_0"}`:                                "1",
			`decisions_total{app="app",disposition="applied",rule="R9",task="in-order_0"}`:                       "2",
			`decisions_total{app="app",disposition="held",rule="R10",task="in-order_0"}`:                         "2",
			`decisions_total{app="app",disposition="dropped",rule="R3",task="in-order_0"}`:                       "1",
			`decisions_total{app="app",disposition="dead_lettered",rule="-",task="in-order_0"}`:                  "1",
			`stray_records_total{app="app",reason="wrong_partition",task="in-order_0"}`:                          "0",
		} {
			if got := metric(t, r, series); got != want {
				t.Errorf("%s is %s, want %s", series, got, want)
			}
		}
		if s, err := strconv.ParseFloat(metric(t, r, `gap_oldest_seconds{app="app",task="in-order_0"}`), 64); err != nil || s < 9 || s > 12 {
			t.Errorf("the oldest gap is %v seconds old, %v", s, err)
		}
		stop()
	})
}

// One line for each commit that dead-letters, with the first of its letters.
func TestALetterIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.topology = inOrder(t)
		log := &lines{}
		_, stop := x.observed(Config{Instance: "a", Workers: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
		var outputs []record.Output
		for _, e := range [][2]string{{"a", "1"}, {"b", "?"}, {"c", "!"}} {
			x.add(&outputs, e[0], e[1])
		}
		x.write(outputs)
		x.drained()
		stop()
		want := `level=WARN msg="events are dead-lettered" .*task=in-order_0 letters=2 to=app-in-order-dlq first=events-0@1 node=in-order entity="" reason=invalid_metadata rule=- message=`
		if n := len(log.find("dead-lettered")); n != 1 || len(log.find(want)) != 1 {
			t.Errorf("%d lines, none like %s in\n%s", n, want, log.b.String())
		}
	})
}
