//go:build unix

package wire

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// The benchmarks are of 100-byte records, 16 of them key, in batches of 500, four
// partitions, without compression; the broker is another process. cpu-ns is user and
// system time of this one.
const (
	benchPartitions = 4
	benchPer        = 500 // records of a partition in one Produce
)

// meter measures CPU and allocations of the process.
type meter struct {
	cpu     int64
	mallocs uint64
}

func measure(b *testing.B) meter {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return meter{cpu: u.Utime.Nano() + u.Stime.Nano(), mallocs: m.Mallocs}
}

// report reports what n records have cost since.
func (m meter) report(b *testing.B, n int) {
	b.Helper()
	now := measure(b)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	b.ReportMetric(float64(now.cpu-m.cpu)/float64(n), "cpu-ns/record")
	b.ReportMetric(float64(now.mallocs-m.mallocs)/float64(n), "allocs/record")
	b.ReportMetric(0, "ns/op")
}

func benchOutputs() (outputs []record.Output) {
	for i := range benchPer {
		for p := range int32(benchPartitions) {
			outputs = append(outputs, record.Output{
				TopicPartition: record.TopicPartition{Topic: "bench", Partition: p},
				Timestamp:      1_700_000_000_000 + int64(i),
				Key:            fmt.Appendf(nil, "key-%012d", i), Value: make([]byte, 84),
			})
		}
	}
	return outputs
}

func benchCluster(b *testing.B) kafka.Cluster {
	b.Helper()
	c, err := New(Options{Brokers: []string{brokerProcess(b)}})
	must(b, err)
	b.Cleanup(func() { _ = c.Close() })
	newTopic(b, c, "bench", benchPartitions)
	return c
}

// BenchmarkProduce writes transactions of 20,000 records.
func BenchmarkProduce(b *testing.B) {
	p := newProducer(b, benchCluster(b), kafka.ProducerOptions{TransactionalID: "bench"})
	outputs := benchOutputs()
	n := 0
	m := measure(b)
	for b.Loop() {
		must(b, p.Begin())
		for range 10 {
			must(b, p.Produce(b.Context(), p.Encode(outputs)))
			n += len(outputs)
		}
		_, err := p.Flush(b.Context())
		must(b, err)
		must(b, p.End(b.Context(), true))
	}
	m.report(b, n)
}

// BenchmarkFetch reads 400,000 records, again and again.
func BenchmarkFetch(b *testing.B) {
	c := benchCluster(b)
	p := newProducer(b, c, kafka.ProducerOptions{TransactionalID: "bench"})
	outputs := benchOutputs()
	must(b, p.Begin())
	const rounds = 200
	for range rounds {
		must(b, p.Produce(b.Context(), p.Encode(outputs)))
	}
	_, err := p.Flush(b.Context())
	must(b, err)
	must(b, p.End(b.Context(), true))
	f, err := c.Fetcher(kafka.FetchOptions{})
	must(b, err)
	n := 0
	m := measure(b)
	for b.Loop() {
		positions := make([]kafka.Position, benchPartitions)
		for i := range positions {
			positions[i].TopicPartition = record.TopicPartition{Topic: "bench", Partition: int32(i)}
		}
		for left := rounds * len(outputs); left > 0; {
			answer, err := f.Fetch(b.Context(), positions)
			must(b, err)
			for _, got := range answer {
				positions[got.Partition].Offset = got.Next
				left -= len(got.Records)
				n += len(got.Records)
			}
		}
	}
	m.report(b, n)
}
