package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func TestBatchesKeepToTheirBounds(t *testing.T) {
	t.Parallel()
	small := record.Output{Value: []byte("v")}
	b := &batch{}
	n := 0
	for ; b.takes(&small); n++ {
		b.add(&small)
	}
	if n != batchRecords {
		t.Errorf("%d small records in a batch, want %d", n, batchRecords)
	}
	big := record.Output{Value: make([]byte, 300_000)}
	b.clear()
	for n = 0; b.takes(&big); n++ {
		b.add(&big)
	}
	if n != 3 {
		t.Errorf("%d records of 300 kB in a batch, want 3", n)
	}
	huge := record.Output{Value: make([]byte, 5<<20)}
	b.clear()
	if !b.takes(&huge) {
		t.Error("a record larger than a batch is taken by no batch")
	}
	b.add(&huge)
	if b.takes(&small) {
		t.Error("a batch with a record that is too large takes another")
	}
}

func TestBatchIsUsedAgain(t *testing.T) {
	t.Parallel()
	b := &batch{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		var want []record.Output
		for i := range 400 {
			o := record.Output{Timestamp: int64(i), Key: fmt.Append(nil, rnd.Uint32()), Value: fmt.Append(nil, rnd.Uint32())}
			for range rnd.IntN(4) {
				o.Headers = append(o.Headers, record.Header{Key: fmt.Append(nil, rnd.Uint32()), Value: fmt.Append(nil, rnd.Uint32())})
			}
			want = append(want, o)
			b.add(&o)
		}
		if d := cmp.Diff(want, b.outputs()); d != "" {
			t.Fatal(d)
		}
		var got []record.Output
		for i, r := range b.wire(kafka.ProducerID{}, true, sarama.CompressionGZIP).Records {
			o := record.Output{Timestamp: b.first + r.TimestampDelta.Milliseconds(), Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				o.Headers = append(o.Headers, record.Header{Key: h.Key, Value: h.Value})
			}
			if r.OffsetDelta != int64(i) {
				t.Fatalf("offset %d of record %d", r.OffsetDelta, i)
			}
			got = append(got, o)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if b.clear(); b.size != 0 || b.n != 0 {
			t.Fatalf("%d records of %d bytes are left", b.n, b.size)
		}
	}
}

// If sarama lost the field, each record would cost a third more.
func TestSaramaTakesEncodedRecords(t *testing.T) {
	t.Parallel()
	rb := &sarama.RecordBatch{}
	if got := reflect.ValueOf(rb).Elem().FieldByName("compressedRecords"); !encoded(rb, []byte("raw")) || string(got.Bytes()) != "raw" {
		t.Errorf("sarama was given %q", got.Bytes())
	}
}

func TestRecordsAreEncoded(t *testing.T) {
	t.Parallel()
	head := []record.Header{{Key: []byte("h"), Value: nil}, {Key: []byte{}, Value: []byte("v")}}
	for _, c := range []struct {
		name      string
		record    record.Output
		timestamp int64
		offset    int
		want      []byte
	}{
		{"nothing", record.Output{}, 0, 0, []byte{12, 0, 0, 0, 1, 1, 0}},
		{"empty is not null", record.Output{Key: []byte{}, Value: []byte{}}, 0, 0, []byte{12, 0, 0, 0, 0, 0, 0}},
		{"headers", record.Output{Key: []byte("k"), Headers: head}, -2, 64, []byte{28, 0, 3, 128, 1, 2, 'k', 1, 4, 2, 'h', 1, 0, 2, 'v'}},
		{"a length of two bytes", record.Output{Value: make([]byte, 64)}, 0, 0, append([]byte{142, 1, 0, 0, 0, 1, 128, 1}, make([]byte, 65)...)},
	} {
		if got := appendRecord(nil, &c.record, c.timestamp, c.offset); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % d, want % d", c.name, got, c.want)
		}
	}
	for n := int64(1); n > 0; n <<= 1 {
		for _, v := range []int64{n, n - 1, -n, -n - 1} {
			if got, want := varintSize(v), len(binary.AppendVarint(nil, v)); got != want {
				t.Fatalf("%d takes %d bytes, want %d", v, got, want)
			}
		}
	}
}

func TestSequencesWrapToZero(t *testing.T) {
	t.Parallel()
	if got := after(math.MaxInt32, 1); got != 0 {
		t.Errorf("behind the greatest comes %d", got)
	}
	if got := after(math.MaxInt32-2, 5); got != 2 {
		t.Errorf("five from the greatest less two is %d, want 2", got)
	}
}

// A batch that was encoded before it was known what its topic takes is sent in pieces,
// but one that was sent keeps its numbers.
func TestOutboxHasBatchesThatItsTopicTakes(t *testing.T) {
	t.Parallel()
	o := &outbox{first: -1, limit: 1000}
	b := &batch{}
	for i := range 100 {
		b.add(&record.Output{Value: fmt.Appendf(nil, "%0*d", 10+i, i)})
	}
	huge := &batch{}
	huge.add(&record.Output{Value: make([]byte, 2000)})
	o.enqueue(b)
	o.enqueue(huge)
	o.known = true
	n := 0
	for b := o.ready(); b != nil; b = o.ready() {
		b.deadline = time.Now()
		o.sent++
	}
	for _, b := range o.queue {
		if b.sequence != int32(n) || b.size > o.limit && b.n > 1 {
			t.Errorf("a batch of %d records and %d bytes has sequence %d, behind %d records", b.n, b.size, b.sequence, n)
		}
		for _, r := range b.outputs() {
			if v, _ := strconv.Atoi(string(r.Value)); n < 100 && v != n {
				t.Errorf("record %d is %d", n, v)
			}
			n++
		}
	}
	if n != 101 || o.next != 101 || len(o.queue) < 3 {
		t.Errorf("%d records in %d batches, the next sequence is %d", n, len(o.queue), o.next)
	}
	o.limit, o.sent = 10, 0
	if had := o.queue[0].n; o.ready() != o.queue[0] || o.queue[0].n != had {
		t.Error("a batch that was sent is cut")
	}
}

func TestOutboxSendsAgainInOrder(t *testing.T) {
	t.Parallel()
	o := &outbox{first: -1, known: true, limit: batchBytes}
	for range 4 {
		b := &batch{}
		b.add(&record.Output{})
		o.enqueue(b)
	}
	var sent []*batch
	for b := o.ready(); b != nil; b = o.ready() {
		sent = append(sent, b)
		o.sent++
		o.flying++
	}
	// The second is refused, the third is in the log all the same, the fourth is out of order.
	o.flying = 3
	o.acknowledge(sent[0], 10)
	o.refused = true
	if o.ready() != nil {
		t.Fatal("sent although two are on the way")
	}
	o.acknowledge(sent[2], 30)
	if !o.early(sent[3]) || o.early(sent[1]) {
		t.Error("the second is early, or the fourth is not")
	}
	o.flying = 0
	for i, want := range []*batch{sent[1], sent[3], nil} {
		b := o.ready()
		if b != want {
			t.Fatalf("try %d sends sequence %+v", i, b)
		}
		if b != nil {
			o.sent++
		}
	}
	if o.first != 10 {
		t.Errorf("first acknowledged offset %d", o.first)
	}
	if maybe := o.discard(); maybe || o.next != sent[1].sequence {
		t.Errorf("after dropping what was refused the next sequence is %d (maybe taken: %v), want %d", o.next, maybe, sent[1].sequence)
	}
}

func TestUnknownPartitionGetsOneBatchAtATime(t *testing.T) {
	t.Parallel()
	o := &outbox{first: -1, limit: batchBytes}
	for range 2 {
		b := &batch{}
		b.add(&record.Output{})
		o.enqueue(b)
	}
	first := o.ready()
	o.sent, o.flying = 1, 1
	if o.ready() != nil {
		t.Fatal("a second batch leaves before the broker knows the producer")
	}
	o.flying = 0
	o.acknowledge(first, 0)
	if o.ready() == nil {
		t.Fatal("the second batch does not leave")
	}
}
