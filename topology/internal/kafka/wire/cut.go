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

// A batch is what one Produce request carries for one partition. It owns the bytes
// of its records, so that it can be sent again whatever the caller does with his.
type batch struct {
	records []sarama.Record
	bytes   []byte
	size    int // on the wire, at most
	limit   int // of size
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

// add copies an output into the batch.
func (b *batch) add(o *record.Output) {
	if len(b.records) == 0 {
		b.first, b.newest = o.Timestamp, o.Timestamp
	}
	b.newest = max(b.newest, o.Timestamp)
	b.size += wireSize(o)
	r := sarama.Record{
		TimestampDelta: time.Duration(o.Timestamp-b.first) * time.Millisecond,
		OffsetDelta:    int64(len(b.records)),
		Key:            b.copy(o.Key),
		Value:          b.copy(o.Value),
	}
	if len(o.Headers) > 0 {
		r.Headers = make([]*sarama.RecordHeader, len(o.Headers))
		slab := make([]sarama.RecordHeader, len(o.Headers))
		for i, h := range o.Headers {
			slab[i] = sarama.RecordHeader{Key: b.copy(h.Key), Value: b.copy(h.Value)}
			r.Headers[i] = &slab[i]
		}
	}
	b.records = append(b.records, r)
}

// copy keeps nil apart from empty. When the buffer grows, what was copied before
// stays where it is.
func (b *batch) copy(p []byte) []byte {
	if len(p) == 0 {
		if p == nil {
			return nil
		}
		return []byte{}
	}
	first := len(b.bytes)
	b.bytes = append(b.bytes, p...)
	return b.bytes[first:len(b.bytes):len(b.bytes)]
}

// wire returns the batch as it is sent.
func (b *batch) wire(id kafka.ProducerID, transactional bool, codec sarama.CompressionCodec) *sarama.RecordBatch {
	pointers := make([]*sarama.Record, len(b.records))
	for i := range b.records {
		pointers[i] = &b.records[i]
	}
	return &sarama.RecordBatch{
		Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault, IsTransactional: transactional, PartitionLeaderEpoch: -1,
		ProducerID: id.ID, ProducerEpoch: id.Epoch, FirstSequence: b.sequence,
		FirstTimestamp: time.UnixMilli(b.first), MaxTimestamp: time.UnixMilli(b.newest),
		LastOffsetDelta: int32(len(b.records) - 1), Records: pointers,
	}
}

// split takes the second half of the records out of a batch that is not on the way,
// as the batch that follows it. Neither may write over the bytes that they share.
func (b *batch) split() *batch {
	n := len(b.records) / 2
	second := &batch{records: b.records[n:], limit: b.limit, sequence: after(b.sequence, n)}
	b.records, b.bytes = b.records[:n:n], nil
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

// clear makes the batch ready for other records.
func (b *batch) clear() {
	*b = batch{records: b.records[:0], bytes: b.bytes[:0]}
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
