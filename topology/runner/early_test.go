package runner

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// ahead is a cluster whose producers have outputs encoded in three parts; they note each
// part that somebody asks for, and each encoding that is produced with all of them.
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
	if e.(*aheadEncoding).parts == 0 {
		p.notes.note("Produce what was encoded ahead")
	}
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
				if n := asked.count("Produce what was encoded ahead"); g == ExactlyOnce && n < 20 {
					t.Errorf("%d batches that were encoded ahead are produced", n)
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

// outputsOnly is a producer that notes the outputs that are produced, by their values.
type outputsOnly struct {
	kafka.Producer
	produced []string
	err      error // of the next Produce
}

type encodedOutputs []string

func (encodedOutputs) More() bool { return false }

func (p *outputsOnly) Encode(outputs ...[]record.Output) kafka.Encoding {
	var e encodedOutputs
	for _, o := range slices.Concat(outputs...) {
		e = append(e, string(o.Value))
	}
	return e
}

func (p *outputsOnly) Produce(_ context.Context, e kafka.Encoding) error {
	if err := p.err; err != nil {
		p.err = nil
		return err
	}
	p.produced = append(p.produced, e.(encodedOutputs)...)
	return nil
}

func (p *outputsOnly) Flush(context.Context) (map[record.TopicPartition]int64, error) {
	return nil, nil
}

// A transaction may have batches that were encoded ahead, and one of a task that is asked
// for, which was not: both are written, once, and nothing of it by the next one when it
// fails in between.
func TestATransactionOfWhichSomeIsEncodedAhead(t *testing.T) {
	batch := func(value string) *task.Batch {
		return &task.Batch{Output: []record.Output{{Value: []byte(value)}}, Journal: []record.Output{{Value: []byte("journal of " + value)}}}
	}
	p := &outputsOnly{}
	c := committer{run: &run{Runner: &Runner{cfg: Config{Guarantee: ExactlyOnce}}}, producer: p}
	send := func(ahead, other string) error {
		b := batch(ahead)
		e := &early{batches: []*task.Batch{b}, encoding: p.Encode(outputsOf(b)...)}
		tx := &transaction{parts: []part{{batch: b}}}
		if other != "" {
			tx.parts = append(tx.parts, part{batch: batch(other)})
		}
		tx.early = e.of(tx.parts)
		_, err := c.produce(t.Context(), tx)
		return err
	}
	p.err = errors.New("no answer")
	if send("a", "b") == nil {
		t.Error("an error of Produce is not told")
	}
	for _, parts := range [][2]string{{"c", ""}, {"d", "e"}} {
		if err := send(parts[0], parts[1]); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"c", "journal of c", "d", "journal of d", "e", "journal of e"}; !slices.Equal(p.produced, want) {
		t.Errorf("produced %q, want %q", p.produced, want)
	}
}
