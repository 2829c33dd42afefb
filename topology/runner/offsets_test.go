package runner

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// move commits offsets from outside, as a tool does that knows no metadata.
func (x *bench) move(offsets ...kafka.CommittedOffset) {
	x.Helper()
	x.must(x.writer.Begin())
	x.must(x.writer.SendOffsets(x.ctx, app, kafka.Member{Generation: -1}, offsets))
	x.must(x.writer.End(x.ctx, true))
}

func TestOffsetsMovedFromOutsideAreRefusedOrAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		x.feed(60, 6)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		before := x.offsets()
		x.move(kafka.CommittedOffset{TopicPartition: at(0), Offset: 0})

		p = x.start(Config{Instance: "a"}, nil)
		p.ended()
		var moved *task.MovedError
		if !errors.As(p.err, &moved) || moved.Task != "states_0" || !strings.Contains(moved.Problem, "events-0 has offset 0") {
			t.Fatalf("ended with: %v", p.err)
		}
		x.eventually("nothing of the other task is lost", func() bool { return x.offsets()[at(1)] == before[at(1)] })

		p = x.start(Config{Instance: "a", AcceptOffsets: true}, nil)
		x.eventually("the partition is read again", func() bool { return x.offsets()[at(0)].Offset >= before[at(0)].Offset })
		p.stop()
		m, err := task.ParseMetadata(x.offsets()[at(0)].Metadata)
		x.must(err)
		old, err := task.ParseMetadata(before[at(0)].Metadata)
		x.must(err)
		if m.Commit <= old.Commit || m.Counts.Delivered != 2*x.input[0] || m.Counts.Skipped != 0 {
			t.Errorf("after commit %d of %+v: commit %d of %+v", old.Commit, old.Counts, m.Commit, m.Counts)
		}
		x.foldsAgain(0)
		x.foldsAgain(1)
		if moves := x.moves(0); len(moves) != 1 || moves[0].Kind != task.StepRewind || moves[0].Slices[0] != (task.Slice{From: before[at(0)].Offset, To: 0}) {
			t.Errorf("the journal has the moves %+v", moves)
		}
		if moves := x.moves(1); len(moves) != 0 {
			t.Errorf("the journal of the other task has the moves %+v", moves)
		}
	})
}

// moves returns the steps of a task's journal that change offsets without reading.
func (x *bench) moves(p int32) (all []task.JournalStep) {
	x.Helper()
	for _, r := range x.read(record.TopicPartition{Topic: task.Plans(x.topology)[0].Journal, Partition: p}) {
		j, err := task.DecodeJournal(r.Value)
		x.must(err)
		for _, s := range j.Steps {
			if s.Kind >= task.StepRewind {
				all = append(all, s)
			}
		}
	}
	return all
}

func TestAnAcceptedJumpCountsWhatItSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		before := x.offsets()[at(0)]
		x.feed(20, 3)
		x.feed(10, 3)
		target := before.Offset + 12
		x.move(kafka.CommittedOffset{TopicPartition: at(0), Offset: target})

		p = x.start(Config{Instance: "a"}, nil)
		p.ended()
		if p.err == nil || !strings.Contains(p.err.Error(), "events-0 has offset 33 without the metadata") {
			t.Fatalf("ended with: %v", p.err)
		}

		// The first transaction with the jump is lost: it is stepped once more.
		x.broker.Inject(mem.Fault{Request: mem.EndTxn, Outcome: mem.LostNever, Times: 1})
		p = x.start(Config{Instance: "a", AcceptOffsets: true}, nil)
		x.eventually("the rest is read", func() bool { return x.offsets()[at(0)].Offset >= 52 })
		p.stop()
		m, err := task.ParseMetadata(x.offsets()[at(0)].Metadata)
		x.must(err)
		if m.Counts.Skipped != 12 || m.Counts.Delivered != 20+18 || m.Counts.Applied != 38 {
			t.Errorf("counts %+v", m.Counts)
		}
		x.foldsAgain(0)
		if moves := x.moves(0); len(moves) != 1 || moves[0].Kind != task.StepJump || moves[0].Slices[0] != (task.Slice{From: before.Offset, To: target}) {
			t.Errorf("the journal has the moves %+v", moves)
		}

		// It was accepted once; the next start needs no flag.
		p = x.start(Config{Instance: "a"}, nil)
		x.feed(5, 3)
		x.eventually("it goes on", func() bool { return x.offsets()[at(0)].Offset > 55 })
		p.stop()
		x.foldsAgain(0)
	})
}

// Offsets that were put back without their metadata are accepted at once, without
// anything to read.
func TestAnAcceptedMoveIsCommittedWithoutInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		before := x.offsets()[at(0)]
		x.move(kafka.CommittedOffset{TopicPartition: at(0), Offset: before.Offset})
		p = x.start(Config{Instance: "a", AcceptOffsets: true}, nil)
		x.eventually("the offset has metadata again", func() bool { return x.offsets()[at(0)].Metadata != "" })
		p.stop()
		x.foldsAgain(0)
		x.check()
	})
}

func TestATaskWithAPastButWithoutOffsetsIsRefused(t *testing.T) {
	// The group's offsets have expired: the same topics, read by a group that has none.
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		x.move(kafka.CommittedOffset{TopicPartition: at(0), Offset: -1})
		p = x.start(Config{Instance: "a"}, nil)
		p.ended()
		var moved *task.MovedError
		if !errors.As(p.err, &moved) || !strings.Contains(moved.Problem, "app-states-changelog") || !strings.Contains(moved.Problem, "app-states-journal") {
			t.Fatalf("ended with: %v", p.err)
		}
		p = x.start(Config{Instance: "a", AcceptOffsets: true}, nil)
		x.eventually("it is read from its beginning", func() bool { return x.offsets()[at(0)].Offset >= 20 })
		p.stop()
	})
}

func TestACrashInTheFirstTransactionLeavesNoPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		remove := x.broker.Inject(mem.Fault{Request: mem.AddOffsets, Outcome: mem.LostNever})
		p := x.start(Config{Instance: "a"}, nil)
		x.eventually("it has written to its journal", func() bool {
			m, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{{Topic: "app-states-journal"}})
			return err == nil && m[record.TopicPartition{Topic: "app-states-journal"}].HighWater > 0
		})
		p.kill()
		remove()
		p = x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		x.check()
	})
}

func TestARecordThatIsGoneStopsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		x.feed(20, 3)
		x.broker.Truncate(at(0), 30)
		p = x.start(Config{Instance: "a"}, nil)
		p.ended()
		if !errors.Is(p.err, kafka.ErrOffsetOutOfRange) || !strings.Contains(p.err.Error(), "events-0@2") || !strings.Contains(p.err.Error(), "it begins at 30") {
			t.Errorf("ended with: %v", p.err)
		}
	})
}

// stranger is somebody else who has written to the changelog and hangs, with a
// transaction that is open.
func (x *bench) stranger() kafka.Producer {
	x.Helper()
	p, err := x.cluster.Producer(kafka.ProducerOptions{TransactionalID: "stranger", TransactionTimeout: 10 * time.Minute})
	x.must(err)
	_, err = p.Init(x.ctx)
	x.must(err)
	x.must(p.Begin())
	x.must(p.Produce(x.ctx, p.Encode([]record.Output{{TopicPartition: record.TopicPartition{Topic: "app-states-changelog"}, Key: []byte("key-0"), Value: []byte("no")}})))
	return p
}

func TestRestoreWaitsForAnOpenTransactionAndNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		stranger := x.stranger()
		x.feed(20, 3)
		p = x.start(Config{Instance: "a"}, nil)
		<-time.After(20 * time.Second)
		if s := p.last(); s.Phase != Restoring {
			t.Fatalf("after 20 s: %+v", s)
		}
		x.must(stranger.End(x.ctx, false))
		x.drained()
		p.stop()
		x.check()

		x.must(stranger.Begin())
		x.must(stranger.Produce(x.ctx, stranger.Encode([]record.Output{{TopicPartition: record.TopicPartition{Topic: "app-states-changelog"}, Key: []byte("key-0"), Value: []byte("no")}})))
		p = x.start(Config{Instance: "a"}, nil)
		p.ended()
		if p.err == nil || !strings.Contains(p.err.Error(), "app-states-changelog-0: a transaction that is open since offset") {
			t.Errorf("ended with: %v", p.err)
		}
	})
}

// concatMore is concat with another source that appends to the same states.
func concatMore(t testing.TB) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	states := statestore.KeyValue("states", str)
	table := processors.Aggregate(topology.Source(b, "events", str), states, func(_, value, state string) (string, error) {
		return state + value, nil
	})
	topology.Sink(table.ToStream(), "updates", str)
	topology.SinkTable(table, "table")
	topology.Process(topology.Source(b, "more", str), "append", func(ctx topology.Context) (topology.Processor[string, string, string, string], error) {
		st, err := states.In(ctx)
		return topology.ProcessorFunc[string, string, string, string](func(_ topology.Context, r topology.Record[string, string], _ func(topology.Record[string, string])) error {
			old, _, err := st.Get(r.Key)
			if err != nil {
				return err
			}
			return st.Put(r.Key, old+r.Value)
		}), err
	}, states)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func TestASourceIsNewOrHasLostItsOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{}, nil)
		x.drained()
		p.stop()

		more := record.TopicPartition{Topic: "more"}
		x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "more", Partitions: 1}))
		x.write([]record.Output{
			{TopicPartition: more, Timestamp: 1, Key: []byte("key-0"), Value: []byte("x,")},
			{TopicPartition: more, Timestamp: 1, Key: []byte("key-1"), Value: []byte("y,")},
		})
		x.topology = concatMore(t)
		committed := func() kafka.CommittedOffset {
			got, err := x.admin.Committed(x.ctx, app, []record.TopicPartition{more}, true)
			x.must(err)
			return got[more]
		}
		p = x.start(Config{}, nil)
		x.eventually("the new source is read from its beginning", func() bool { return committed().Offset >= 2 })
		p.stop()
		left := committed().Offset

		x.move(kafka.CommittedOffset{TopicPartition: more, Offset: -1})
		p = x.start(Config{}, nil)
		p.ended()
		var moved *task.MovedError
		if want := fmt.Sprintf("none is committed for more-0, which commit 2 left at %d", left); !errors.As(p.err, &moved) || moved.Problem != want {
			t.Fatalf("ended with: %v; want %s", p.err, want)
		}
		p = x.start(Config{AcceptOffsets: true}, nil)
		x.eventually("it is read again", func() bool { return committed().Offset >= 2 })
		p.stop()
		if moves := x.moves(0); len(moves) != 1 || moves[0].Kind != task.StepRewind || moves[0].Slices[0] != (task.Slice{Source: 1, From: left, To: 0}) {
			t.Errorf("the journal has the moves %+v", moves)
		}
		if got := x.fold("app-states-changelog")["key-0"]; strings.Count(got, "x,") != 2 {
			t.Errorf("key-0 is %s", got)
		}
	})
}

// fold returns the last value of each key of a topic.
func (x *bench) fold(topic string) map[string]string {
	x.Helper()
	fold := map[string]string{}
	for _, r := range x.records(topic) {
		fold[string(r.Key)] = string(r.Value)
	}
	return fold
}
