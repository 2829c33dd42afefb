//go:build linux

package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
)

// An event of the workload: the key is its entity, the value its number in the
// entity and a body.
type event struct {
	entity string
	value  []byte
}

// workload gives the deliveries of a seed: the events of all entities, shuffled a
// little, some of them twice. It is used by one goroutine.
type workload struct {
	rng    *rand.Rand
	left   int // events not made yet
	last   []int64
	window []event // made and not delivered
}

const (
	shuffleOver = 50 // deliveries among which an event may come
	copied      = 5  // percent of the events that come twice
	perEntity   = 100
)

func newWorkload(seed uint64, events int) *workload {
	return &workload{rng: rand.New(rand.NewPCG(seed, 0x6576656e7473)), left: events, last: make([]int64, max(events/perEntity, 1))}
}

// next returns the next delivery; false when there is none.
func (w *workload) next() (event, bool) {
	for w.left > 0 && len(w.window) < shuffleOver {
		w.left--
		// A square favours the first entities: some are hot.
		u := w.rng.Float64()
		entity := int(u * u * float64(len(w.last)))
		w.last[entity]++
		e := event{fmt.Sprintf("e%05d", entity), fmt.Appendf(nil, "%d %016x", w.last[entity], w.rng.Uint64())}
		w.window = append(w.window, e)
		if w.rng.IntN(100) < copied {
			w.window = append(w.window, e)
		}
	}
	n := len(w.window)
	if n == 0 {
		return event{}, false
	}
	i := w.rng.IntN(n)
	e := w.window[i]
	w.window[i] = w.window[n-1]
	w.window = w.window[:n-1]
	return e, true
}

// sequenceOf returns the number of an event.
func sequenceOf(value []byte) (int64, error) {
	number, _, ok := bytes.Cut(value, []byte(" "))
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("value %q is no event", value)
	}
	return n, nil
}

// next returns the digest of a history that an event is added to.
func next(state, value []byte) []byte {
	h := fnv.New64a()
	_, _ = h.Write(state) // a hash takes everything
	_, _ = h.Write(value)
	return fmt.Appendf(nil, "%016x", h.Sum64())
}
