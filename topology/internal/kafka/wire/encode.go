package wire

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"time"
	"unsafe"

	"github.com/IBM/sarama"
)

// encoded gives a batch the bytes of its records, which sarama would else make in two
// passes of interface calls for each field and in memory that is taken anew each time:
// a third of what a record costs. It keeps them in a field that it does not export. If a
// later sarama has it no longer the records are encoded by sarama, and a test fails.
func encoded(rb *sarama.RecordBatch, raw []byte) {
	f := reflect.ValueOf(rb).Elem().FieldByName("compressedRecords")
	if f.IsValid() && f.Type() == reflect.TypeFor[[]byte]() {
		*(*[]byte)(unsafe.Pointer(f.UnsafeAddr())) = raw
	}
}

// appendRecords appends records as a batch of format 2 has them when it is not
// compressed.
func appendRecords(b []byte, records []sarama.Record) []byte {
	for i := range records {
		r := &records[i]
		timestamp := int64(r.TimestampDelta / time.Millisecond)
		size := 1 + varintSize(timestamp) + varintSize(r.OffsetDelta) + bytesSize(r.Key) + bytesSize(r.Value) + varintSize(int64(len(r.Headers)))
		for _, h := range r.Headers {
			size += bytesSize(h.Key) + bytesSize(h.Value)
		}
		b = append(binary.AppendVarint(b, int64(size)), 0) // no attributes
		b = binary.AppendVarint(b, timestamp)
		b = binary.AppendVarint(b, r.OffsetDelta)
		b = appendBytes(appendBytes(b, r.Key), r.Value)
		b = binary.AppendVarint(b, int64(len(r.Headers)))
		for _, h := range r.Headers {
			b = appendBytes(appendBytes(b, h.Key), h.Value)
		}
	}
	return b
}

// appendBytes appends a length and bytes; null is length -1.
func appendBytes(b, p []byte) []byte {
	if p == nil {
		return append(b, 1)
	}
	return append(binary.AppendVarint(b, int64(len(p))), p...)
}

func bytesSize(p []byte) int {
	if p == nil {
		return 1
	}
	return varintSize(int64(len(p))) + len(p)
}

// varintSize returns how many bytes a number takes, seven bits in each.
func varintSize(n int64) int {
	return (bits.Len64(uint64(n)<<1^uint64(n>>63)|1) + 6) / 7
}
