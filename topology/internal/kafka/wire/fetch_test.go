package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

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
			batch.Records = append(batch.Records, &sarama.Record{
				OffsetDelta: int64(i), TimestampDelta: time.Duration(i) * time.Millisecond, Value: value,
				Headers: []*sarama.RecordHeader{{Key: []byte("codec"), Value: []byte(codec.String())}},
			})
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
			if named.Topic != "t" || named.Partition != 1 || named.Offset != 2 || seen[1] != 1 || named.Next != 2+int64(c.bad.count) {
				t.Errorf("named %+v, %d records before it", named, seen[1])
			}
			// Behind it the partition can be read.
			positions[1].Offset = named.Next
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

// twoLeaders returns three brokers, of which two lead a partition of a topic each, and a
// fetcher with the positions of both.
func twoLeaders(t *testing.T) (*embedded.Broker, kafka.Cluster, kafka.Fetcher, []kafka.Position) {
	t.Helper()
	b := start(t, embedded.Options{Ports: []int{0, 0, 0}})
	c := cluster1(t, b)
	newTopic(t, c, "beside", 2)
	must(t, b.MoveLeader("beside", 0, 0))
	must(t, b.MoveLeader("beside", 1, 1))
	f, err := c.Fetcher(kafka.FetchOptions{MaxWait: 50 * time.Millisecond})
	must(t, err)
	first := record.TopicPartition{Topic: "beside"}
	second := record.TopicPartition{Topic: "beside", Partition: 1}
	return b, c, f, []kafka.Position{{TopicPartition: first}, {TopicPartition: second}}
}

// writeHere commits a record "here".
func writeHere(t *testing.T, c kafka.Cluster, tp record.TopicPartition) {
	t.Helper()
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: "writer"})
	must(t, p.Begin())
	must(t, p.Produce(t.Context(), p.Encode([]record.Output{{TopicPartition: tp, Value: []byte("here")}})))
	_, err := p.Flush(t.Context())
	must(t, err)
	must(t, p.End(t.Context(), true))
}

// A leader that moves is found while the other partition is idle: that one's empty
// answer must not make the fetcher forget that it asked the wrong broker.
func TestFollowsALeaderBesideAnIdlePartition(t *testing.T) {
	t.Parallel()
	b, c, f, positions := twoLeaders(t)
	moved := positions[1].TopicPartition
	_, err := f.Fetch(t.Context(), positions) // learns the leaders, and that both are empty
	must(t, err)
	must(t, b.MoveLeader("beside", 1, 2))
	writeHere(t, c, moved)
	for range 3 {
		answer, err := f.Fetch(t.Context(), positions)
		must(t, err)
		for _, got := range answer {
			if len(got.Records) == 1 && string(got.Records[0].Value) == "here" {
				return
			}
		}
	}
	t.Fatal("the record at the new leader was not read in three calls")
}

// A partition of which nobody said anything is told from one that has not changed.
func TestTellsWhoDidNotAnswer(t *testing.T) {
	t.Parallel()
	b, c, f, positions := twoLeaders(t)
	news, moved := positions[0].TopicPartition, positions[1].TopicPartition
	fetch := func(unanswered ...record.TopicPartition) {
		t.Helper()
		got, err := f.Fetch(t.Context(), positions)
		must(t, err)
		if !slices.Equal(f.Unanswered(), unanswered) {
			t.Errorf("unanswered %v, want %v; answered %+v", f.Unanswered(), unanswered, got)
		}
	}
	fetch() // learns the leaders
	fetch() // nothing is new
	writeHere(t, c, news)
	must(t, b.MoveLeader("beside", 1, 2))
	fetch(moved) // the other one has news
	fetch()
}
