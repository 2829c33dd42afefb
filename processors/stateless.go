package processors

import "github.com/streamrun/streamrun/topology"

// Map makes another record of each record. The key may change: an order behind it
// needs a repartition. An error fails the record for good, unless it is
// topology.Retryable.
func Map[K, V, K2, V2 any](s *topology.Stream[K, V], f func(key K, value V) (K2, V2, error)) *topology.Stream[K2, V2] {
	return topology.Apply(s, "map", true, func(r topology.Record[K, V], emit func(topology.Record[K2, V2])) error {
		key, value, err := f(r.Key, r.Value)
		if err != nil {
			return err
		}
		out := topology.With(r, key, value)
		out.Tombstone = r.Tombstone
		emit(out)
		return nil
	})
}

// MapValues makes another value of each value; tombstones pass as they are.
func MapValues[K, V, V2 any](s *topology.Stream[K, V], f func(V) V2) *topology.Stream[K, V2] {
	return topology.Apply(s, "map-values", false, func(r topology.Record[K, V], emit func(topology.Record[K, V2])) error {
		var value V2
		if !r.Tombstone {
			value = f(r.Value)
		}
		out := topology.With(r, r.Key, value)
		out.Tombstone = r.Tombstone
		emit(out)
		return nil
	})
}

// Filter passes the records that keep answers true for; it is asked about
// tombstones too, with a zero value.
func Filter[K, V any](s *topology.Stream[K, V], keep func(key K, value V) bool) *topology.Stream[K, V] {
	return topology.Apply(s, "filter", false, func(r topology.Record[K, V], emit func(topology.Record[K, V])) error {
		if keep(r.Key, r.Value) {
			emit(r)
		}
		return nil
	})
}
