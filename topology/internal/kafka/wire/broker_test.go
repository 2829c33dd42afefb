package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

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
			must(t, p.Produce(t.Context(), []record.Output{{TopicPartition: positions[0].TopicPartition, Value: v}, {TopicPartition: positions[1].TopicPartition, Value: v}}))
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
			must(t, p.Produce(t.Context(), outputs))
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
	// The first request goes into the old connection: nobody can know what became of it.
	must(t, p.Begin())
	if err := p.Produce(t.Context(), []record.Output{{TopicPartition: tp, Value: []byte("lost")}}); !errors.Is(err, kafka.ErrIndefinite) {
		t.Errorf("producing into a connection that is gone: %v", err)
	}
	_, err = p.Init(t.Context())
	must(t, err)
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

func TestReadsEveryCompressionAndLargeValues(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{})
	c := cluster1(t, b)
	newTopic(t, c, "mixed", 1)
	tp := record.TopicPartition{Topic: "mixed"}
	r := c.(*cluster).router(nil)
	defer r.Close()
	conn, err := r.connect(t.Context(), b.Addrs()[0])
	must(t, err)
	rnd := rand.New(rand.NewPCG(7, 7))
	var want [][]byte
	at := int64(1_700_000_000_000)
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		batch := &sarama.RecordBatch{Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, FirstTimestamp: time.UnixMilli(at), MaxTimestamp: time.UnixMilli(at + 2)}
		for i := range 3 {
			value := make([]byte, []int{10, 0, 300_000}[i])
			for j := range value {
				value[j] = byte(rnd.UintN(4)) // compressible
			}
			want = append(want, value)
			batch.Records = append(batch.Records, &sarama.Record{OffsetDelta: int64(i), TimestampDelta: time.Duration(i) * time.Millisecond, Value: value,
				Headers: []*sarama.RecordHeader{{Key: []byte("codec"), Value: []byte(codec.String())}}})
		}
		batch.LastOffsetDelta = 2
		q := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: 1000, Version: 7}
		q.AddBatch("mixed", 0, batch)
		a, err := ask(t.Context(), conn, (*sarama.Broker).Produce, q)
		must(t, err)
		if code := a.GetBlock("mixed", 0).Err; code != sarama.ErrNoError {
			t.Fatalf("%s: %v", codec, code)
		}
	}
	// And through our own producer, more than fits a request.
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	var outputs []record.Output
	for range 12 {
		value := make([]byte, 900_000)
		for j := range value {
			value[j] = byte(rnd.Uint32())
		}
		want = append(want, value)
		outputs = append(outputs, record.Output{TopicPartition: tp, Timestamp: at, Value: value})
	}
	commit(t, p, outputs...)
	got := readTo(t, c, tp, endOf(t, c, tp))
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Value, want[i]) || got[i].Value == nil {
			t.Errorf("record %d: %d bytes, want %d", i, len(got[i].Value), len(want[i]))
		}
		if i < 15 && (got[i].Timestamp != at+int64(i%3) || len(got[i].Headers) != 1) {
			t.Errorf("record %d has time %d and headers %v", i, got[i].Timestamp, got[i].Headers)
		}
	}
}

// raw is a record batch whose bytes the test writes itself.
type raw struct {
	count      int32
	attributes int16
	body       []byte
}

// produceRaw writes a batch that no client would write.
func produceRaw(t *testing.T, addr, topic string, partition int32, b raw) {
	t.Helper()
	var batch []byte
	batch = binary.BigEndian.AppendUint64(batch, 0) // first offset
	batch = binary.BigEndian.AppendUint32(batch, uint32(49+len(b.body)))
	batch = binary.BigEndian.AppendUint32(batch, 0) // leader epoch
	batch = append(batch, 2)
	sum := len(batch)
	batch = binary.BigEndian.AppendUint32(batch, 0)
	batch = binary.BigEndian.AppendUint16(batch, uint16(b.attributes))
	batch = binary.BigEndian.AppendUint32(batch, uint32(b.count-1))
	batch = binary.BigEndian.AppendUint64(batch, 1_700_000_000_000)
	batch = binary.BigEndian.AppendUint64(batch, 1_700_000_000_000)
	batch = binary.BigEndian.AppendUint64(batch, ^uint64(0)) // no producer
	batch = binary.BigEndian.AppendUint16(batch, ^uint16(0))
	batch = binary.BigEndian.AppendUint32(batch, ^uint32(0))
	batch = binary.BigEndian.AppendUint32(batch, uint32(b.count))
	batch = append(batch, b.body...)
	binary.BigEndian.PutUint32(batch[sum:], crc32.Checksum(batch[sum+4:], crc32.MakeTable(crc32.Castagnoli)))

	var q []byte
	q = append(q, 0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff) // Produce v3, no client id
	q = append(q, 0xff, 0xff, 0xff, 0xff)             // not transactional, acks all
	q = binary.BigEndian.AppendUint32(q, 1000)
	q = binary.BigEndian.AppendUint32(q, 1)
	q = binary.BigEndian.AppendUint16(q, uint16(len(topic)))
	q = append(q, topic...)
	q = binary.BigEndian.AppendUint32(q, 1)
	q = binary.BigEndian.AppendUint32(q, uint32(partition))
	q = binary.BigEndian.AppendUint32(q, uint32(len(batch)))
	q = append(q, batch...)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer conn.Close()
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(q))), q...))
	must(t, err)
	answer := make([]byte, 256)
	n, err := conn.Read(answer)
	must(t, err)
	// length, correlation, topics, name, partitions, partition, then the code.
	at := 4 + 4 + 4 + 2 + len(topic) + 4 + 4
	if n < at+2 || binary.BigEndian.Uint16(answer[at:]) != 0 {
		t.Fatalf("the broker refused the batch: % x", answer[:n])
	}
}

// One batch that cannot be decoded is named with its offset; what is before it, and
// the other partitions, are served.
func TestNamesTheBatchThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	record1 := []byte{14, 0, 0, 0, 1, 2, 'v', 0} // one record with the value v
	for _, c := range []struct {
		name string
		bad  raw
	}{
		{"records that end early", raw{count: 2, body: record1}},
		{"more records than bytes", raw{count: 50_000, body: record1}},
		{"a record with a wrong length", raw{count: 1, body: []byte{4, 0, 0, 0, 1, 2, 'v', 0, 0, 0, 0}}},
		{"no gzip at all", raw{count: 1, attributes: 1, body: []byte("not compressed by anybody")}},
		{"no zstd at all", raw{count: 1, attributes: 4, body: []byte("not compressed by anybody")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, embedded.Options{})
			cl := cluster1(t, b)
			newTopic(t, cl, "t", 3)
			good := func(part int32, value string) record.Output {
				return record.Output{TopicPartition: record.TopicPartition{Topic: "t", Partition: part}, Value: []byte(value)}
			}
			p := newProducer(t, cl, kafka.ProducerOptions{TransactionalID: "writer"})
			commit(t, p, good(0, "0"), good(1, "0"), good(2, "0")) // offset 0, marker 1
			produceRaw(t, b.Addrs()[0], "t", 1, c.bad)             // offset 2
			commit(t, p, good(0, "1"), good(1, "behind"), good(2, "1"))
			f, err := cl.Fetcher(kafka.FetchOptions{MaxWait: 10 * time.Millisecond})
			must(t, err)
			positions := []kafka.Position{{TopicPartition: good(0, "").TopicPartition}, {TopicPartition: good(1, "").TopicPartition}, {TopicPartition: good(2, "").TopicPartition}}
			seen := make([]int, 3)
			var named *kafka.UndecodableError
			eventually(t, func() bool {
				answer, err := f.Fetch(t.Context(), positions)
				must(t, err)
				for _, got := range answer {
					if errors.As(got.Err, &named) {
						if got.Next != 2 || len(got.Records) != 0 {
							t.Fatalf("%+v", got)
						}
						continue
					}
					must(t, got.Err)
					seen[got.Partition] += len(got.Records)
					positions[got.Partition].Offset = got.Next
				}
				return named != nil && seen[0] == 2 && seen[2] == 2
			})
			if named.Topic != "t" || named.Partition != 1 || named.Offset != 2 || seen[1] != 1 {
				t.Errorf("named %v, %d records before it", named, seen[1])
			}
			// Behind it the partition can be read.
			positions[1].Offset = 2 + int64(c.bad.count)
			eventually(t, func() bool {
				answer, err := f.Fetch(t.Context(), positions)
				must(t, err)
				i := slices.IndexFunc(answer, func(got kafka.Fetched) bool { return got.Partition == 1 })
				return i >= 0 && len(answer[i].Records) == 1 && string(answer[i].Records[0].Value) == "behind"
			})
		})
	}
}

// A batch without records, as compaction leaves them, does not stop a reader.
func TestPassesBatchesWithoutRecords(t *testing.T) {
	t.Parallel()
	m := sarama.NewMockBroker(t, 1)
	defer m.Close()
	// Of the first batch, 5 to 11, compaction has left the record 6; of the other nothing.
	left := &sarama.RecordBatch{Version: 2, FirstOffset: 5, LastOffsetDelta: 6, ProducerID: 1, Records: []*sarama.Record{{OffsetDelta: 1, Value: []byte("v")}}}
	empty := &sarama.RecordBatch{Version: 2, FirstOffset: 12, LastOffsetDelta: 2, ProducerID: 1}
	answerWith := func(batch *sarama.RecordBatch) *sarama.FetchResponse {
		return &sarama.FetchResponse{Version: 11, Blocks: map[string]map[int32]*sarama.FetchResponseBlock{"t": {0: {
			HighWaterMarkOffset: 15, LastStableOffset: 15, RecordsSet: []*sarama.Records{{RecordBatch: batch}},
		}}}}
	}
	m.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{{ApiKey: 1, MaxVersion: 11}, {ApiKey: 3, MaxVersion: 9}}),
		"MetadataRequest":    sarama.NewMockMetadataResponse(t).SetBroker(m.Addr(), 1).SetLeader("t", 0, 1),
		"FetchRequest":       sarama.NewMockSequence(answerWith(left), answerWith(empty)),
	})
	c, err := New(Options{Brokers: []string{m.Addr()}})
	must(t, err)
	defer c.Close()
	f, err := c.Fetcher(kafka.FetchOptions{})
	must(t, err)
	got, err := f.Fetch(t.Context(), []kafka.Position{{TopicPartition: record.TopicPartition{Topic: "t"}, Offset: 5}})
	must(t, err)
	if len(got) != 1 || got[0].Next != 12 || len(got[0].Records) != 1 || got[0].Records[0].Offset != 6 {
		t.Errorf("answered %+v, want the record 6 and the position 12", got)
	}
	got, err = f.Fetch(t.Context(), []kafka.Position{{TopicPartition: record.TopicPartition{Topic: "t"}, Offset: 12}})
	must(t, err)
	if len(got) != 1 || got[0].Next != 15 || len(got[0].Records) != 0 || got[0].Err != nil {
		t.Errorf("answered %+v, want the position 15", got)
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
		must(t, p.Produce(t.Context(), []record.Output{{TopicPartition: tp, Value: []byte("gone")}}))
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
	must(t, p.Produce(t.Context(), []record.Output{{TopicPartition: tp, Value: []byte("gone")}}))
	<-held
	_, err := p.Init(t.Context())
	must(t, err)
	holding.Store(false)
	close(free)
	for i := range 3 {
		must(t, p.Begin())
		must(t, p.Produce(t.Context(), []record.Output{{TopicPartition: tp, Value: []byte("aborted")}}))
		must(t, p.End(t.Context(), false))
		commit(t, p, record.Output{TopicPartition: tp, Value: fmt.Append(nil, i)})
	}
	numbered(t, c, tp, 3)
}

// While Revoked runs, for longer than a session, the member stays alive and can
// commit.
func TestStaysAliveInRevoked(t *testing.T) {
	t.Parallel()
	var beats atomic.Int64
	b := start(t, embedded.Options{MinSessionTimeout: 100 * time.Millisecond, Tap: func(e embedded.Event) embedded.Verdict {
		if e.Request == embedded.Heartbeat && e.Moment == embedded.Answered && e.ClientID == "a" {
			beats.Add(1)
		}
		return embedded.Pass
	}})
	newTopic(t, cluster1(t, b), "t", 2)
	ctx, cancel := context.WithCancel(t.Context())
	run := func(id string, h kafka.GroupHandler) (kafka.Cluster, chan error) {
		c, err := New(Options{Brokers: b.Addrs(), ClientID: id})
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		g, err := c.Group(kafka.GroupOptions{Group: "g", Topics: []string{"t"}, SessionTimeout: 2 * time.Second})
		must(t, err)
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, h) }()
		return c, done
	}
	first := &slow{told: make(chan string, 100), in: make(chan kafka.Member, 10), out: make(chan struct{})}
	c, doneA := run("a", first)
	if got := <-first.told; got != "assigned 2" {
		t.Fatalf("told %q", got)
	}
	_, doneB := run("b", handler(make(chan string, 100)))
	member := <-first.in
	_, doneC := run("c", handler(make(chan string, 100))) // the next rebalance begins
	from := beats.Load()
	eventually(t, func() bool { return beats.Load() > from+25 }) // more than a session
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	must(t, p.Begin())
	must(t, p.SendOffsets(t.Context(), "g", member, []kafka.CommittedOffset{{TopicPartition: record.TopicPartition{Topic: "t"}, Offset: 1}}))
	must(t, p.End(t.Context(), true))
	close(first.out)
	for i, want := range []string{"assigned 1", "revoked 1", "assigned"} {
		if got := <-first.told; !strings.HasPrefix(got, want) {
			t.Fatalf("told %q at %d, want %q", got, i, want)
		}
	}
	cancel()
	must(t, <-doneA)
	must(t, <-doneB)
	must(t, <-doneC)
}

// slow is a handler whose first Revoked takes its time.
type slow struct {
	told   chan string
	member kafka.Member
	in     chan kafka.Member
	out    chan struct{}
}

func (s *slow) Assigned(m kafka.Member, parts []record.TopicPartition) {
	s.member = m
	handler(s.told).Assigned(m, parts)
}

func (s *slow) Revoked(parts []record.TopicPartition) {
	s.in <- s.member
	<-s.out
	handler(s.told).Revoked(parts)
}

func (s *slow) Lost(parts []record.TopicPartition) { handler(s.told).Lost(parts) }

// A member whose heartbeats do not arrive is told Lost when its session is over, and
// joins again.
func TestLosesItsSessionWhenHeartbeatsDoNotArrive(t *testing.T) {
	t.Parallel()
	b := start(t, embedded.Options{MinSessionTimeout: 100 * time.Millisecond})
	c := cluster1(t, b)
	newTopic(t, c, "t", 2)
	g, err := c.Group(kafka.GroupOptions{Group: "g", Topics: []string{"t"}, SessionTimeout: 2 * time.Second})
	must(t, err)
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, handler(told)) }()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("not told %q", want)
		}
	}
	next("assigned 2")
	fault := b.Fault(embedded.Fault{Request: embedded.Heartbeat, Group: "g", Lose: embedded.LoseRequest, Count: -1})
	next("lost 2")
	fault.Remove()
	next("assigned 2")
	cancel()
	next("revoked 2")
	must(t, <-done)
}

// handler writes down what it is told.
type handler chan string

func (h handler) Assigned(_ kafka.Member, parts []record.TopicPartition) {
	h <- fmt.Sprint("assigned ", len(parts))
}
func (h handler) Revoked(parts []record.TopicPartition) { h <- fmt.Sprint("revoked ", len(parts)) }
func (h handler) Lost(parts []record.TopicPartition)    { h <- fmt.Sprint("lost ", len(parts)) }
