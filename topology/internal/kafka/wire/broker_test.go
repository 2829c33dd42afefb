package wire

import (
	"fmt"
	"testing"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// start starts a broker.

func start(t testing.TB, opts embedded.Options) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTopic(t testing.TB, c kafka.Cluster, name string, partitions int32) {
	t.Helper()
	a, err := c.Admin()
	must(t, err)
	defer a.Close()
	must(t, a.Create(t.Context(), kafka.Topic{Name: name, Partitions: partitions}))
}

func newProducer(t testing.TB, c kafka.Cluster, opts kafka.ProducerOptions) kafka.Producer {
	t.Helper()
	p, err := c.Producer(opts)
	must(t, err)
	_, err = p.Init(t.Context())
	must(t, err)
	return p
}

// commit writes outputs in a transaction of their own.

func commit(t testing.TB, p kafka.Producer, outputs ...record.Output) {
	t.Helper()
	must(t, p.Begin())
	must(t, p.Produce(t.Context(), outputs))
	_, err := p.Flush(t.Context())
	must(t, err)
	must(t, p.End(t.Context(), true))
}

// readTo reads a partition from 0 until the position is to.

func readTo(t testing.TB, c kafka.Cluster, tp record.TopicPartition, to int64) []record.Record {
	t.Helper()
	f, err := c.Fetcher(kafka.FetchOptions{})
	must(t, err)
	defer f.Close()
	var all []record.Record
	for at := int64(0); at < to; {
		answer, err := f.Fetch(t.Context(), []kafka.Position{{TopicPartition: tp, Offset: at}})
		must(t, err)
		for _, got := range answer {
			must(t, got.Err)
			all = append(all, got.Records...)
			at = got.Next
		}
	}
	return all
}

// endOf returns the end of a partition.

func endOf(t testing.TB, c kafka.Cluster, tp record.TopicPartition) int64 {
	t.Helper()
	a, err := c.Admin()
	must(t, err)
	defer a.Close()
	marks, err := a.EndOffsets(t.Context(), []record.TopicPartition{tp})
	must(t, err)
	return marks[tp].HighWater
}

// numbered checks that a partition has the values 0, 1, ... n-1.

func numbered(t *testing.T, c kafka.Cluster, tp record.TopicPartition, n int) {
	t.Helper()
	got := readTo(t, c, tp, endOf(t, c, tp))
	for i, r := range got {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("%s-%d: record %d is %q", tp.Topic, tp.Partition, i, r.Value)
		}
	}
	if len(got) != n {
		t.Fatalf("%s-%d has %d records, want %d", tp.Topic, tp.Partition, len(got), n)
	}
}

// Leaders move while a producer writes and a reader reads: every record arrives

// once, in order.

// Connections are cut before and after produce requests are handled: the batches

// are sent again with their sequences, and are in the log once, in order.

// A broker that is gone for a while and comes back on its port is found again.

// A connection that rested so long that the broker may have closed it is not used

// again.

// raw is a record batch whose bytes the test writes itself.

// produceRaw writes a batch that no client would write.

// One batch that cannot be decoded is named with its offset; what is before it, and

// the other partitions, are served.

// A batch without records, as compaction leaves them, does not stop a reader.

// An abort waits for what is on the way. Is it lost, nobody knows whether it comes

// behind the abort: only Init ends that.

// Init does not wait for what the last epoch has on the way, and what comes of it

// later is nothing to the next transactions.

// While Revoked runs, for longer than a session, the member stays alive and can

// commit.

// slow is a handler whose first Revoked takes its time.

// A member whose heartbeats do not arrive is told Lost when its session is over, and

// joins again.

// handler writes down what it is told.
