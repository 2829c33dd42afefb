package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// damaged is a cluster on which the batch at an offset of the input cannot be decoded.
type damaged struct {
	kafka.Cluster
	at   int64
	next int64
}

func (d *damaged) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := d.Cluster.Fetcher(opts)
	return &damagedFetcher{f, d}, err
}

type damagedFetcher struct {
	kafka.Fetcher
	d *damaged
}

// Fetch cuts what is read off at the batch, and names it where it comes first.
func (f *damagedFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	got, err := f.Fetcher.Fetch(ctx, positions)
	for i := range got {
		g := &got[i]
		if g.Topic != "events" {
			continue
		}
		for _, p := range positions {
			if p.TopicPartition == g.TopicPartition && p.Offset >= f.d.at && p.Offset < f.d.next {
				*g = kafka.Fetched{TopicPartition: g.TopicPartition, Next: p.Offset, Err: &kafka.UndecodableError{
					TopicPartition: g.TopicPartition, Offset: p.Offset, Next: f.d.next, Err: errors.New("broken"),
				}}
			}
		}
		for j, r := range g.Records {
			if r.Offset >= f.d.at && r.Offset < f.d.next {
				g.Records, g.Next = g.Records[:j], f.d.at
				break
			}
		}
	}
	return got, err
}

// skipping is concat whose source passes over batches that cannot be decoded.
func skipping(t *testing.T, p topology.BatchPolicy) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	events := topology.OnUndecodableBatch(topology.Source(b, "events", str), p)
	table := processors.Aggregate(events, statestore.KeyValue("states", str), func(_, value, state string) (string, error) {
		return state + value, nil
	})
	topology.Sink(table.ToStream(), "updates", str)
	topology.SinkTable(table, "table")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func TestABatchThatCannotBeDecodedStopsTheAppOrIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		// So much stands before the batch that some of it waits for a commit when the
		// batch is met.
		const before, broken, behind, keys = 2*maxRecords + 1000, 4, 10, 500
		const first, next = before + 1, before + 1 + broken // there is a marker between them
		for _, n := range []int{before, broken, behind} {
			x.feed(n, keys)
		}
		bad := func(c kafka.Cluster) kafka.Cluster { return &damaged{c, first, next} }

		x.topology = skipping(t, topology.BatchStop)
		p := x.start(Config{Instance: "a"}, bad)
		p.ended()
		var batch *kafka.UndecodableError
		if !errors.As(p.err, &batch) || batch.Offset != first || !strings.Contains(p.err.Error(), fmt.Sprint("events-0@", first)) || !strings.Contains(p.err.Error(), "undecodable_batch: skip") {
			t.Fatalf("ended with: %v", p.err)
		}

		x.topology = skipping(t, topology.BatchSkip)
		// The answer to the first commit takes long, so that input waits; the next commit
		// is lost: the batch is met and skipped once more.
		for _, outcome := range []mem.Outcome{mem.LostApplied, mem.LostNever} {
			x.broker.Inject(mem.Fault{Request: mem.EndTxn, Outcome: outcome, Times: 1})
		}
		p = x.start(Config{Instance: "a"}, bad)
		x.eventually("everything else is read", func() bool { return x.offsets()[at(0)].Offset > next+behind })
		p.stop()
		m, err := task.ParseMetadata(x.offsets()[at(0)].Metadata)
		x.must(err)
		if m.Counts.Skipped != broken || m.Counts.Delivered != before+behind || m.Counts.Applied != before+behind {
			t.Errorf("counts %+v", m.Counts)
		}
		if moves := x.moves(0); len(moves) != 1 || moves[0].Kind != task.StepSkip || moves[0].Slices[0] != (task.Slice{From: first, To: next}) {
			t.Errorf("the journal has the moves %+v", moves)
		}
		x.foldsAgain(0)
		var want string
		for i := range before + broken + behind {
			if i%keys == 0 && (i < before || i >= before+broken) {
				want += fmt.Sprintf("%d,", i)
			}
		}
		if got := x.fold("app-states-changelog")["key-0"]; got != want {
			t.Errorf("key-0 has %d bytes that end in %s, not %d", len(got), got[max(0, len(got)-100):], len(want))
		}
	})
}

// A batch whose end is not known is not passed over: nobody knows how much more
// would be.
func TestABatchWithoutAnEndIsNotSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.topology = skipping(t, topology.BatchSkip)
		x.feed(10, 3)
		p := x.start(Config{Instance: "a"}, func(c kafka.Cluster) kafka.Cluster { return &endless{c} })
		p.ended()
		var batch *kafka.UndecodableError
		if !errors.As(p.err, &batch) {
			t.Errorf("ended with: %v", p.err)
		}
	})
}

// endless is a cluster whose input cannot be decoded and has batches without an end.
type endless struct{ kafka.Cluster }

func (e *endless) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := e.Cluster.Fetcher(opts)
	return &endlessFetcher{f}, err
}

type endlessFetcher struct{ kafka.Fetcher }

func (f *endlessFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	for _, p := range positions {
		if p.TopicPartition == (record.TopicPartition{Topic: "events"}) {
			return []kafka.Fetched{{TopicPartition: p.TopicPartition, Next: p.Offset, Err: &kafka.UndecodableError{TopicPartition: p.TopicPartition, Offset: p.Offset, Err: errors.New("broken")}}}, nil
		}
	}
	return f.Fetcher.Fetch(ctx, positions)
}

func TestWhatStandsBeforeASkippedBatchIsConsumedFirst(t *testing.T) {
	o := &owned{
		plan: task.Plans(skipping(t, topology.BatchSkip))[0], backend: statestore.NewMemory(), partitions: func(string) int32 { return 1 },
		begin: []int64{0}, committed: []kafka.CommittedOffset{{TopicPartition: at(0), Offset: -1}},
	}
	if err := o.open(1); err != nil {
		t.Fatal(err)
	}
	o.more = false
	s := &o.sources[0]
	s.take(&kafka.Fetched{Records: []record.Record{{Key: []byte("k"), Value: []byte("v")}}, Next: 2, LastStable: 9})
	s.broken = 5
	for _, want := range []struct{ position, next, broken int64 }{{2, 2, 5}, {5, 5, 0}} {
		if what, _, _, err := o.step(1, 1); what != changed || err != nil {
			t.Fatalf("did %d, %v", what, err)
		}
		if p := o.task.Positions()[0]; p != want.position || s.next != want.next || s.broken != want.broken {
			t.Errorf("position %d, next %d, broken %d; want %+v", p, s.next, s.broken, want)
		}
	}
}
