package mem_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// virtual runs a test against a broker in a bubble of virtual time.
func virtual(t *testing.T, opts mem.Options, f func(x *process)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(connect(t, mem.New(opts))) })
}

// process is one process that uses the broker.
type process struct {
	*testing.T
	broker  *mem.Broker
	cluster *mem.Cluster
	admin   kafka.Admin
}

func connect(t *testing.T, b *mem.Broker) *process {
	t.Helper()
	x := &process{T: t, broker: b, cluster: b.Connect()}
	t.Cleanup(func() { x.ok(x.cluster.Close()) })
	var err error
	x.admin, err = x.cluster.Admin()
	x.ok(err)
	return x
}

func (x *process) ok(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

func (x *process) is(err, want error) {
	x.Helper()
	if !errors.Is(err, want) {
		x.Fatalf("got %v, want %v", err, want)
	}
}

func (x *process) topic(name string, partitions int32) {
	x.Helper()
	x.ok(x.admin.Create(x.Context(), kafka.Topic{Name: name, Partitions: partitions}))
}

func (x *process) producer(opts kafka.ProducerOptions) (kafka.Producer, kafka.ProducerID) {
	x.Helper()
	p, err := x.cluster.Producer(opts)
	x.ok(err)
	id, err := p.Init(x.Context())
	x.ok(err)
	return p, id
}

// write has values acknowledged, one for each partition of the topic.
func (x *process) write(p kafka.Producer, topic string, values ...string) error {
	var outputs []record.Output
	for i, v := range values {
		outputs = append(outputs, record.Output{TopicPartition: tp(topic, i), Timestamp: 1, Value: []byte(v)})
	}
	if err := p.Produce(x.Context(), p.Encode(outputs)); err != nil {
		return err
	}
	_, err := p.Flush(x.Context())
	return err
}

func (x *process) marks(part record.TopicPartition) kafka.Marks {
	x.Helper()
	m, err := x.admin.EndOffsets(x.Context(), []record.TopicPartition{part})
	x.ok(err)
	return m[part]
}

// fetch fetches one partition once.
func (x *process) fetch(opts kafka.FetchOptions, part record.TopicPartition, offset int64) kafka.Fetched {
	x.Helper()
	f, err := x.cluster.Fetcher(opts)
	x.ok(err)
	answer, err := f.Fetch(x.Context(), []kafka.Position{{TopicPartition: part, Offset: offset}})
	x.ok(err)
	if len(answer) != 1 {
		x.Fatalf("answer %+v", answer)
	}
	return answer[0]
}

func tp(topic string, partition int) record.TopicPartition {
	return record.TopicPartition{Topic: topic, Partition: int32(partition)}
}

func TestMarkersLandOneByOne(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 2)
		p, _ := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		defer x.broker.HoldMarkers()()
		x.ok(p.Begin())
		x.ok(x.write(p, "t", "a", "b"))
		x.ok(p.SendOffsets(x.Context(), "g", kafka.Member{Generation: -1}, []kafka.CommittedOffset{{TopicPartition: tp("t", 0), Offset: 7}}))
		x.ok(p.End(x.Context(), true))
		want := []mem.Marker{
			{TransactionalID: "p", Commit: true, Partition: tp("t", 0)},
			{TransactionalID: "p", Commit: true, Partition: tp("t", 1)},
			{TransactionalID: "p", Commit: true, Group: "g"},
		}
		if got := x.broker.Markers(); !slices.Equal(got, want) {
			x.Fatalf("markers %+v, want %+v", got, want)
		}

		// The second partition's marker lands first: it alone is decided.
		if !x.broker.Deliver(want[1]) || x.broker.Deliver(want[1]) {
			x.Fatal("a marker lands once")
		}
		if a, b := x.marks(tp("t", 0)), x.marks(tp("t", 1)); a.LastStable != 0 || b.LastStable != 2 {
			x.Fatalf("marks %+v and %+v", a, b)
		}
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 1), 0); len(got.Records) != 1 {
			x.Fatalf("the decided partition answers %+v", got)
		}
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 0); len(got.Records) != 0 || got.Next != 0 {
			x.Fatalf("the undecided partition answers %+v", got)
		}

		// The next transaction waits for the last of them.
		produced := make(chan error, 1)
		x.ok(p.Begin())
		go func() { produced <- x.write(p, "t", "c") }()
		for i, m := range []mem.Marker{want[2], want[0]} {
			synctest.Wait()
			select {
			case err := <-produced:
				x.Fatalf("the next transaction went on %d markers early: %v", 2-i, err)
			default:
			}
			x.broker.Deliver(m)
		}
		x.ok(<-produced)
		got, err := x.admin.Committed(x.Context(), "g", []record.TopicPartition{tp("t", 0)}, true)
		if err != nil || got[tp("t", 0)].Offset != 7 {
			x.Fatalf("committed %+v, %v", got, err)
		}
	})
}

// story is what a reader of two partitions sees, and when, while transactions
// commit one behind the other.
func story(t *testing.T, seed uint64) string {
	var told strings.Builder
	synctest.Test(t, func(t *testing.T) {
		x := connect(t, mem.New(mem.Options{Seed: seed, MarkerDelay: 30 * time.Millisecond}))
		x.topic("t", 2)
		p, _ := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		start := time.Now()
		for i := range 5 {
			x.ok(p.Begin())
			x.ok(x.write(p, "t", fmt.Sprint(i), fmt.Sprint(i)))
			x.ok(p.End(x.Context(), i%2 == 0))
			for len(x.broker.Markers()) > 0 {
				fmt.Fprintln(&told, time.Since(start), x.broker.Markers(), x.marks(tp("t", 0)), x.marks(tp("t", 1)))
				timer := time.NewTimer(time.Millisecond)
				<-timer.C
			}
		}
	})
	return told.String()
}

func TestSameSeedSameStory(t *testing.T) {
	t.Parallel()
	first := story(t, 1)
	if again := story(t, 1); again != first {
		t.Errorf("the same seed told\n%s\nand then\n%s", first, again)
	}
	if story(t, 2) == first {
		t.Error("another seed told the same")
	}
	apart := false
	for line := range strings.Lines(first) {
		apart = apart || strings.Count(line, "{p ") == 1
	}
	if !apart {
		t.Errorf("the markers of a transaction always land together:\n%s", first)
	}
}

// A partition takes a fenced producer's record as long as the marker of its
// aborted transaction has not come by; the record lies before it, and is aborted.
func TestZombieRecordLiesBeforeItsAbortMarker(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		zombie, first := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		x.ok(zombie.Begin())
		x.ok(x.write(zombie, "t", "open"))
		release := x.broker.HoldMarkers()
		second := make(chan kafka.ProducerID, 1)
		go func() {
			_, id := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
			second <- id
		}()
		synctest.Wait()
		x.ok(x.write(zombie, "t", "zombie"))
		x.is(zombie.SendOffsets(x.Context(), "g", kafka.Member{Generation: -1}, nil), kafka.ErrFenced)
		release()
		if id := <-second; id.ID != first.ID || id.Epoch != first.Epoch+2 {
			x.Errorf("Init over an open transaction: %+v after %+v, want two epochs more", id, first)
		}
		if m := x.marks(tp("t", 0)); m.HighWater != 3 || m.LastStable != 3 {
			x.Errorf("marks %+v, want two records and a marker", m)
		}
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 0); len(got.Records) != 0 || got.Next != 3 {
			x.Errorf("a committed reader gets %+v", got)
		}
		x.is(x.write(zombie, "t", "behind it"), kafka.ErrFenced)
	})
}

func TestTransactionTimesOutOnTime(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		p, _ := x.producer(kafka.ProducerOptions{TransactionalID: "p", TransactionTimeout: 7 * time.Second})
		x.ok(p.Begin())
		x.ok(x.write(p, "t", "open"))
		start := time.Now()
		got := x.fetch(kafka.FetchOptions{MaxWait: time.Minute}, tp("t", 0), 0)
		if took := time.Since(start); took != 7*time.Second || got.Next != 2 || len(got.Records) != 0 {
			x.Errorf("after %v: %+v", took, got)
		}
		x.is(p.End(x.Context(), true), kafka.ErrFenced)
		late, err := x.cluster.Producer(kafka.ProducerOptions{TransactionalID: "late", TransactionTimeout: 16 * time.Minute})
		x.ok(err)
		if _, err := late.Init(x.Context()); err == nil {
			x.Error("a transaction timeout of 16 minutes is accepted")
		}
	})
}

func TestTruncatedLog(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		p, _ := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		for range 3 {
			x.ok(p.Begin())
			x.ok(x.write(p, "t", "x"))
			x.ok(p.End(x.Context(), true))
		}
		x.broker.Truncate(tp("t", 0), 2)
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 1); !errors.Is(got.Err, kafka.ErrOffsetOutOfRange) || got.LogStart != 2 || got.Next != 1 {
			x.Errorf("below the start: %+v", got)
		}
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 2); len(got.Records) != 2 || got.Records[0].Offset != 2 {
			x.Errorf("from the start: %+v", got)
		}
		x.broker.Truncate(tp("t", 0), 99)
		if m := x.marks(tp("t", 0)); m.LogStart != 6 {
			x.Errorf("truncated beyond the end: %+v", m)
		}
	})
}

func TestFaultsOfFetch(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		x.broker.Inject(mem.Fault{Request: mem.Fetch, Code: 2})
		x.broker.Inject(mem.Fault{Request: mem.Fetch, Code: 1})
		x.broker.Inject(mem.Fault{Request: mem.Fetch, Outcome: mem.LostNever, Times: 2})
		got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 0)
		var bad *kafka.UndecodableError
		if !errors.As(got.Err, &bad) || bad.Offset != 0 || bad.TopicPartition != tp("t", 0) {
			x.Errorf("code 2: %+v", got)
		}
		got = x.fetch(kafka.FetchOptions{}, tp("t", 0), 0)
		x.is(got.Err, kafka.ErrOffsetOutOfRange)
		// A fetch whose answer is lost changes nothing, and is sent again.
		if got := x.fetch(kafka.FetchOptions{}, tp("t", 0), 0); got.Err != nil {
			x.Errorf("after lost answers: %+v", got)
		}
	})
}

func TestOffsetMetadataHasALimit(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		p, _ := x.producer(kafka.ProducerOptions{TransactionalID: "p"})
		x.ok(p.Begin())
		err := p.SendOffsets(x.Context(), "g", kafka.Member{Generation: -1},
			[]kafka.CommittedOffset{{TopicPartition: tp("t", 0), Metadata: strings.Repeat("x", 4097)}})
		if err == nil || errors.Is(err, kafka.ErrIndefinite) {
			x.Errorf("4097 bytes: %v", err)
		}
		x.ok(p.End(x.Context(), false))
	})
}

// Four processes write and read at once; every committed record arrives once.
func TestManyClientsAtOnce(t *testing.T) {
	const clients, rounds, each = 4, 30, 20
	virtual(t, mem.Options{Seed: 1, MarkerDelay: 5 * time.Millisecond}, func(x *process) {
		x.topic("t", 2)
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				mine := connect(x.T, x.broker)
				p, _ := mine.producer(kafka.ProducerOptions{TransactionalID: fmt.Sprint(c)})
				for r := range rounds {
					x.ok(p.Begin())
					for range each {
						x.ok(mine.write(p, "t", fmt.Sprint(c, r), fmt.Sprint(c, r)))
					}
					x.ok(p.End(x.Context(), r%3 != 0))
				}
			})
		}
		read := [2]int{}
		for part := range 2 {
			wg.Go(func() {
				f, err := x.cluster.Fetcher(kafka.FetchOptions{PartitionMaxBytes: 200})
				x.ok(err)
				for at := int64(0); read[part] < clients*rounds*each*2/3; {
					answer, err := f.Fetch(x.Context(), []kafka.Position{{TopicPartition: tp("t", part), Offset: at}})
					x.ok(err)
					for _, got := range answer {
						at = got.Next
						read[part] += len(got.Records)
					}
				}
			})
		}
		wg.Wait()
		for part := range 2 {
			m := x.marks(tp("t", part))
			if read[part] != clients*rounds*each*2/3 || m.HighWater != clients*rounds*(each+1) {
				x.Errorf("partition %d: read %d, marks %+v", part, read[part], m)
			}
		}
	})
}

func TestWaitsEndWithTheirContext(t *testing.T) {
	virtual(t, mem.Options{}, func(x *process) {
		x.topic("t", 1)
		f, err := x.cluster.Fetcher(kafka.FetchOptions{MaxWait: time.Hour})
		x.ok(err)
		ctx, cancel := context.WithTimeout(x.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err = f.Fetch(ctx, []kafka.Position{{TopicPartition: tp("t", 0)}})
		x.is(err, context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			x.Errorf("took %v", took)
		}
	})
}
