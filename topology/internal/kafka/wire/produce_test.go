package wire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Leaders move while a producer writes and a reader reads: every record arrives
// once, in order.
func TestFollowsLeadersThatMove(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{Ports: []int{0, 0, 0}})
	c := cluster1(t, b)
	newTopic(t, c, "moving", 2)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	f, err := c.Fetcher(kafka.FetchOptions{})
	must(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	positions := []kafka.Position{{TopicPartition: record.TopicPartition{Topic: "moving"}}, {TopicPartition: record.TopicPartition{Topic: "moving", Partition: 1}}}
	seen := []int{0, 0}
	fetch := func() {
		answer, err := f.Fetch(t.Context(), positions)
		must(t, err)
		for _, got := range answer {
			must(t, got.Err)
			for _, r := range got.Records {
				if string(r.Value) != fmt.Sprint(seen[got.Partition]) {
					t.Fatalf("partition %d: read %q, want %d", got.Partition, r.Value, seen[got.Partition])
				}
				seen[got.Partition]++
			}
			positions[got.Partition].Offset = got.Next
		}
	}
	move := func() { must(t, b.MoveLeader("moving", rnd.Int32N(2), rnd.Int32N(3))) }
	const rounds, each = 30, 3
	for n := range rounds {
		if n%5 == 4 {
			b.MoveCoordinators()
		}
		must(t, p.Begin())
		for i := range each {
			v := []byte(fmt.Sprint(n*each + i))
			must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: positions[0].TopicPartition, Value: v}, {TopicPartition: positions[1].TopicPartition, Value: v}})))
			move()
		}
		_, err := p.Flush(t.Context())
		must(t, err)
		move()
		must(t, p.End(t.Context(), true))
		fetch()
	}
	for seen[0] < rounds*each || seen[1] < rounds*each {
		fetch()
	}
}

// The coordinator of a transaction hears of a new topic later than its leader. It is
// waited for, but not for one that it never hears of.
func TestWaitsUntilTheCoordinatorKnowsTheTopic(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	tp := record.TopicPartition{Topic: "t"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: 300 * time.Millisecond})
	late := b.Fault(embedded.Fault{Request: embedded.AddPartitionsToTxn, Code: 3, Count: 3})
	commit(t, p, record.Output{TopicPartition: tp, Value: []byte("0")})
	if late.Hits() != 3 {
		t.Errorf("%d of 3 answers were met", late.Hits())
	}
	b.Fault(embedded.Fault{Request: embedded.AddPartitionsToTxn, Code: 3, Count: -1})
	must(t, p.Begin())
	if err := p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("never")}})); !errors.Is(err, kafka.ErrUnknownTopic) {
		t.Errorf("the coordinator never knows the topic: %v", err)
	}
}

// From the second transaction on, the group is added while the outputs are on their way:
// no answer to a produce is let through before it is asked for.
func TestTheGroupIsAddedBesideTheOutputs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	var hold atomic.Bool
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		switch {
		case e.Request == embedded.AddOffsetsToTxn && e.Moment == embedded.Received:
			asked <- struct{}{}
		case e.Request == embedded.Produce && e.Moment == embedded.Answered && hold.Load():
			select {
			case <-asked:
			case <-time.After(10 * time.Second):
				t.Error("a produce was not answered for 10s, and the group was not added")
			}
		}
		return embedded.Pass
	}})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	at := record.TopicPartition{Topic: "t"}
	for n := range 3 {
		if hold.Store(n > 0); n == 1 {
			<-asked // of the first
		}
		must(t, p.Begin())
		must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: at, Value: []byte("v")}})))
		_, err := p.Flush(t.Context())
		must(t, err)
		must(t, p.SendOffsets(t.Context(), "g", kafka.Member{Generation: -1}, []kafka.CommittedOffset{{TopicPartition: at, Offset: int64(n)}}))
		must(t, p.End(t.Context(), true))
	}
	if len(asked) > 0 {
		t.Errorf("the group was added %d times too often", len(asked))
	}
}

// Connections are cut before and after produce requests are handled: the batches
// are sent again with their sequences, and are in the log once, in order.
func TestProduceSurvivesCutConnections(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var dropped [2]atomic.Int32
	var count atomic.Uint64
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if e.Request != embedded.Produce {
			return embedded.Pass
		}
		rnd := rand.New(rand.NewPCG(seed, count.Add(1)))
		if rnd.IntN(6) != 0 {
			return embedded.Pass
		}
		dropped[e.Moment].Add(1)
		return embedded.Drop
	}})
	c := cluster1(t, b)
	newTopic(t, c, "cut", 3)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer", RequestTimeout: 20 * time.Second})
	next := 0
	for range 10 {
		must(t, p.Begin())
		before := next
		for range 6 {
			var outputs []record.Output
			for range 300 { // more than a batch in two calls
				for part := range int32(3) {
					outputs = append(outputs, record.Output{TopicPartition: record.TopicPartition{Topic: "cut", Partition: part}, Value: []byte(fmt.Sprint(next))})
				}
				next++
			}
			must(t, p.Produce(t.Context(), p.Encode(outputs)))
		}
		acked, err := p.Flush(t.Context())
		must(t, err)
		for part := range int32(3) {
			// Each transaction before left a marker.
			if got, want := acked[record.TopicPartition{Topic: "cut", Partition: part}], int64(before+before/1800); got != want {
				t.Fatalf("partition %d: first acknowledged offset %d, want %d", part, got, want)
			}
		}
		must(t, p.End(t.Context(), true))
	}
	for part := range int32(3) {
		numbered(t, c, record.TopicPartition{Topic: "cut", Partition: part}, next)
	}
	if dropped[0].Load() == 0 || dropped[1].Load() == 0 {
		t.Errorf("nothing was cut: %d before, %d after handling", dropped[0].Load(), dropped[1].Load())
	}
}

// A broker that is gone for a while and comes back on its port is found again.
func TestOutlivesARestartOfTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, embedded.Options{DataDir: dir})
	_, port, err := net.SplitHostPort(b.Addrs()[0])
	must(t, err)
	var number int
	_, err = fmt.Sscan(port, &number)
	must(t, err)
	c := cluster1(t, b)
	newTopic(t, c, "kept", 1)
	tp := record.TopicPartition{Topic: "kept"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	commit(t, p, record.Output{TopicPartition: tp, Value: []byte("0")})
	f, err := c.Fetcher(kafka.FetchOptions{})
	must(t, err)
	at := int64(0)
	read := func(want string) {
		t.Helper()
		for {
			answer, err := f.Fetch(t.Context(), []kafka.Position{{TopicPartition: tp, Offset: at}})
			must(t, err)
			for _, got := range answer {
				at = got.Next
				if len(got.Records) > 0 {
					if string(got.Records[0].Value) != want || len(got.Records) != 1 {
						t.Fatalf("read %q, want %q", got.Records[0].Value, want)
					}
					return
				}
			}
		}
	}
	read("0")
	b.Close()
	if _, err := f.Fetch(t.Context(), []kafka.Position{{TopicPartition: tp, Offset: at}}); err == nil || !strings.Contains(err.Error(), "no broker reached") {
		t.Errorf("a Fetch with no broker there: %v", err)
	}
	start(t, embedded.Options{DataDir: dir, Ports: []int{number}})
	// The first request goes into the old connection, and is sent again.
	commit(t, p, record.Output{TopicPartition: tp, Value: []byte("1")})
	read("1")
}

// A connection that rested so long that the broker may have closed it is not used
// again.
func TestDoesNotUseAConnectionThatRestedLong(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	r := cluster1(t, b).(*cluster).router(nil)
	defer r.Close()
	first, err := r.connect(t.Context(), b.Addrs()[0])
	must(t, err)
	if again, err := r.connect(t.Context(), b.Addrs()[0]); err != nil || again != first {
		t.Fatalf("a fresh connection is not used again: %v", err)
	}
	first.sock.used.Store(time.Now().Add(-idleLimit - time.Second).UnixMilli())
	if again, err := r.connect(t.Context(), b.Addrs()[0]); err != nil || again == first {
		t.Fatalf("a connection that rested is used again: %v", err)
	}
}

// An abort waits for what is on the way. Is it lost, nobody knows whether it comes
// behind the abort: only Init ends that.
func TestAbortWaitsForWhatIsOnTheWay(t *testing.T) {
	t.Parallel()
	for _, verdict := range []embedded.Verdict{embedded.Pass, embedded.Drop} {
		held, free := make(chan struct{}, 100), make(chan struct{})
		var holding atomic.Bool
		b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
			if e.Request != embedded.Produce || e.Moment != embedded.Received || !holding.Load() {
				return embedded.Pass
			}
			held <- struct{}{}
			<-free
			return verdict
		}})
		c := cluster1(t, b)
		newTopic(t, c, "t", 1)
		tp := record.TopicPartition{Topic: "t"}
		p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
		commit(t, p, record.Output{TopicPartition: tp, Value: []byte("0")})
		holding.Store(true)
		must(t, p.Begin())
		must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("gone")}})))
		<-held
		ended := make(chan error, 1)
		go func() { ended <- p.End(t.Context(), false) }()
		select {
		case err := <-ended:
			t.Fatalf("the abort did not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		holding.Store(false)
		close(free)
		err := <-ended
		if verdict == embedded.Pass {
			must(t, err)
		} else {
			if !errors.Is(err, kafka.ErrIndefinite) {
				t.Errorf("aborting with a lost produce: %v", err)
			}
			_, err = p.Init(t.Context())
			must(t, err)
		}
		commit(t, p, record.Output{TopicPartition: tp, Value: []byte("1")})
		numbered(t, c, tp, 2)
	}
}

// Init does not wait for what the last epoch has on the way, and what comes of it
// later is nothing to the next transactions.
func TestInitForgetsWhatIsOnTheWay(t *testing.T) {
	t.Parallel()
	held, free := make(chan struct{}, 100), make(chan struct{})
	var holding atomic.Bool
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if e.Request == embedded.Produce && e.Moment == embedded.Answered && holding.Load() {
			held <- struct{}{}
			<-free
		}
		return embedded.Pass
	}})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	tp := record.TopicPartition{Topic: "t"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	holding.Store(true)
	must(t, p.Begin())
	must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("gone")}})))
	<-held
	_, err := p.Init(t.Context())
	must(t, err)
	holding.Store(false)
	close(free)
	for i := range 3 {
		must(t, p.Begin())
		must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("aborted")}})))
		must(t, p.End(t.Context(), false))
		commit(t, p, record.Output{TopicPartition: tp, Value: fmt.Append(nil, i)})
	}
	numbered(t, c, tp, 3)
}

// Whoever watches is told how often batches went once more.
func TestCountsTheBatchesThatAreSentAgain(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	c := cluster1(t, b)
	newTopic(t, c, "t", 1)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
	out := record.Output{TopicPartition: record.TopicPartition{Topic: "t"}, Value: []byte("v")}
	commit(t, p, out)
	if n := p.Resent(); n != 0 {
		t.Errorf("%d were sent again", n)
	}
	b.Fault(embedded.Fault{Request: embedded.Produce, Code: 6, Count: 2})
	commit(t, p, out)
	b.Fault(embedded.Fault{Request: embedded.Produce, Lose: embedded.LoseAnswer})
	commit(t, p, out)
	if n := p.Resent(); n != 3 {
		t.Errorf("%d were sent again, not 3", n)
	}
}

// The batches of partitions that are written to in turn go in the same requests, since a
// broker takes its time for each of them.
func TestBatchesOfManyPartitionsShareRequests(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if e.Moment == embedded.Received && e.Request == embedded.Produce {
			requests.Add(1)
		}
		return embedded.Pass
	}})
	c := cluster1(t, b)
	newTopic(t, c, "events", 3)
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	at := func(partition int32) record.Output {
		return record.Output{TopicPartition: record.TopicPartition{Topic: "events", Partition: partition}, Value: []byte("v")}
	}
	commit(t, p, at(0), at(1), at(2)) // the broker knows the producer then
	before := requests.Load()
	const batches = 2
	var twice, once []record.Output
	for range batches * batchRecords {
		twice = append(twice, at(0), at(1))
		once = append(once, at(2))
	}
	must(t, p.Begin())
	must(t, p.Produce(t.Context(), p.Encode(twice, once)))
	_, err := p.Flush(t.Context())
	must(t, err)
	must(t, p.End(t.Context(), true))
	if n := requests.Load() - before; n != batches {
		t.Errorf("%d requests, want %d", n, batches)
	}
}
