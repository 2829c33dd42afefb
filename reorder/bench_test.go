package reorder

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/streamrun/streamrun/topology"
)

// inOrder drives the in-order path alone.
type inOrder struct {
	m     *Machine
	slots []topology.Entity
	ev    topology.OrderEvent
	ids   []string
}

func newInOrder(entities int, withIDs bool) *inOrder {
	d := &inOrder{m: NewMachine(bySequence().WithDefaults(), quiet{}, 1), slots: make([]topology.Entity, entities)}
	for i := range d.slots {
		d.slots[i].ID = fmt.Sprintf("entity-%07d", i)
	}
	if withIDs {
		d.ids = make([]string, 64)
		for i := range d.ids {
			d.ids[i] = fmt.Sprintf("0b9d8e5e-6f0a-4c43-9b7b-%012d", i)
		}
	}
	return d
}

func (d *inOrder) apply(i int, n int64) {
	d.ev.Entity, d.ev.HasSequence, d.ev.Sequence = d.slots[i].ID, true, n
	if d.ids != nil {
		d.ev.ID = d.ids[n%64]
	}
	d.m.Record(&d.slots[i], &d.ev, n)
	dec, ok := d.m.Next()
	if !ok || dec.Kind != topology.DecideApply {
		panic(fmt.Sprintf("number %d: %+v", n, dec))
	}
	d.m.Outcome(topology.OutcomeDone)
	if _, ok := d.m.Next(); ok {
		panic("there is more")
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
			d.apply(0, n)
		}
		if allocs := testing.AllocsPerRun(1000, func() { n++; d.apply(0, n) }); allocs != 0 {
			t.Errorf("with ids %t: %g allocations per event", withIDs, allocs)
		}
	}
}

func BenchmarkInOrder(b *testing.B) {
	for _, bench := range []struct {
		name     string
		entities int
		withIDs  bool
	}{{"one entity", 1, false}, {"one entity with ids", 1, true}, {"100k entities", 100_000, false}, {"100k entities with ids", 100_000, true}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			d := newInOrder(bench.entities, bench.withIDs)
			last := make([]int64, bench.entities)
			for i := range last { // rows are in memory
				for range 20 {
					last[i]++
					d.apply(i, last[i])
				}
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			order := make([]int, 1<<16)
			for i := range order {
				order[i] = rnd.IntN(bench.entities)
			}
			b.ResetTimer()
			for n := range b.N {
				i := order[n&(1<<16-1)]
				last[i]++
				d.apply(i, last[i])
			}
		})
	}
}

// BenchmarkMapUpdate is what the in-order path is measured against: a bare update of
// a map under random keys.
func BenchmarkMapUpdate(b *testing.B) {
	keys := make([]string, 100_000)
	m := make(map[string]int64, len(keys))
	for i := range keys {
		keys[i] = fmt.Sprintf("entity-%07d", i)
		m[keys[i]] = 0
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	order := make([]int, 1<<16)
	for i := range order {
		order[i] = rnd.IntN(len(keys))
	}
	b.ResetTimer()
	for n := range b.N {
		m[keys[order[n&(1<<16-1)]]]++
	}
}

// BenchmarkDisplaced has one event in a hundred displaced by up to 50 positions.
func BenchmarkDisplaced(b *testing.B) {
	b.ReportAllocs()
	d := newInOrder(1, false)
	rnd := rand.New(rand.NewPCG(1, 2))
	next, late := int64(0), map[int64]int64{} // position: number
	offer := func(n int64) {
		d.ev.Entity, d.ev.HasSequence, d.ev.Sequence = d.slots[0].ID, true, n
		d.m.Record(&d.slots[0], &d.ev, 0)
		for {
			dec, ok := d.m.Next()
			if !ok {
				return
			}
			if dec.Kind == topology.DecideApply {
				d.m.Outcome(topology.OutcomeDone)
			}
		}
	}
	b.ResetTimer()
	for n := range b.N {
		if number, ok := late[int64(n)]; ok {
			delete(late, int64(n))
			offer(number)
			continue
		}
		next++
		if at := int64(n) + 1 + rnd.Int64N(50); rnd.IntN(100) == 0 && late[at] == 0 {
			late[at] = next
			continue
		}
		offer(next)
	}
}
