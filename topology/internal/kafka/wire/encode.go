package wire

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"unsafe"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// encoded gives a batch the bytes of its records, which sarama would else make in two
// passes of interface calls for each field and in memory that is taken anew each time:
// a third of what a record costs. It keeps them in a field that it does not export. If a
// later sarama has it no longer the answer is false, and a test fails.
func encoded(rb *sarama.RecordBatch, raw []byte) bool {
	f := reflect.ValueOf(rb).Elem().FieldByName("compressedRecords")
	if !f.IsValid() || f.Type() != reflect.TypeFor[[]byte]() {
		return false
	}
	*(*[]byte)(unsafe.Pointer(f.UnsafeAddr())) = raw
	return true
}

// appendRecord appends a record as a batch of format 2 has it when it is not
// compressed; timestamp and offset count from the batch's first.
func appendRecord(b []byte, o *record.Output, timestamp int64, offset int) []byte {
	size := 1 + varintSize(timestamp) + varintSize(int64(offset)) + bytesSize(o.Key) + bytesSize(o.Value) + varintSize(int64(len(o.Headers)))
	for _, h := range o.Headers {
		size += bytesSize(h.Key) + bytesSize(h.Value)
	}
	b = append(binary.AppendVarint(b, int64(size)), 0) // no attributes
	b = binary.AppendVarint(b, timestamp)
	b = binary.AppendVarint(b, int64(offset))
	b = appendBytes(appendBytes(b, o.Key), o.Value)
	b = binary.AppendVarint(b, int64(len(o.Headers)))
	for _, h := range o.Headers {
		b = appendBytes(appendBytes(b, h.Key), h.Value)
	}
	return b
}

// outputs reads the records of the batch, without topic and partition; they alias it.
func (b *batch) outputs() []record.Output {
	rest := b.raw
	number := func() int64 {
		n, size := binary.Varint(rest)
		rest = rest[size:]
		return n
	}
	bytes := func() (p []byte) {
		if n := number(); n >= 0 {
			p, rest = rest[:n:n], rest[n:]
		}
		return p
	}
	all := make([]record.Output, b.n)
	for i := range all {
		number() // of its bytes
		rest = rest[1:]
		all[i].Timestamp = b.first + number()
		number() // its place
		all[i].Key, all[i].Value = bytes(), bytes()
		for range number() {
			all[i].Headers = append(all[i].Headers, record.Header{Key: bytes(), Value: bytes()})
		}
	}
	return all
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
