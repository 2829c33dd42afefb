package runner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/serde"
)

// cutter is a process that dies in the middle of a Produce, when some of its outputs
// are in the log.
type cutter struct {
	kafka.Cluster
	at, keep int // the Produce, and how many of its outputs stay
	calls    int
	kill     func()
	cut      bool
}

func (c *cutter) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := c.Cluster.Producer(opts)
	return &cutProducer{p, c}, err
}

type cutProducer struct {
	kafka.Producer
	cutter *cutter
}

// Encode keeps the outputs as they are.
func (p *cutProducer) Encode(each ...[]record.Output) kafka.Encoding {
	return uncut{p.Producer.Encode(each...), slices.Concat(each...)}
}

type uncut struct {
	kafka.Encoding
	outputs []record.Output
}

func (p *cutProducer) Produce(ctx context.Context, e kafka.Encoding) error {
	c, outputs := p.cutter, e.(uncut).outputs
	if c.calls++; c.calls != c.at {
		return p.Producer.Produce(ctx, e.(uncut).Encoding)
	}
	// One by one: so every first part of what goes to a partition may be the last
	// that is there.
	for _, o := range outputs[:min(c.keep, len(outputs))] {
		if err := p.Producer.Produce(ctx, p.Producer.Encode([]record.Output{o})); err != nil {
			return err
		}
	}
	c.cut = true
	c.kill()
	return p.Producer.Produce(ctx, p.Producer.Encode(outputs))
}

// held is concat behind an order that lets events wait and dead-letters those that
// are poison.
func held(t *testing.T) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	events := reorder.InOrder(topology.Source(b, "events", str), "order", policies.Contract{
		EventsFor: "a key", Because: "the test says so", MaxHeld: 100,
		Class: policies.Class{Poison: policies.PoisonSkip},
	}, reorder.Options[string, string]{
		Metadata: func(r topology.Record[string, string], m *policies.Metadata) error {
			m.Entity, m.HasSequence = r.Key, true
			_, err := fmt.Sscanf(r.Value, "%d,", &m.Sequence)
			m.ID = r.Value
			return err
		},
	})
	table := processors.Aggregate(events, statestore.KeyValue("states", str), func(_, value, state string) (string, error) {
		if strings.HasPrefix(value, "7") {
			return "", fmt.Errorf("seven")
		}
		return state + value, nil
	})
	topology.SinkTable(table, "table")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// shuffled are the numbers 1 to n of some keys, displaced and some of them twice.
func shuffled(rnd *rand.Rand, keys []string, n int) (outputs []record.Output) {
	for _, key := range keys {
		type place struct {
			value string
			at    float64
		}
		var places []place
		for i := 1; i <= n; i++ {
			for range 1 + rnd.IntN(5)/4 {
				places = append(places, place{fmt.Sprintf("%d,", i), float64(i) + 6*rnd.Float64()})
			}
		}
		slices.SortFunc(places, func(a, b place) int {
			if a.at < b.at {
				return -1
			}
			return 1
		})
		for _, p := range places {
			outputs = append(outputs, record.Output{TopicPartition: at(0), Timestamp: 1, Key: []byte(key), Value: []byte(p.value)})
		}
	}
	rnd.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return outputs
}

// A process without transactions that dies anywhere in a phase leaves a state from
// which every event takes effect, for the first time in order.
func TestAtLeastOnceSurvivesACutAnywhere(t *testing.T) {
	keys := []string{"a", "b", "c"}
	cuts := 0
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 5))
				x := newBench(t, 1, mem.Options{Seed: seed})
				x.topology = held(t)
				outputs := shuffled(rnd, keys, 20)
				feed := func(part []record.Output) {
					for _, o := range part {
						x.input[0]++
						x.write([]record.Output{o})
					}
				}
				half := len(outputs) / 2
				feed(outputs[:half])
				died := make(chan struct{})
				var cut *cutter
				cfg := Config{Instance: "a", Workers: 1, Guarantee: AtLeastOnce}
				p := x.start(cfg, func(c kafka.Cluster) kafka.Cluster {
					cut = &cutter{Cluster: c, at: 1 + rnd.IntN(9), keep: rnd.IntN(30), kill: sync.OnceFunc(func() { c.Close(); close(died) })}
					return cut
				})
				dead := func() bool {
					select {
					case <-died:
						return true
					default:
						return false
					}
				}
				x.eventually("killed, or through", func() bool { return dead() || x.consumed() })
				feed(outputs[half:])
				x.eventually("killed, or through", func() bool { return dead() || x.consumed() })
				if dead() {
					cuts++
					p.kill()
					p = x.start(cfg, nil)
					x.eventually("through", x.consumed)
				}
				p.stop()
				table := x.fold("table")
				for _, key := range keys {
					var firsts []string
					for v := range strings.SplitAfterSeq(table[key], ",") {
						if v != "" && !slices.Contains(firsts, v) {
							firsts = append(firsts, v)
						}
					}
					var want []string
					for i := 1; i <= 20; i++ {
						if i != 7 {
							want = append(want, fmt.Sprintf("%d,", i))
						}
					}
					if !slices.Equal(firsts, want) {
						t.Errorf("cut at %d, %d kept: %s: %q", cut.at, cut.keep, key, table[key])
					}
				}
				letters := map[string]bool{}
				for _, r := range x.records(app + "-order-dlq") {
					letters[string(r.Key)] = true
				}
				if len(letters) != len(keys) {
					t.Errorf("letters of %v", letters)
				}
			})
		})
	}
	if cuts < 100 {
		t.Errorf("it was cut %d times", cuts)
	}
}

// consumed reports whether the offset of the first partition is at its end.
func (x *bench) consumed() bool {
	x.Helper()
	marks, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{at(0)})
	x.must(err)
	return x.offsets()[at(0)].Offset == marks[at(0)].HighWater
}
