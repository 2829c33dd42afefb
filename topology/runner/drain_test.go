package runner

import (
	"strconv"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// hole is a task with so many events of "late" that wait for its first one.
type hole struct {
	testing.TB
	*owned
	applied map[string]int // by key
	log     []record.Record
	journal []task.JournalRecord
	options task.Options
}

func newHole(t testing.TB, held int) *hole {
	t.Helper()
	x := &hole{TB: t, applied: map[string]int{}, options: task.Options{Partitions: func(string) int32 { return 1 }}}
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	c := policies.Contract{EventsFor: "an entity", Because: "a hole is waited for", MaxHeld: 2 * held, MaxDLQ: 2*held + 1, MaxWait: time.Hour, OnTimeout: policies.OnTimeoutPark}
	events := reorder.BySequence(topology.Source(b, "events", str), "in-order", c, func(v string) int64 {
		n, _ := strconv.ParseInt(v, 10, 64) // the test writes them
		return n
	})
	state := statestore.KeyValue("state", str)
	topology.Update(events, "count", state, func(_ topology.Context, _ *statestore.Store[string, string], r topology.Record[string, string], _ func(topology.Record[string, string])) error {
		x.applied[r.Key]++
		return nil
	})
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	x.owned = &owned{
		plan: task.Plans(topo)[0], backend: statestore.NewMemory(), partitions: x.options.Partitions,
		begin: []int64{0}, committed: []kafka.CommittedOffset{{TopicPartition: at(0), Offset: -1}},
	}
	if err := x.open(1); err != nil {
		t.Fatal(err)
	}
	x.give("late", 2, held)
	x.steps(1)
	x.commit()
	return x
}

// give fetches n events of a key.
func (x *hole) give(key string, from, n int) {
	first := int64(len(x.log))
	for i := range n {
		x.log = append(x.log, record.Record{Offset: first + int64(i), Timestamp: 1, Key: []byte(key), Value: strconv.AppendInt(nil, int64(from+i), 10)})
	}
	end := int64(len(x.log))
	x.sources[0].take(&kafka.Fetched{Records: x.log[first:end:end], Next: end, LastStable: end})
	x.stuck = false
}

// steps steps the task for as long as there is reason to.
func (x *hole) steps(drain int) {
	x.Helper()
	for what := stepped; what != nothing; {
		var err error
		if what, _, _, err = x.step(1, drain); err != nil {
			x.Fatal(err)
		}
	}
}

// commit commits what there is.
func (x *hole) commit() {
	x.Helper()
	b := x.take()
	for _, r := range b.Journal {
		j, err := task.DecodeJournal(r.Value)
		if err != nil {
			x.Fatal(err)
		}
		x.journal = append(x.journal, j)
	}
	offsets := []kafka.CommittedOffset{{TopicPartition: at(0), Offset: x.task.Positions()[0]}}
	if err := x.owned.commit(&part{owner: x.owned, batch: b, offsets: offsets}); err != nil {
		x.Fatal(err)
	}
}

// A batch takes up no more of a drain than it may, and then the records of others go on
// with an eighth of the work for the drain. A replay cuts the drain at the same places, or it
// would not agree with the offsets and counts of each commit.
func TestABatchHasAPartOfADrain(t *testing.T) {
	t.Parallel()
	const held, others = 30_000, 40
	x := newHole(t, held)
	x.give("late", 1, 1)
	parts, seq, batches := []int{128, 1000, 8192}, 0, 0
	for ; x.applied["late"] <= held; batches++ {
		part, before, came := parts[batches%len(parts)], x.applied["late"], 0
		for range 3 { // more comes before the batch is committed
			x.give("other", seq+1, others)
			seq += others
			came += others
			x.steps(part)
			if got := x.applied["other"]; got != seq {
				t.Fatalf("%d of %d records of others went on", got, seq)
			}
		}
		if n := x.applied["late"] - before; n > part+2*came/7+3*2 || n < part && x.applied["late"] <= held {
			t.Fatalf("of a drain %d events are in a batch that may have %d, beside %d records", n, part, came)
		}
		x.commit()
	}
	if least := 3 * held / (128 + 1000 + 8192); batches < least {
		t.Errorf("%d batches, not %d", batches, least)
	}
	r, err := task.NewReplay(x.plan, 0, x.options, func(_ int, from, to int64) ([]record.Record, error) { return x.log[from:to], nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range x.journal {
		if _, err := r.Commit(j); err != nil {
			t.Fatal(err)
		}
	}
}

// Behind an event that cannot join a drain nothing goes on before it ends: the drain goes
// on no faster for that.
func TestADrainThatStandsInTheWayIsCutToo(t *testing.T) {
	t.Parallel()
	const held, part = 3000, 500
	x := newHole(t, held)
	x.give("late", 1, 1)
	x.give("late", held+50, 1) // not the next one
	x.give("other", 1, 10)
	batches := 0
	for ; x.applied["other"] < 10; batches++ {
		before := x.applied["late"]
		x.steps(part)
		if n := x.applied["late"] - before; n > part+16 {
			t.Fatalf("%d events of the drain are in a batch", n)
		}
		x.commit()
	}
	if batches < held/part {
		t.Errorf("%d batches", batches)
	}
}

// What is stepped behind a batch that was taken ahead would be in no transaction that
// anybody knows of.
func TestNothingIsSteppedBehindABatchThatWasTaken(t *testing.T) {
	x := newHole(t, 10)
	x.give("other", 1, 3)
	x.steps(1)
	x.ahead()
	x.give("other", 4, 3)
	x.steps(1)
	if x.applied["other"] != 3 {
		t.Errorf("%d events of the other entity are applied while a batch waits, not 3", x.applied["other"])
	}
	x.ahead() // nothing more comes of it
	for range 2 {
		x.commit()
		x.steps(1)
	}
	if x.applied["other"] != 6 || x.task.Take() != nil {
		t.Errorf("%d events of the other entity are applied, not 6, or some are in no batch", x.applied["other"])
	}
}
