package processors

import (
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
)

// Aggregate folds the records of each key into a state: f gets the state so far, a
// zero S for a key that has none, and returns the next one, which is stored and
// emitted. The name of the store names the node.
//
// An error from f fails the record for good, unless it is topology.Retryable; the
// state stays as it was. A tombstone deletes the state and is emitted.
func Aggregate[K, V, S any](s *topology.Stream[K, V], store statestore.KeyValueSpec[K, S], f func(key K, value V, state S) (S, error)) *topology.Table[K, S] {
	updates := topology.Update(s, "Aggregate", store,
		func(_ topology.Context, st *statestore.Store[K, S], r topology.Record[K, V], emit func(topology.Record[K, S])) error {
			if r.Tombstone {
				if err := st.Delete(r.Key); err != nil {
					return err
				}
				emit(topology.Record[K, S]{Key: r.Key, Tombstone: true, Timestamp: r.Timestamp, Headers: r.Headers})
				return nil
			}
			state, _, err := st.Get(r.Key)
			if err != nil {
				return err
			}
			if state, err = f(r.Key, r.Value, state); err != nil {
				return err
			}
			if err := st.Put(r.Key, state); err != nil {
				return err
			}
			emit(topology.With(r, r.Key, state))
			return nil
		})
	return topology.TableOf(updates, store)
}
