package reorder

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology"
)

// inOrder drives a machine whose applies all succeed.
type inOrder struct {
	m     *Machine
	slots []topology.Entity
	ev    topology.OrderEvent
	ids   []string

	applied int
}

func newInOrder(entities int, withIDs bool) *inOrder {
	d := &inOrder{m: NewMachine(bySequence().WithDefaults(), quiet{}, 1), slots: make([]topology.Entity, entities)}
	for i := range d.slots {
		d.slots[i].ID = entityName(i)
	}
	if withIDs {
		d.ids = make([]string, 64)
		for i := range d.ids {
			d.ids[i] = fmt.Sprintf("0b9d8e5e-6f0a-4c43-9b7b-%012d", i)
		}
	}
	return d
}

// offer offers an event and applies whatever the machine says.
func (d *inOrder) offer(slot *topology.Entity, n int64) {
	d.ev.Entity, d.ev.HasSequence, d.ev.Sequence = slot.ID, true, n
	if d.ids != nil {
		d.ev.ID = d.ids[n%64]
	}
	d.m.Record(slot, &d.ev, n)
	for dec := d.m.Next(true); dec != nil; dec = d.m.Next(true) {
		if dec.Kind == topology.DecideApply {
			d.m.Outcome(topology.OutcomeDone)
			d.applied++
		}
	}
}

// quiet is a host that has nothing to do.
type quiet struct{}

func (quiet) Entity(string) *topology.Entity      { return nil }
func (quiet) Dirty(*topology.Entity)              {}
func (quiet) Payload(*topology.OrderEvent) []byte { return nil }

func TestTheInOrderPathAllocatesNothing(t *testing.T) {
	for _, withIDs := range []bool{false, true} {
		d := newInOrder(1, withIDs)
		n := int64(0)
		for range 40 { // the memory of ids fills
			n++
			d.offer(&d.slots[0], n)
		}
		if allocs := testing.AllocsPerRun(1000, func() { n++; d.offer(&d.slots[0], n) }); allocs != 0 {
			t.Errorf("with ids %t: %g allocations per event", withIDs, allocs)
		}
		if d.applied != int(n) {
			t.Errorf("with ids %t: %d of %d events were applied", withIDs, d.applied, n)
		}
	}
}

// A batch is what was fetched: keys and numbers, one behind the other in memory.
type batch struct {
	entities []int
	keys     []string
	numbers  []int64
}

// batchSize is small enough for most batches not to be interrupted.
const batchSize = 256

// A producer numbers the events of so many entities, drawn at random.
type producer struct {
	rnd      *rand.Rand
	keys     []string // of the entities
	entities []numbered
	percent  int // of events that come up to 50 positions of their entity late
}

// numbered is an entity as its producer sees it.
type numbered struct {
	next int64 // number
	late int64 // number that was left out, 0 for none
	wait int   // events until it comes
}

func (p *producer) number(i int) int64 {
	e := &p.entities[i]
	if e.late > 0 {
		if e.wait--; e.wait == 0 {
			n := e.late
			e.late = 0
			return n
		}
	} else if p.rnd.IntN(100) < p.percent {
		e.late, e.wait = e.next+1, 1+p.rnd.IntN(50)
		e.next++
	}
	e.next++
	return e.next
}

func (p *producer) fill(b *batch) {
	for i := range b.entities {
		e := p.rnd.IntN(len(p.entities))
		b.entities[i], b.keys[i], b.numbers[i] = e, p.keys[e], p.number(e)
	}
}

func entityName(i int) string { return fmt.Sprintf("entity-%07d", i) }

// BenchmarkOrder measures the order of events under random keys, and beside it, batch
// by batch, what a program without any order does with the same: an update of a map.
// Both are medians; x-map is how many map updates one event costs, x-map-by-key the
// same where the row is found by its key first.
func BenchmarkOrder(b *testing.B) {
	for _, bench := range []struct {
		name    string
		ids     bool
		percent int
	}{{"in order", false, 0}, {"in order with ids", true, 0}, {"1 in 100 late by up to 50", false, 1}} {
		const entities = 100_000
		d := newInOrder(entities, bench.ids)
		keys := make([]string, entities) // in memory of their own, as those of a fetched batch
		for i := range keys {
			keys[i] = entityName(i)
		}
		p := &producer{rand.New(rand.NewPCG(1, 2)), keys, make([]numbered, entities), bench.percent}
		beside := &producer{rand.New(rand.NewPCG(3, 4)), keys, make([]numbered, entities), 0}
		type state struct{ last, count int64 }
		bare := make(map[string]state, entities)
		byKey := make(map[string]*topology.Entity, entities)
		for i := range d.slots {
			for range max(20, 60*bench.percent) { // memories of ids are full, holes as many as there will be
				d.offer(&d.slots[i], p.number(i))
			}
			byKey[d.slots[i].ID], bare[d.slots[i].ID] = &d.slots[i], state{}
		}
		in := &batch{make([]int, batchSize), make([]string, batchSize), make([]int64, batchSize)}
		b.Run(bench.name, func(b *testing.B) {
			var order, found, update []float64
			timed := func(into *[]float64, of *producer, do func()) {
				of.fill(in)
				begin := time.Now()
				do()
				*into = append(*into, float64(time.Since(begin))/batchSize)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 2 * batchSize {
				timed(&update, beside, func() {
					for i, key := range in.keys {
						s := bare[key]
						s.last, s.count = in.numbers[i], s.count+1
						bare[key] = s
					}
				})
				timed(&order, p, func() {
					for i, e := range in.entities {
						d.offer(&d.slots[e], in.numbers[i])
					}
				})
				timed(&found, p, func() {
					for i, key := range in.keys {
						d.offer(byKey[key], in.numbers[i])
					}
				})
			}
			median := func(all []float64) float64 {
				slices.Sort(all)
				return all[len(all)/2]
			}
			b.ReportMetric(median(order), "ns/op")
			b.ReportMetric(median(update), "map-ns/op")
			b.ReportMetric(median(order)/median(update), "x-map")
			b.ReportMetric(median(found)/median(update), "x-map-by-key")
		})
	}
}
