package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A topic may take smaller batches than a producer makes: what it can take arrives,
// once and in order, and a record that it cannot take is named with size and limit.
func TestSplitsBatchesThatATopicFindsTooLarge(t *testing.T) {
	t.Parallel()
	var refused atomic.Int32
	b := start(t, embedded.Options{Tap: func(e embedded.Event) embedded.Verdict {
		if e.Moment == embedded.Answered && e.Code == int16(sarama.ErrMessageSizeTooLarge) {
			refused.Add(1)
		}
		return embedded.Pass
	}})
	c, err := New(Options{Brokers: b.Addrs()})
	must(t, err)
	defer c.Close()
	a, err := c.Admin()
	must(t, err)
	must(t, a.Create(t.Context(), kafka.Topic{Name: "t", Partitions: 1, Configs: map[string]string{"max.message.bytes": "2000"}}))
	tp := record.TopicPartition{Topic: "t"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
	const n = 300
	output := func(i int) record.Output {
		return record.Output{
			TopicPartition: tp, Timestamp: int64(1000 + i), Key: []byte(fmt.Sprint("k", i)), Value: []byte(fmt.Sprint(i)),
			Headers: []record.Header{{Key: []byte("h"), Value: []byte(fmt.Sprint("v", i))}},
		}
	}
	var outputs []record.Output
	for i := range n {
		outputs = append(outputs, output(i))
	}
	commit(t, p, outputs...)
	first := refused.Load()
	for i := n; i < 2*n; i++ {
		commit(t, p, output(i))
	}
	if first == 0 || first > 20 {
		t.Errorf("%d batches refused", first)
	}
	var got []record.Record
	for _, r := range readTo(t, c, tp, endOf(t, c, tp)) {
		want := output(len(got))
		if string(r.Key) != string(want.Key) || string(r.Value) != string(want.Value) || r.Timestamp != want.Timestamp || string(r.Headers[0].Value) != string(want.Headers[0].Value) {
			t.Fatalf("record %d is %+v", len(got), r)
		}
		got = append(got, r)
	}
	if len(got) != 2*n {
		t.Fatalf("%d records, want %d", len(got), 2*n)
	}

	must(t, p.Begin())
	err = p.Produce(t.Context(), p.Encode([]record.Output{output(0), {TopicPartition: tp, Key: []byte("big"), Value: make([]byte, 3000)}, output(1)}))
	if err == nil {
		_, err = p.Flush(t.Context())
	}
	if !errors.Is(err, kafka.ErrTooLarge) {
		t.Fatal(err)
	}
	for _, says := range []string{"t-0: a record of 3003 bytes", "raise max.message.bytes of the topic, which is 2000"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	must(t, p.End(t.Context(), false))
	commit(t, p, output(0)) // the producer goes on
	if all := readTo(t, c, tp, endOf(t, c, tp)); len(all) != 2*n+1 {
		t.Fatalf("%d records in the end, want %d", len(all), 2*n+1)
	}
}

// Every compression is read back, and makes what is sent smaller.
func TestCompresses(t *testing.T) {
	t.Parallel()
	sizes := map[Compression]int64{}
	for _, compression := range []Compression{None, Gzip, Snappy, LZ4, Zstd} {
		b := start(t, embedded.Options{})
		c, err := New(Options{Brokers: b.Addrs(), Compression: compression})
		must(t, err)
		newTopic(t, c, "t", 1)
		tp := record.TopicPartition{Topic: "t"}
		kp := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
		p := kp.(*producer)
		const n = 2000
		var outputs []record.Output
		for i := range n {
			outputs = append(outputs, record.Output{TopicPartition: tp, Value: fmt.Appendf(nil, `{"order":%d,"state":"paid","amount":%d,"currency":"EUR"}`, i*7919%1000, i)})
		}
		must(t, p.Begin())
		must(t, p.leaders(t.Context(), []*outbox{p.box(tp)}))
		addr, _, _ := p.route.leader(tp)
		conn, err := p.route.connect(t.Context(), addr)
		must(t, err)
		before := conn.sock.written.Load()
		must(t, p.Produce(t.Context(), p.Encode(outputs)))
		_, err = p.Flush(t.Context())
		must(t, err)
		sizes[compression] = conn.sock.written.Load() - before
		must(t, p.End(t.Context(), true))
		got := readTo(t, c, tp, endOf(t, c, tp))
		if len(got) != n {
			t.Fatalf("%s: %d records", compression, len(got))
		}
		for i, r := range got {
			if !bytes.Equal(r.Value, outputs[i].Value) {
				t.Fatalf("%s: record %d is %q", compression, i, r.Value)
			}
		}
		must(t, c.Close())
	}
	t.Logf("bytes sent: %v", sizes)
	for compression, size := range sizes {
		if compression != None && size > sizes[None]/2 {
			t.Errorf("%s: %d bytes, without %d", compression, size, sizes[None])
		}
	}
	if _, err := New(Options{Brokers: []string{"localhost:1"}, Compression: "lz5"}); err == nil || !strings.Contains(err.Error(), `"lz5"`) {
		t.Error(err)
	}
}

// sarama cannot read a batch that has more records than bytes. No compression makes
// one of what a producer puts into a batch, whatever the records are.
func TestReadsWhatCompressesToAlmostNothing(t *testing.T) {
	t.Parallel()
	for _, compression := range []Compression{Gzip, Snappy, LZ4, Zstd} {
		b := start(t, embedded.Options{})
		c, err := New(Options{Brokers: b.Addrs(), Compression: compression})
		must(t, err)
		newTopic(t, c, "t", 1)
		tp := record.TopicPartition{Topic: "t"}
		p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
		f, err := c.Fetcher(kafka.FetchOptions{})
		must(t, err)
		at := int64(0)
		for _, n := range []int{1, 2, 63, 64, 65, 128, 250, 400, batchRecords} {
			for _, value := range [][]byte{nil, {}, []byte("ok"), bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("ab"), 900)} {
				outputs := make([]record.Output, n)
				for i := range outputs {
					outputs[i] = record.Output{TopicPartition: tp, Value: value}
				}
				commit(t, p, outputs...)
				for end := at + int64(n); at < end; {
					got, err := f.Fetch(t.Context(), []kafka.Position{{TopicPartition: tp, Offset: at}})
					must(t, err)
					if len(got) != 1 || got[0].Err != nil {
						t.Fatalf("%s: %d records of %d bytes: %v", compression, n, len(value), got)
					}
					at = got[0].Next
				}
			}
		}
		must(t, c.Close())
	}
}

// A record that is too far in the future for its topic is named, once, and the
// transaction can be aborted.
func TestNamesARecordWhoseTimestampIsNotAccepted(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	c, err := New(Options{Brokers: b.Addrs()})
	must(t, err)
	defer c.Close()
	a, err := c.Admin()
	must(t, err)
	must(t, a.Create(t.Context(), kafka.Topic{Name: "t", Partitions: 1}))
	fault := b.Fault(embedded.Fault{Request: embedded.Produce, Code: int16(sarama.ErrInvalidTimestamp), Count: -1})
	tp := record.TopicPartition{Topic: "t"}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "x"})
	must(t, p.Begin())
	err = p.Produce(t.Context(), p.Encode([]record.Output{
		{TopicPartition: tp, Timestamp: 1000, Key: []byte("past"), Value: []byte("v")},
		{TopicPartition: tp, Timestamp: 4_102_444_800_000, Key: []byte("future"), Value: []byte("v")},
		{TopicPartition: tp, Timestamp: 2000, Key: []byte("past"), Value: []byte("v")},
	}))
	if err == nil {
		_, err = p.Flush(t.Context())
	}
	var rec *kafka.RecordError
	if !errors.Is(err, kafka.ErrTimestamp) || !errors.As(err, &rec) || rec.TopicPartition != tp || string(rec.Key) != "future" {
		t.Fatalf("%v", err)
	}
	for _, says := range []string{"t-0: a record of 2100-01-01T00:00:00.000Z", "code 32", "set message.timestamp.after.max.ms of the topic"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if n := fault.Hits(); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	fault.Remove()
	must(t, p.End(t.Context(), false))
	commit(t, p, record.Output{TopicPartition: tp, Timestamp: 1000, Value: []byte("v")})
}
