package runner

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
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
		<-p.done
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
		if m.Commit <= old.Commit || m.Counts.Delivered != 2*x.input[0] || !m.Counts.Balanced() {
			t.Errorf("after commit %d of %+v: commit %d of %+v", old.Commit, old.Counts, m.Commit, m.Counts)
		}
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
		<-p.done
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
		<-p.done
		if !errors.Is(p.err, kafka.ErrOffsetOutOfRange) || !strings.Contains(p.err.Error(), "events-0@2") || !strings.Contains(p.err.Error(), "it begins at 30") {
			t.Errorf("ended with: %v", p.err)
		}
	})
}

func TestRestoreWaitsForAnOpenTransactionAndNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		// Somebody else writes to the changelog and hangs.
		stranger, err := x.cluster.Producer(kafka.ProducerOptions{TransactionalID: "stranger", TransactionTimeout: 10 * time.Minute})
		x.must(err)
		_, err = stranger.Init(x.ctx)
		x.must(err)
		x.must(stranger.Begin())
		x.must(stranger.Produce(x.ctx, []record.Output{{TopicPartition: record.TopicPartition{Topic: "app-states-changelog"}, Key: []byte("key-0"), Value: []byte("no")}}))
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
		x.must(stranger.Produce(x.ctx, []record.Output{{TopicPartition: record.TopicPartition{Topic: "app-states-changelog"}, Key: []byte("key-0"), Value: []byte("no")}}))
		p = x.start(Config{Instance: "a"}, nil)
		<-p.done
		if p.err == nil || !strings.Contains(p.err.Error(), "app-states-changelog-0: a transaction that is open since offset") {
			t.Errorf("ended with: %v", p.err)
		}
	})
}
