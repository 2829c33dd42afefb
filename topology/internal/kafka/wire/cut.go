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

// A batch is what one Produce request carries for one partition. Its records alias the
// caller's bytes.
type batch struct {
	records []sarama.Record
	heads   []sarama.RecordHeader
	listed  []*sarama.RecordHeader // of heads
	all     []*sarama.Record       // of records
	raw     []byte                 // the records as they are sent
	size    int                    // on the wire, at most
	limit   int                    // of size
	first   int64
	newest  int64 // timestamps, milliseconds

	sequence int32
	deadline time.Time // without an answer by then it is indefinite
	lost     bool      // the last answer to it was lost
	done     bool      // acknowledged
}

// takes reports whether an output still fits.
func (b *batch) takes(o *record.Output) bool {
	return len(b.records) == 0 || len(b.records) < batchRecords && b.size+wireSize(o) <= b.limit
}

// add adds an output.
func (b *batch) add(o *record.Output) {
	if len(b.records) == 0 {
		b.first, b.newest = o.Timestamp, o.Timestamp
	}
	b.newest = max(b.newest, o.Timestamp)
	b.size += wireSize(o)
	r := sarama.Record{
		TimestampDelta: time.Duration(o.Timestamp-b.first) * time.Millisecond,
		OffsetDelta:    int64(len(b.records)),
		Key:            o.Key,
		Value:          o.Value,
	}
	if len(o.Headers) > 0 {
		// Where a slice grows, what was listed before stays where it is.
		from := len(b.listed)
		for _, h := range o.Headers {
			b.heads = append(b.heads, sarama.RecordHeader{Key: h.Key, Value: h.Value})
			b.listed = append(b.listed, &b.heads[len(b.heads)-1])
		}
		r.Headers = b.listed[from:len(b.listed):len(b.listed)]
	}
	b.records = append(b.records, r)
}

// wire returns the batch as it is sent.
func (b *batch) wire(id kafka.ProducerID, transactional bool, codec sarama.CompressionCodec) *sarama.RecordBatch {
	b.all = b.all[:0]
	for i := range b.records {
		b.all = append(b.all, &b.records[i])
	}
	rb := &sarama.RecordBatch{
		Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault, IsTransactional: transactional, PartitionLeaderEpoch: -1,
		ProducerID: id.ID, ProducerEpoch: id.Epoch, FirstSequence: b.sequence,
		FirstTimestamp: time.UnixMilli(b.first), MaxTimestamp: time.UnixMilli(b.newest),
		LastOffsetDelta: int32(len(b.records) - 1), Records: b.all,
	}
	if codec == sarama.CompressionNone {
		b.raw = appendRecords(b.raw[:0], b.records)
		encoded(rb, b.raw)
	}
	return rb
}

// split takes the second half of the records out of a batch that is not on the way,
// as the batch that follows it. They share memory: neither uses it again for others.
func (b *batch) split() *batch {
	n := len(b.records) / 2
	second := &batch{records: b.records[n:], limit: b.limit, sequence: after(b.sequence, n)}
	b.records, b.heads, b.listed = b.records[:n:n], nil, nil
	base := second.records[0].TimestampDelta
	second.first = b.first + base.Milliseconds()
	for i := range second.records {
		second.records[i].OffsetDelta = int64(i)
		second.records[i].TimestampDelta -= base
	}
	b.measure()
	second.measure()
	return second
}

// refused returns the record of which the broker says that it does not take it; if it
// names none, the newest.
func (b *batch) refused(block *sarama.ProduceResponseBlock) *sarama.Record {
	for _, e := range block.RecordErrors {
		if int(e.BatchIndex) < len(b.records) && e.BatchIndex >= 0 {
			return &b.records[e.BatchIndex]
		}
	}
	newest := &b.records[0]
	for i := range b.records {
		if b.records[i].TimestampDelta > newest.TimestampDelta {
			newest = &b.records[i]
		}
	}
	return newest
}

// measure finds size and newest anew.
func (b *batch) measure() {
	b.size, b.newest = 0, b.first
	for i := range b.records {
		r := &b.records[i]
		b.size += recordOverhead + payload(r)
		b.size += headerOverhead * len(r.Headers)
		b.newest = max(b.newest, b.first+r.TimestampDelta.Milliseconds())
	}
}

// payload returns how many bytes a record's key, value and headers have.
func payload(r *sarama.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// clear makes the batch ready for other records; it holds no memory of these.
func (b *batch) clear() {
	clear(b.records)
	clear(b.heads)
	*b = batch{records: b.records[:0], heads: b.heads[:0], listed: b.listed[:0], all: b.all[:0], raw: b.raw[:0]}
}

func wireSize(o *record.Output) int {
	n := recordOverhead + len(o.Key) + len(o.Value)
	for _, h := range o.Headers {
		n += headerOverhead + len(h.Key) + len(h.Value)
	}
	return n
}

// after returns the sequence that follows n records from a sequence: it wraps to 0.
func after(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}
