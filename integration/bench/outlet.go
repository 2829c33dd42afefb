//go:build linux

package main

import (
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// An outlet is what the floor has for one partition of a topic. Its memory is used
// again for every request: sarama has encoded it when the call returns.
type outlet struct {
	topic     string
	partition int32
	sequence  int32

	records []sarama.Record
	stamps  []int64
	sent    int // of records
	bytes   []byte
	heads   []sarama.RecordHeader
	pointed []*sarama.RecordHeader
	list    []*sarama.Record
}

func (o *outlet) add(key, value []byte, timestamp int64) {
	o.records = append(o.records, sarama.Record{Key: key, Value: value})
	o.stamps = append(o.stamps, timestamp)
}

// total keeps the bytes of a total; another outlet may send them too.
func (o *outlet) total(t total) []byte {
	return o.keep(func(b []byte) []byte { return appendTotal(b, t) })
}

func (o *outlet) keep(put func([]byte) []byte) []byte {
	from := len(o.bytes)
	o.bytes = put(o.bytes)
	return o.bytes[from:len(o.bytes):len(o.bytes)]
}

// head gives the last record the header that streamrun writes.
func (o *outlet) head(sequence int64) {
	value := o.keep(func(b []byte) []byte {
		return append(strconv.AppendInt(append(b, "0/"...), sequence, 10), "/0"...)
	})
	if len(o.heads) == cap(o.heads) { // those before stay where they are
		o.heads = make([]sarama.RecordHeader, 0, 4*floorBatch)
	}
	o.heads = append(o.heads, sarama.RecordHeader{Key: orderKey, Value: value})
	o.pointed = append(o.pointed, &o.heads[len(o.heads)-1])
	o.records[len(o.records)-1].Headers = o.pointed[len(o.pointed)-1:]
}

var orderKey = []byte("streamrun.order")

// row adds a record as large as an order row.
func (o *outlet) row(key []byte, sequence, timestamp int64) {
	k := o.keep(func(b []byte) []byte { return append(append(b, 'e'), key...) })
	v := o.keep(func(b []byte) []byte { return append(b, 1, 0, byte(sequence)) })
	o.add(k, v, timestamp)
}

// rest returns how many records are not sent.
func (o *outlet) rest() int { return len(o.records) - o.sent }

// next returns the next batch, or nil.
func (o *outlet) next(t *txn) *sarama.RecordBatch {
	if o.rest() == 0 {
		return nil
	}
	from, to := o.sent, min(o.sent+floorBatch, len(o.records))
	o.sent = to
	base, newest := o.stamps[from], o.stamps[from]
	o.list = o.list[:0]
	for i := from; i < to; i++ {
		r := &o.records[i]
		r.OffsetDelta, r.TimestampDelta = int64(i-from), time.Duration(o.stamps[i]-base)*time.Millisecond
		newest = max(newest, o.stamps[i])
		o.list = append(o.list, r)
	}
	rb := &sarama.RecordBatch{
		Version: 2, IsTransactional: true, PartitionLeaderEpoch: -1, ProducerID: t.producer, ProducerEpoch: t.epoch, FirstSequence: o.sequence,
		FirstTimestamp: time.UnixMilli(base), MaxTimestamp: time.UnixMilli(newest), LastOffsetDelta: int32(to - from - 1), Records: o.list,
	}
	o.sequence += int32(to - from)
	return rb
}

// reset gives the memory free when everything is sent.
func (o *outlet) reset() {
	if o.sent == len(o.records) {
		o.records, o.stamps, o.bytes, o.heads, o.pointed, o.sent = o.records[:0], o.stamps[:0], o.bytes[:0], o.heads[:0], o.pointed[:0], 0
	}
}
