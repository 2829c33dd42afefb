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
	must(t, p.Produce(t.Context(), p.Encode(outputs)))
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
