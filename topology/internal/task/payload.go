package task

import (
	"encoding/binary"
	"fmt"

	"github.com/streamrun/streamrun/topology/internal/record"
)

const payloadFormat = 1

// appendPayload appends a whole record, as a held event or a letter keeps it.
func appendPayload(b []byte, r *record.Record) []byte {
	b = append(b, payloadFormat)
	b = binary.AppendVarint(b, r.Timestamp)
	b = appendOptional(b, r.Key)
	b = appendOptional(b, r.Value)
	b = binary.AppendUvarint(b, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		b = binary.AppendUvarint(b, uint64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendOptional(b, h.Value)
	}
	return b
}

// appendOptional appends a null (0) or a length plus one and the bytes.
func appendOptional(b, v []byte) []byte {
	if v == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(v))+1)
	return append(b, v...)
}

// decodePayload reads what appendPayload wrote; the record aliases b.
func decodePayload(b []byte) (record.Record, error) {
	r := reader{b: b}
	if f := r.byte(); r.err == nil && f != payloadFormat {
		return record.Record{}, fmt.Errorf("task: held record: unknown format %d", f)
	}
	rec := record.Record{Timestamp: r.varint(), Key: r.optional(), Value: r.optional()}
	for range r.length(2) {
		rec.Headers = append(rec.Headers, record.Header{Key: r.bytes(), Value: r.optional()})
	}
	if err := r.end(); err != nil {
		return record.Record{}, fmt.Errorf("task: held record: %w", err)
	}
	return rec, nil
}

func (r *reader) optional() []byte {
	n := r.uvarint()
	if r.err != nil || n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.b)) {
		r.fail(errCut.Error())
		return nil
	}
	b := r.b[: n-1 : n-1]
	r.b = r.b[n-1:]
	return b
}
