package wire

import (
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

const (
	batchRecords = 500 // of one batch at most
	// batchBytes bounds a batch on the wire, unless one record is larger. The
	// broker's default limit is 1048588.
	batchBytes = 1_000_000
	// recordOverhead is at most what the wire adds to a record's bytes: length,
	// attributes, two deltas, three lengths.
	recordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 5
	headerOverhead = 5 + 5
)

// A batch is what one Produce request carries for one partition. It owns the bytes of
// its records, so that it can be sent again whatever the caller does with his.
type batch struct {
	raw    []byte // the records, encoded
	n      int    // of records
	size   int    // on the wire, at most
	first  int64
	newest int64 // timestamps, milliseconds

	sequence int32
	deadline time.Time // without an answer by then it is indefinite
	lost     bool      // the last answer to it was lost
	done     bool      // acknowledged
}

// takes reports whether an output still fits.
func (b *batch) takes(o *record.Output) bool {
	return b.n == 0 || b.n < batchRecords && b.size+wireSize(o) <= batchBytes
}

// add adds an output.
func (b *batch) add(o *record.Output) {
	if b.n == 0 {
		b.first, b.newest = o.Timestamp, o.Timestamp
	}
	b.newest = max(b.newest, o.Timestamp)
	b.size += wireSize(o)
	b.raw = appendRecord(b.raw, o, o.Timestamp-b.first, b.n)
	b.n++
}

// wire returns the batch as it is sent.
func (b *batch) wire(id kafka.ProducerID, transactional bool, codec sarama.CompressionCodec) *sarama.RecordBatch {
	rb := &sarama.RecordBatch{
		Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault, IsTransactional: transactional, PartitionLeaderEpoch: -1,
		ProducerID: id.ID, ProducerEpoch: id.Epoch, FirstSequence: b.sequence,
		FirstTimestamp: time.UnixMilli(b.first), MaxTimestamp: time.UnixMilli(b.newest),
		LastOffsetDelta: int32(b.n - 1), Records: make([]*sarama.Record, b.n),
	}
	if codec == sarama.CompressionNone && encoded(rb, b.raw) {
		return rb
	}
	for i, o := range b.outputs() {
		r := &sarama.Record{OffsetDelta: int64(i), TimestampDelta: time.Duration(o.Timestamp-b.first) * time.Millisecond, Key: o.Key, Value: o.Value}
		for _, h := range o.Headers {
			r.Headers = append(r.Headers, &sarama.RecordHeader{Key: h.Key, Value: h.Value})
		}
		rb.Records[i] = r
	}
	return rb
}

// split takes the second half of the records out of a batch that is not on the way,
// as the batch that follows it.
func (b *batch) split() *batch {
	all := b.outputs()
	n := len(all) / 2
	second := &batch{sequence: after(b.sequence, n)}
	b.raw, b.n, b.size = nil, 0, 0
	for i := range all[:n] {
		b.add(&all[i])
	}
	for i := range all[n:] {
		second.add(&all[n+i])
	}
	return second
}

// refused returns the record of which the broker says that it does not take it; if it
// names none, the newest.
func (b *batch) refused(block *sarama.ProduceResponseBlock) record.Output {
	all := b.outputs()
	for _, e := range block.RecordErrors {
		if int(e.BatchIndex) < len(all) && e.BatchIndex >= 0 {
			return all[e.BatchIndex]
		}
	}
	newest := all[0]
	for _, o := range all {
		if o.Timestamp > newest.Timestamp {
			newest = o
		}
	}
	return newest
}

// payload returns how many bytes a record's key, value and headers have.
func payload(o *record.Output) int {
	n := len(o.Key) + len(o.Value)
	for _, h := range o.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// clear makes the batch ready for other records.
func (b *batch) clear() { *b = batch{raw: b.raw[:0]} }

func wireSize(o *record.Output) int {
	return recordOverhead + headerOverhead*len(o.Headers) + payload(o)
}

// after returns the sequence that follows n records from a sequence: it wraps to 0.
func after(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}
