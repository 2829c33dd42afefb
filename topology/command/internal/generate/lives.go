package generate

import (
	"container/heap"
	"iter"
	"math/rand/v2"
	"time"
)

// A moment is one event of an entity before it has its domain's fields.
type moment struct {
	entity int
	number int           // from 1: the sequence number
	at     time.Duration // since the start
	last   bool
}

// interleave merges the lives of all entities in order of time; of moments at the
// same time the lower entity comes first. Entities begin one after the other, on
// average every arrival; next draws the time between event number and the one behind it.
func interleave(o Options, lengths []int, arrival time.Duration, next func(entity, number int) time.Duration) iter.Seq[moment] {
	return func(yield func(moment) bool) {
		arrivals := stream(o.Seed, streamArrivals)
		var running moments
		born, birth := 0, time.Duration(0)
		for born < len(lengths) || len(running) > 0 {
			for born < len(lengths) && (len(running) == 0 || birth <= running[0].at) {
				heap.Push(&running, moment{entity: born, number: 1, at: birth, last: lengths[born] == 1})
				born++
				birth += exponential(arrivals, arrival)
			}
			m := running[0]
			if m.last {
				heap.Pop(&running)
			} else {
				running[0].number++
				running[0].at += next(m.entity, m.number)
				running[0].last = running[0].number == lengths[m.entity]
				heap.Fix(&running, 0)
			}
			if !yield(m) {
				return
			}
		}
	}
}

// exponential draws a time between independent events, at least a millisecond.
func exponential(rng *rand.Rand, mean time.Duration) time.Duration {
	return max(time.Millisecond, time.Duration(rng.ExpFloat64()*float64(mean)).Truncate(time.Millisecond))
}

// moments is a heap of the next moment of each running entity.
type moments []moment

func (h moments) Len() int      { return len(h) }
func (h moments) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h moments) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].entity < h[j].entity
}
func (h *moments) Push(m any) { *h = append(*h, m.(moment)) }
func (h *moments) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	*h = (*h)[:last]
	return m
}
