package statestore

import (
	"fmt"

	"github.com/streamrun/streamrun/topology/serde"
)

// A Spec declares a store. KeyValue makes one.
type Spec interface {
	// StoreName is the identity of the store: its changelog and its metrics bear it.
	StoreName() string
	// Formats says what the bytes of its keys and of its values are (serde.Name).
	Formats() (key, value string)
}

// A Raw is a store of bytes as a task offers it: uncommitted writes are visible to
// their writer at once. It is not safe for concurrent use.
type Raw interface {
	// Get returns the value of the key, or nil and false. The value is valid until
	// the next write.
	Get(key []byte) (value []byte, ok bool, err error)
	// Put writes the value; it keeps neither slice.
	Put(key, value []byte) error
	// Delete removes the key.
	Delete(key []byte) error
}

// An Opener gives a processor its stores. topology.Context is one.
type Opener interface {
	// OpenStore returns the store; one that was not passed to the processor's node
	// is an error that names both.
	OpenStore(name string) (Raw, error)
}

// A KeyValueSpec declares a store of one value for each key.
type KeyValueSpec[K, V any] struct {
	name  string
	serde serde.KV[K, V]
}

// KeyValue declares a key-value store. The name is the store's identity for ever.
func KeyValue[K, V any](name string, sd serde.KV[K, V]) KeyValueSpec[K, V] {
	return KeyValueSpec[K, V]{name, sd}
}

// StoreName implements Spec.
func (s KeyValueSpec[K, V]) StoreName() string { return s.name }

// Formats implements Spec.
func (s KeyValueSpec[K, V]) Formats() (key, value string) { return s.serde.Names() }

// Serde returns the serdes that the store was declared with.
func (s KeyValueSpec[K, V]) Serde() serde.KV[K, V] { return s.serde }

// In opens the store for one task. It is called in a Supplier.
func (s KeyValueSpec[K, V]) In(o Opener) (*Store[K, V], error) {
	raw, err := o.OpenStore(s.name)
	if err != nil {
		return nil, err
	}
	return &Store[K, V]{name: s.name, raw: raw, serde: s.serde}, nil
}

// A Store is one task's view of a store. It belongs to the processor that opened
// it and is not safe for concurrent use. What it returns is the caller's until the
// next call, and may be changed by it.
type Store[K, V any] struct {
	name  string
	raw   Raw
	serde serde.KV[K, V]
	key   []byte
	value []byte
	read  []byte
}

// Get returns the value of the key, or false.
func (s *Store[K, V]) Get(key K) (value V, ok bool, err error) {
	if s.key, err = s.serde.Key.Append(s.key[:0], key); err != nil {
		return value, false, fmt.Errorf("statestore: %s: %w", s.name, err)
	}
	b, ok, err := s.raw.Get(s.key)
	if !ok || err != nil {
		return value, false, err
	}
	s.read = append(s.read[:0], b...) // the row stays as it is whatever the caller does with the value
	if value, err = s.serde.Value.Decode(s.read); err != nil {
		return value, false, fmt.Errorf("statestore: %s: %w", s.name, err)
	}
	return value, true, nil
}

// Put writes the value of the key.
func (s *Store[K, V]) Put(key K, value V) (err error) {
	if s.key, err = s.serde.Key.Append(s.key[:0], key); err != nil {
		return fmt.Errorf("statestore: %s: %w", s.name, err)
	}
	if s.value, err = s.serde.Value.Append(s.value[:0], value); err != nil {
		return fmt.Errorf("statestore: %s: %w", s.name, err)
	}
	return s.raw.Put(s.key, s.value)
}

// Delete removes the key.
func (s *Store[K, V]) Delete(key K) (err error) {
	if s.key, err = s.serde.Key.Append(s.key[:0], key); err != nil {
		return fmt.Errorf("statestore: %s: %w", s.name, err)
	}
	return s.raw.Delete(s.key)
}
