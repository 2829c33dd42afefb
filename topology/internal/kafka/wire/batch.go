package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A reading is what a partition's part of a Fetch answer holds for a reader at a
// position.
type reading struct {
	records []record.Record
	next    int64 // position behind everything read
	bytes   int
	// short says that the answer ends inside the first batch: sarama says so for a
	// batch that the broker cut off, and for one whose inside it cannot decode.
	short bool
}

var errOldFormat = errors.New("message format v0 or v1 (written before Kafka 0.11, or by a client of that age)")

// read converts a partition's part of an answer. Records below the position,
// control records and, for a committed reader, records of aborted transactions are
// left out; the position moves over them. The records alias the decoded batches,
// and take one allocation, their headers another.
func read(position int64, block *sarama.FetchResponseBlock, committed bool) (reading, error) {
	got := reading{next: position}
	aborted := newAborts(block, committed)
	var kept []*sarama.RecordBatch
	records, headers := 0, 0
	for _, set := range block.RecordsSet {
		if set.RecordBatch == nil {
			if len(kept) == 0 && got.next == position {
				return got, errOldFormat
			}
			break // what is before it is served first
		}
		batch := set.RecordBatch
		if batch.PartialTrailingRecord {
			got.short = got.next == position
			break
		}
		last := batch.LastOffset()
		if last < position {
			continue
		}
		got.next = last + 1
		if aborted.skips(batch) {
			continue
		}
		for _, r := range batch.Records {
			headers += len(r.Headers)
		}
		records += len(batch.Records)
		kept = append(kept, batch)
	}
	if got.next == position && !got.short {
		got.short = block.Partial
		if end, ok := nextOffset(block); ok && !got.short && len(block.RecordsSet) == 0 {
			got.next = max(end, position)
		}
	}
	if records == 0 {
		return got, nil
	}
	got.records = make([]record.Record, 0, records)
	slab := make([]record.Header, 0, headers)
	for _, batch := range kept {
		base, fixed := batchTime(batch)
		for _, r := range batch.Records {
			offset := batch.FirstOffset + r.OffsetDelta
			if offset < position {
				continue
			}
			out := record.Record{Offset: offset, Timestamp: base, Key: r.Key, Value: r.Value}
			if !fixed {
				out.Timestamp += int64(r.TimestampDelta / time.Millisecond)
			}
			if len(r.Headers) > 0 {
				first := len(slab)
				for _, h := range r.Headers {
					slab = append(slab, record.Header{Key: h.Key, Value: h.Value})
				}
				out.Headers = slab[first:len(slab):len(slab)]
			}
			got.bytes += len(r.Key) + len(r.Value)
			got.records = append(got.records, out)
		}
	}
	return got, nil
}

// batchTime returns the time that the deltas of a batch count from, in
// milliseconds; fixed: the broker's append time, which is that of every record.
func batchTime(batch *sarama.RecordBatch) (base int64, fixed bool) {
	t := batch.FirstTimestamp
	if batch.LogAppendTime {
		t, fixed = batch.MaxTimestamp, true
	}
	if t.IsZero() {
		return -1, fixed // no timestamp
	}
	return t.UnixMilli(), fixed
}

// aborts follows which producers are inside an aborted transaction.
type aborts struct {
	waiting []*sarama.AbortedTransaction // not reached yet, by first offset
	inside  map[int64]bool
}

func newAborts(block *sarama.FetchResponseBlock, committed bool) *aborts {
	a := &aborts{}
	if committed && len(block.AbortedTransactions) > 0 {
		a.waiting = slices.Clone(block.AbortedTransactions)
		slices.SortFunc(a.waiting, func(x, y *sarama.AbortedTransaction) int { return cmp.Compare(x.FirstOffset, y.FirstOffset) })
		a.inside = map[int64]bool{}
	}
	return a
}

// skips reports whether a batch holds nothing for the reader. Batches come in
// offset order.
func (a *aborts) skips(batch *sarama.RecordBatch) bool {
	for len(a.waiting) > 0 && a.waiting[0].FirstOffset <= batch.LastOffset() {
		a.inside[a.waiting[0].ProducerID] = true
		a.waiting = a.waiting[1:]
	}
	if batch.Control {
		if len(a.inside) > 0 && abortMarker(batch) {
			delete(a.inside, batch.ProducerID)
		}
		return true
	}
	return batch.IsTransactional && a.inside[batch.ProducerID]
}

// abortMarker reports whether a control batch ends an aborted transaction: its
// record's key is version and type, two bytes each, type 0 is abort.
func abortMarker(batch *sarama.RecordBatch) bool {
	return len(batch.Records) == 1 && len(batch.Records[0].Key) >= 4 &&
		binary.BigEndian.Uint16(batch.Records[0].Key[2:]) == 0
}

// nextOffset returns the offset behind the last batch of an answer, also where no
// batch has a record: compaction leaves such batches, sarama drops them, and without
// this a reader would wait in front of them for ever. sarama knows it and does not
// export it; reading a field by reflection is allowed, and a test fails if a later
// sarama has it no longer.
func nextOffset(block *sarama.FetchResponseBlock) (int64, bool) {
	f := reflect.ValueOf(block).Elem().FieldByName("recordsNextOffset")
	if f.Kind() != reflect.Pointer || f.IsNil() || f.Elem().Kind() != reflect.Int64 {
		return 0, false
	}
	return f.Elem().Int(), true
}

// errShort is the cause of an UndecodableError where sarama gives none.
var errShort = fmt.Errorf("its records are cut off, or are more than its bytes can hold: %w", sarama.ErrInsufficientData)
