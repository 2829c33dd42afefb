package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// ahead is a cluster whose producers have outputs encoded in three parts, and note when.
type ahead struct {
	kafka.Cluster
	notes *calls
}

type aheadProducer struct {
	kafka.Producer
	notes *calls
}

// An aheadEncoding is encoded by being asked for more often enough.
type aheadEncoding struct {
	kafka.Encoding
	notes *calls
	parts int
}

func (a *ahead) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := a.Cluster.Producer(opts)
	return &aheadProducer{p, a.notes}, err
}

func (p *aheadProducer) Encode(outputs ...[]record.Output) kafka.Encoding {
	return &aheadEncoding{p.Producer.Encode(outputs...), p.notes, 3}
}

func (p *aheadProducer) Produce(ctx context.Context, e kafka.Encoding) error {
	return p.Producer.Produce(ctx, e.(*aheadEncoding).Encoding)
}

func (e *aheadEncoding) More() bool {
	e.notes.note("More")
	e.parts--
	return e.parts > 0
}

// While a transaction has not ended, a worker whose batch is full encodes it, to its end
// if there is time, and then waits.
func TestAFullBatchIsEncodedWhileTheTransactionBeforeEnds(t *testing.T) {
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run(string(g), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				var asked calls
				p := x.start(Config{Workers: 1, Guarantee: g, full: 20}, func(c kafka.Cluster) kafka.Cluster {
					return &script{Cluster: &ahead{c, &asked}, before: asked.note, answer: func(call string, do func() error) error {
						if call == "Flush" {
							<-time.After(time.Second)
						}
						return do()
					}}
				})
				x.load(5 * time.Second)
				x.drained()
				p.stop()
				x.check()
				// 1,000 events are at most 50 full batches, each of three parts.
				if n := asked.count("More"); g == ExactlyOnce && (n < 60 || n > 150) || g == AtLeastOnce && n > 0 {
					t.Errorf("%d parts of batches were encoded ahead", n)
				}
			})
		})
	}
}

func TestWhatIsEncodedIsOfATransactionThatHasAllOfIt(t *testing.T) {
	a, b, c := &task.Batch{}, &task.Batch{}, &task.Batch{}
	e := &early{batches: []*task.Batch{a, b}, encoding: &aheadEncoding{}}
	for _, k := range []struct {
		name  string
		early *early
		parts []part
		is    bool
	}{
		{"all", e, []part{{batch: b}, {batch: a}}, true},
		{"all and another", e, []part{{batch: c}, {batch: b}, {batch: a}}, true},
		{"a task was lost", e, []part{{batch: b}, {batch: c}}, false},
		{"nothing is encoded", &early{batches: e.batches}, []part{{batch: b}, {batch: a}}, false},
		{"nothing was taken", nil, []part{{batch: a}}, false},
	} {
		if got := k.early.of(k.parts); (got != nil) != k.is || got.has(a) != k.is || got.has(c) {
			t.Errorf("%s: it is of the transaction: %v, want %v", k.name, got != nil, k.is)
		}
	}
}
