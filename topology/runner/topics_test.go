package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// joined is a topology whose tasks read two topics.
func joined(t *testing.T) []*task.Plan {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	store := statestore.KeyValue("states", str)
	last := func(_, value, _ string) (string, error) { return value, nil }
	processors.Aggregate(topology.Source(b, "left", str), store, last)
	right := topology.Source(b, "right", str)
	topology.Process(right, "reader", func(ctx topology.Context) (topology.Processor[string, string, string, string], error) {
		_, err := store.In(ctx)
		return topology.ProcessorFunc[string, string, string, string](func(topology.Context, topology.Record[string, string], func(topology.Record[string, string])) error {
			return nil
		}), err
	}, store)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	plans := task.Plans(topo)
	if len(plans) != 1 {
		t.Fatalf("%d sub-topologies", len(plans))
	}
	return plans
}

func found(topics ...kafka.Topic) map[string]kafka.Topic {
	m := map[string]kafka.Topic{}
	for _, t := range topics {
		m[t.Name] = t
	}
	return m
}

func TestPlanTopics(t *testing.T) {
	one := task.Plans(concat(t))
	for _, c := range []struct {
		name   string
		plans  []*task.Plan
		found  map[string]kafka.Topic
		create map[string]string // cleanup by name
		errs   []string
	}{
		{
			name: "all missing but the source", plans: one, found: found(kafka.Topic{Name: "events", Partitions: 3}),
			create: map[string]string{"app-states-changelog": "compact", "app-states-journal": "delete", "updates": "delete", "table": "compact", "app-meta": "compact"},
		},
		{
			name: "public topics have any number", plans: one,
			found:  found(kafka.Topic{Name: "events", Partitions: 3}, kafka.Topic{Name: "updates", Partitions: 7}, kafka.Topic{Name: "table", Partitions: 1}),
			create: map[string]string{"app-states-changelog": "compact", "app-states-journal": "delete", "app-meta": "compact"},
		},
		{
			name: "internal topics have the task's", plans: one,
			found: found(kafka.Topic{Name: "events", Partitions: 3}, kafka.Topic{Name: "app-states-changelog", Partitions: 4}, kafka.Topic{Name: "app-states-journal", Partitions: 2}),
			errs: []string{
				"topic app-states-changelog has 4 partitions, but events has 3",
				"topic app-states-journal has 2 partitions, but events has 3",
			},
		},
		{name: "no source", plans: one, found: found(), errs: []string{"source topic events does not exist; create it"}},
		{
			name: "one of two sources", plans: joined(t), found: found(kafka.Topic{Name: "left", Partitions: 3}),
			errs: []string{"source topic right does not exist; create it with as many partitions as the others of sub-topology states (left has 3)"},
		},
		{
			name: "not co-partitioned", plans: joined(t), found: found(kafka.Topic{Name: "left", Partitions: 3}, kafka.Topic{Name: "right", Partitions: 4}),
			errs: []string{"different numbers of partitions (left has 3, right has 4)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			create, counts, err := planTopics(topology.Names{App: app}, c.plans, c.found)
			if len(c.errs) > 0 {
				if err == nil {
					t.Fatalf("no error; created %v", create)
				}
				for _, want := range c.errs {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error:\n%v\ndoes not say: %s", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, topic := range create {
				got[topic.Name] = topic.Configs["cleanup.policy"]
				if topic.Name == "app-meta" {
					if topic.Partitions != 1 {
						t.Errorf("%s: created with %d partitions", topic.Name, topic.Partitions)
					}
					continue
				}
				if topic.Partitions != 3 || counts[topic.Name] != 3 {
					t.Errorf("%s: created with %d partitions, counted as %d", topic.Name, topic.Partitions, counts[topic.Name])
				}
			}
			if diff := cmp.Diff(c.create, got); diff != "" {
				t.Errorf("created (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrongTopicsAreRefusedBeforeAnythingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "app-states-changelog", Partitions: 3}))
		x.feed(10, 2)
		p := x.start(Config{}, nil)
		p.ended()
		if p.err == nil || !strings.Contains(p.err.Error(), "app-states-changelog has 3 partitions") {
			t.Errorf("ended with: %v", p.err)
		}
		if s := p.last(); s.Phase != Failed || s.Reason == nil {
			t.Errorf("last state: %+v", s)
		}
	})
}

// An internal topic that was deleted is not made again, empty, under offsets that stand
// for what was in it; one that the app never had is.
func TestATopicThatHeldStateIsNotMadeAgain(t *testing.T) {
	for _, c := range []struct {
		gone []string
		says []string
	}{
		{[]string{"app-states-changelog"}, []string{"topic app-states-changelog does not exist any more, and holds what was made of events-0 up to offset ", "another name"}},
		{[]string{"app-states-journal"}, []string{"topic app-states-journal does not exist any more"}},
		{[]string{"app-states-changelog", "app-states-journal", "app-meta"}, []string{"topic app-states-changelog does not", "topic app-states-journal does not"}},
		{[]string{"table"}, nil}, // what others read
	} {
		t.Run(strings.Join(c.gone, " and "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				p := x.start(Config{}, nil)
				x.eventually("it runs", p.running(2))
				p.stop() // nothing was committed
				x.broker.Delete("app-states-changelog")
				p = x.start(Config{}, nil)
				x.feed(40, 5)
				x.drained()
				p.stop()
				for _, topic := range c.gone {
					x.broker.Delete(topic)
				}
				_, problems, _, err := CompareTopics(x.ctx, x.topology, x.cluster, nil)
				x.must(err)
				if (len(problems) == 0) != (len(c.says) == 0) {
					t.Errorf("compared: %v", problems)
				}
				x.feed(40, 5)
				p = x.start(Config{}, nil)
				if len(c.says) == 0 {
					x.drained()
					p.stop()
					return
				}
				p.ended()
				var wrong *TopicsError
				if !errors.As(p.err, &wrong) {
					t.Fatalf("it ended with %v", p.err)
				}
				for _, text := range c.says {
					if !strings.Contains(p.err.Error(), text) {
						t.Errorf("does not say %q: %v", text, p.err)
					}
				}
				there, err := x.admin.Describe(x.ctx, c.gone...)
				x.must(err)
				if len(there) != 0 {
					t.Errorf("it made %v", there)
				}
				x.must(p.cluster.Close())
			})
		})
	}
}

// A topic that was deleted and made again is told from the one before by its id: what is
// committed, or what state there is, would be taken for that of the new one.
func TestATopicThatWasMadeAgainIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name   string
		again  string
		before func(x *bench) // the next start
		says   string         // empty: it starts
		doubt  string
	}{
		{name: "empty changelog", again: "app-states-changelog", says: "topic app-states-changelog was deleted and made again, and is empty; the one before held what was made of events-0 up to offset "},
		{name: "empty journal", again: "app-states-journal", says: "topic app-states-journal was deleted and made again, and is empty"},
		{name: "source", again: "events", says: "topic events is not the one that the app has read: it was deleted and made again, and going on would skip what it has before offset "},
		{name: "source, offsets set", again: "events", before: func(x *bench) {
			x.move(kafka.CommittedOffset{TopicPartition: at(0)}, kafka.CommittedOffset{TopicPartition: at(1)})
		}},
		{name: "changelog with records", again: "app-states-changelog", before: func(x *bench) {
			x.write([]record.Output{{TopicPartition: record.TopicPartition{Topic: "app-states-changelog", Partition: 1}, Key: []byte("k"), Value: []byte("v")}})
		}, doubt: "topic app-states-changelog was deleted and made again: the records"},
		{name: "table", again: "table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				p := x.start(Config{}, nil)
				x.eventually("it runs", p.running(2))
				p.stop()
				x.broker.Remake(c.again) // nothing is committed, and nothing lost
				p = x.start(Config{}, nil)
				x.feed(40, 5)
				x.drained()
				p.stop()
				x.broker.Remake(c.again)
				if c.before != nil {
					c.before(x)
				}
				_, problems, doubted, err := CompareTopics(x.ctx, x.topology, x.cluster, nil)
				x.must(err)
				if (len(problems) == 0) != (c.says == "") || c.doubt != "" && !strings.Contains(fmt.Sprint(doubted), c.doubt) {
					t.Errorf("compared: %v, doubted: %v", problems, doubted)
				}
				p = x.start(Config{AcceptOffsets: true}, nil)
				if c.says == "" {
					x.eventually("it runs", p.running(2))
					p.stop()
					if _, _, doubted, err := CompareTopics(x.ctx, x.topology, x.cluster, nil); err != nil || strings.Contains(fmt.Sprint(doubted), "made again") {
						t.Errorf("once more: %v, %v", doubted, err)
					}
					return
				}
				p.ended()
				if wrong := (*TopicsError)(nil); !errors.As(p.err, &wrong) || !strings.Contains(p.err.Error(), c.says) {
					t.Errorf("it ended with %v", p.err)
				}
				x.must(p.cluster.Close())
			})
		})
	}
}

// lateAdmin is an Admin of an instance that looked for topics before another made them.
type lateAdmin struct {
	kafka.Admin
	exist map[string]kafka.Topic
}

func (a *lateAdmin) Committed(_ context.Context, _ string, parts []record.TopicPartition, _ bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	got := map[record.TopicPartition]kafka.CommittedOffset{}
	for _, tp := range parts {
		got[tp] = offset(tp.Partition, 7, 1, 1, 0)
	}
	return got, nil
}

func (a *lateAdmin) Describe(context.Context, ...string) (map[string]kafka.Topic, error) {
	return a.exist, nil
}

func TestATopicThatAnotherHasJustMadeIsNotLost(t *testing.T) {
	t.Parallel()
	plans := task.Plans(concat(t))
	create, _, err := planTopics(topology.Names{App: app}, plans, found(kafka.Topic{Name: "events", Partitions: 1}))
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]kafka.Topic{}
	for _, topic := range create {
		made[topic.Name] = topic
	}
	counts := map[string]int32{"events": 1}
	if err := lost(t.Context(), &lateAdmin{exist: made}, plans, nil, create, counts); err != nil {
		t.Errorf("all of them are there by now: %v", err)
	}
	delete(made, "app-states-changelog")
	if err := lost(t.Context(), &lateAdmin{exist: made}, plans, nil, create, counts); err == nil || !strings.Contains(err.Error(), "topic app-states-changelog does not exist any more") || strings.Contains(err.Error(), "journal") {
		t.Errorf("one of them is not: %v", err)
	}
}
