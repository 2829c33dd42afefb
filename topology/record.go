package topology

import (
	"time"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Header is one header of a record.
type Header = record.Header

// A Record is one keyed record of a stream. Headers, and keys and values of serdes
// that alias, belong to the batch that was read: they are valid until the processor
// returns.
type Record[K, V any] struct {
	Key       K
	Value     V
	Tombstone bool  // the value is absent; Value is zero
	Timestamp int64 // event time, milliseconds since the Unix epoch
	Headers   []Header
}

// Time returns the timestamp as a time in UTC.
func (r Record[K, V]) Time() time.Time { return time.UnixMilli(r.Timestamp).UTC() }

// With returns the record with another key and value.
func With[K, V, K2, V2 any](r Record[K, V], key K2, value V2) Record[K2, V2] {
	return Record[K2, V2]{Key: key, Value: value, Timestamp: r.Timestamp, Headers: r.Headers}
}
