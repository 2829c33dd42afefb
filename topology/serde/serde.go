package serde

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// A Serde turns values of one type into bytes and back. An implementation is
// stateless or guards its own state: it is used by several tasks at a time.
type Serde[T any] interface {
	// Append appends the bytes of v to dst and returns the extended slice.
	Append(dst []byte, v T) ([]byte, error)
	// Decode returns the value of b. The value may alias b only where the serde
	// says so.
	Decode(b []byte) (T, error)
}

// Named is a Serde that says what its bytes are. Where a serde under another name
// takes the place of one, the app is refused: it would not understand its own state.
type Named interface {
	// SerdeName is the name of the format of the bytes, in its version: "json",
	// "order/v2". It never changes while the bytes stay the same.
	SerdeName() string
}

// Name returns what a serde says its bytes are; of one that says nothing, the name of
// its type.
func Name[T any](s Serde[T]) string {
	if n, ok := s.(Named); ok {
		return n.SerdeName()
	}
	return fmt.Sprintf("%T", s)
}

// KV is the pair of serdes of a topic or a store.
type KV[K, V any] struct {
	Key   Serde[K]
	Value Serde[V]
}

// Names returns what the bytes of keys and of values are.
func (kv KV[K, V]) Names() (key, value string) { return Name(kv.Key), Name(kv.Value) }

// Of pairs a key serde with a value serde.
func Of[K, V any](key Serde[K], value Serde[V]) KV[K, V] { return KV[K, V]{key, value} }

// String is the serde of strings as their own bytes.
func String() Serde[string] { return stringSerde{} }

// Bytes is the serde of byte slices as they are. Decode aliases its argument.
func Bytes() Serde[[]byte] { return bytesSerde{} }

// Int64 is the serde of integers as 8 bytes, big endian, as Kafka's LongSerializer
// writes them.
func Int64() Serde[int64] { return int64Serde{} }

// JSON is the serde of T through encoding/json.
func JSON[T any]() Serde[T] { return jsonSerde[T]{} }

type stringSerde struct{}

func (stringSerde) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (stringSerde) Decode(b []byte) (string, error)             { return string(b), nil }
func (stringSerde) SerdeName() string                           { return "string" }

type bytesSerde struct{}

func (bytesSerde) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (bytesSerde) Decode(b []byte) ([]byte, error)             { return b, nil }
func (bytesSerde) SerdeName() string                           { return "bytes" }

type int64Serde struct{}

func (int64Serde) SerdeName() string { return "int64" }

func (int64Serde) Append(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (int64Serde) Decode(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("serde: decoding an int64: %d bytes instead of 8", len(b))
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

type jsonSerde[T any] struct{}

func (jsonSerde[T]) SerdeName() string { return "json" }

func (jsonSerde[T]) Append(dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("serde: encoding %T as JSON: %w", v, err)
	}
	return append(dst, b...), nil
}

func (jsonSerde[T]) Decode(b []byte) (T, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("serde: decoding %T from JSON: %w", v, err)
	}
	return v, nil
}
