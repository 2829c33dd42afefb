package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/runner/internal/meta"
	"github.com/streamrun/streamrun/topology/serde"
)

// versioned is a serde of strings under another name.
type versioned struct{ serde.Serde[string] }

func (versioned) SerdeName() string { return "string/v2" }

// contracted is a topology whose events have a contract, and a store beside it.
func contracted(t testing.TB, c policies.Contract, store string, value serde.Serde[string]) *topology.Topology {
	t.Helper()
	return renamed(t, "in-order", "", c, store, value)
}

// renamed is contracted with an order of another name, that was another one.
func renamed(t testing.TB, name, was string, c policies.Contract, store string, value serde.Serde[string]) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	c.EventsFor, c.OrderBy = "a key", policies.BySequence
	if c.Because == "" {
		c.Because = "values are appended"
	}
	events := reorder.InOrder(topology.Source(b, "events", str), name, c, reorder.Options[string, string]{
		Was: was,
		Metadata: func(r topology.Record[string, string], m *policies.Metadata) error {
			m.HasSequence, m.Sequence = true, r.Timestamp
			return nil
		},
	})
	table := processors.Aggregate(events, statestore.KeyValue(store, serde.Of(serde.String(), value)), func(_, value, state string) (string, error) {
		return state + value, nil
	})
	topology.SinkTable(table, "table")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// once runs the topology until something is committed, or until it is refused.
func (x *bench) once(topo *topology.Topology) error {
	x.Helper()
	x.topology = topo
	p := x.start(Config{}, nil)
	defer p.cancel()
	before := x.offsets()[at(0)].Offset
	next := max(before, 0)
	x.write([]record.Output{{TopicPartition: at(0), Timestamp: x.number(), Key: []byte("k"), Value: []byte("v")}})
	x.eventually("committed or refused", func() bool {
		select {
		case <-p.done:
			return true
		default:
			return x.offsets()[at(0)].Offset > next
		}
	})
	p.cancel()
	<-p.done
	x.must(p.cluster.Close())
	return p.err
}

// number gives the events that once writes their numbers.
func (x *bench) number() int64 {
	x.input[0]++
	return x.input[0]
}

func TestAChangedTopologyIsRefusedOrTaken(t *testing.T) {
	for _, c := range []struct {
		name string
		topo func(t *testing.T) *topology.Topology
		says []string // of the refusal; none: it is taken
	}{
		{"the same", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{}, "states", serde.String())
		}, nil},
		{"another because", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{Because: "of the sums"}, "states", serde.String())
		}, nil},
		{"a longer wait", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{MaxWait: 99 * time.Minute}, "states", serde.String())
		}, nil},
		{"another policy", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{OnTimeout: policies.OnTimeoutSkip}, "states", serde.String())
		}, []string{"app app: its topology was changed", `order "in-order": on_timeout was park and is skip`, "put it back as it was", "an app of another name"}},
		{"another serde", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{}, "states", versioned{serde.String()})
		}, []string{`store "states": value was string and is string/v2`}},
		{"a store renamed", func(t *testing.T) *topology.Topology {
			return contracted(t, policies.Contract{}, "totals", serde.String())
		}, []string{`store "states" is gone and "totals" is new`, "say there store: states"}},
		{"an order renamed", func(t *testing.T) *topology.Topology {
			return renamed(t, "sorted", "", policies.Contract{}, "states", serde.String())
		}, []string{`order "in-order" is gone and "sorted" is new`, "say there was: in-order"}},
		{"an order renamed, and said so", func(t *testing.T) *topology.Topology {
			return renamed(t, "sorted", "in-order", policies.Contract{}, "states", serde.String())
		}, nil},
		{"no order any more", concatOf, []string{`order "in-order" is gone`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 1, mem.Options{})
				x.must(x.once(contracted(t, policies.Contract{}, "states", serde.String())))
				before, journal := x.offsets(), x.records("app-in-order-journal")
				err := x.once(c.topo(t))
				if len(c.says) == 0 {
					x.must(err)
					return
				}
				if !errors.Is(err, ErrChanged) {
					t.Fatalf("ended with: %v", err)
				}
				for _, text := range c.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("does not say %q: %v", text, err)
					}
				}
				if diff := cmp.Diff(before, x.offsets()); diff != "" || len(x.records("app-in-order-journal")) != len(journal) {
					t.Errorf("something was committed:\n%s", diff)
				}
				// Nothing of the refused one is recorded: as it was, it goes on.
				x.must(x.once(contracted(t, policies.Contract{}, "states", serde.String())))
			})
		})
	}
}

func concatOf(t *testing.T) *topology.Topology { return concat(t) }

// A new store whose name comes first in the alphabet does not move the journal.
func TestASubTopologyKeepsTheNameThatWasRecordedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.must(x.once(contracted(t, policies.Contract{}, "states", serde.String())))
		b := topology.New(app)
		str := serde.Of(serde.String(), serde.String())
		events := reorder.InOrder(topology.Source(b, "events", str), "in-order", policies.Contract{EventsFor: "a key", Because: "values are appended", OrderBy: policies.BySequence},
			reorder.Options[string, string]{Metadata: func(r topology.Record[string, string], m *policies.Metadata) error {
				m.HasSequence, m.Sequence = true, r.Timestamp
				return nil
			}})
		appends := func(_, value, state string) (string, error) { return state + value, nil }
		topology.SinkTable(processors.Aggregate(events, statestore.KeyValue("states", str), appends), "table")
		processors.Aggregate(events, statestore.KeyValue("a-new-one", str), appends)
		topo, err := b.Build()
		x.must(err)
		x.must(x.once(topo))
		if n := len(x.records("app-in-order-journal")); n != 2 {
			t.Errorf("the journal has %d records, not 2", n)
		}
		found, err := x.admin.Describe(x.ctx, "app-a-new-one-journal", "app-a-new-one-changelog")
		x.must(err)
		if _, ok := found["app-a-new-one-journal"]; ok || len(found) != 1 {
			t.Errorf("there are %v", found)
		}
		if got := x.fold("app-a-new-one-changelog")["k"]; got != "v" {
			t.Errorf("the new store has %q", got)
		}
	})
}

// Many instances that start at once record one plan, once.
func TestInstancesThatStartTogetherRecordOnePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{MarkerDelay: 20 * time.Millisecond})
		x.feed(100, 7)
		var all []*process
		for range 5 {
			all = append(all, x.start(Config{}, nil))
		}
		x.drained()
		for _, p := range all {
			p.stop()
		}
		x.check()
		records := x.read(metaPartition(topology.Names{App: app}))
		generations, values, err := meta.Decode(records)
		g := generations[meta.Live]
		if len(values) != len(records) || len(g.Plans) != 1 || g.Plans[0].Name != "states" || len(g.Topics) != 3 || err != nil {
			t.Errorf("%d records, %+v, %v", len(records), g, err)
		}
	})
}

// Of two versions that do not go together and start at once on an app that is new,
// one runs and the other is refused.
func TestOfTwoVersionsThatStartTogetherOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{MarkerDelay: 20 * time.Millisecond})
		var all []*process
		for _, value := range []serde.Serde[string]{serde.String(), versioned{serde.String()}} {
			x.topology = contracted(t, policies.Contract{}, "states", value)
			all = append(all, x.start(Config{}, nil))
		}
		over := func(p *process) bool {
			select {
			case <-p.done:
				return true
			default:
				return false
			}
		}
		x.eventually("one is refused, one runs", func() bool {
			return slices.ContainsFunc(all, over) && slices.ContainsFunc(all, func(p *process) bool { return !over(p) && p.last().Phase == Running })
		})
		for _, p := range all {
			refused := over(p)
			p.cancel()
			<-p.done
			if refused != errors.Is(p.err, ErrChanged) || !refused && p.err != nil {
				t.Errorf("refused %v: %v", refused, p.err)
			}
			x.must(p.cluster.Close())
		}
		records := x.read(metaPartition(topology.Names{App: app}))
		generations, values, err := meta.Decode(records)
		if g := generations[meta.Live]; len(values) != len(records) || len(g.Plans) != 1 || len(g.Topics) != 4 || err != nil {
			t.Errorf("%d records, %+v, %v", len(records), g, err)
		}
	})
}

// Who dies while it records the plan leaves an open transaction, which the next
// start ends instead of waiting for it.
func TestAnOpenRecordingIsEndedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		names := topology.Names{App: app}
		x.must(x.admin.Create(x.ctx, kafka.Topic{Name: names.Meta(), Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact"}}))
		dead, err := x.cluster.Producer(kafka.ProducerOptions{TransactionalID: names.Meta(), TransactionTimeout: time.Minute})
		x.must(err)
		_, err = dead.Init(x.ctx)
		x.must(err)
		x.must(dead.Begin())
		x.must(dead.Produce(x.ctx, dead.Encode([]record.Output{{TopicPartition: metaPartition(names), Key: []byte("?"), Value: []byte("never committed")}})))
		x.feed(10, 3)
		began := time.Now()
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		p.stop()
		x.check()
	})
}

// An order that says what it was goes on with its state, again and again; one that was
// nothing that is recorded is refused.
func TestARenamedOrderGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.must(x.once(contracted(t, policies.Contract{}, "states", serde.String())))
		for range 2 {
			x.must(x.once(renamed(t, "sorted", "in-order", policies.Contract{}, "states", serde.String())))
		}
		// It waits for no number that was read before it was renamed, and adds to the value.
		rows := x.records("app-states-changelog")
		if last := rows[len(rows)-1]; len(rows) != 3 || string(last.Value) != "vvv" {
			t.Errorf("%d rows, the last %q", len(rows), last.Value)
		}
		if n := len(x.records("app-in-order-order")); n < 3 {
			t.Errorf("the order topic has %d rows", n)
		}
		err := x.once(renamed(t, "sorted", "unordered", policies.Contract{}, "states", serde.String()))
		if !errors.Is(err, ErrUnknownWas) || !strings.Contains(err.Error(), `"unordered"`) {
			t.Errorf("ended with: %v", err)
		}
	})
}
