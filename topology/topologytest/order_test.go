package topologytest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
	"github.com/streamrun/streamrun/topology/topologytest"
)

// event is what the random topologies below fold.
type event struct {
	Seq    int64
	ID     string
	Class  string
	Poison bool
	Retry  int // retryable failures before it succeeds
}

type fold struct {
	events serde.KV[string, event]
	state  statestore.KeyValueSpec[string, string]
}

func newFold() fold {
	return fold{
		serde.Of(serde.String(), serde.JSON[event]()),
		statestore.KeyValue("state", serde.Of(serde.String(), serde.String())),
	}
}

// build declares source, order and a fold whose state shows the order of applying.
func (f fold) build(tb testing.TB, c policies.Contract) *topology.Topology {
	tb.Helper()
	c.EventsFor, c.Because = "an entity", "the state shows the order"
	failures := map[string]int{}
	b := topology.New("app")
	in := reorder.InOrder(topology.Source(b, "events", f.events), "in-order", c, reorder.Options[string, event]{
		Metadata: func(r topology.Record[string, event], m *policies.Metadata) error {
			m.HasSequence, m.Sequence, m.ID, m.Class = true, r.Value.Seq, r.Value.ID, r.Value.Class
			return nil
		},
	})
	// A failing event has written and emitted when it fails: nothing of it may stay.
	applied := topology.Update(in, "fold", f.state, func(_ topology.Context, st *statestore.Store[string, string], r topology.Record[string, event], emit func(topology.Record[string, string])) error {
		e := r.Value
		state, _, err := st.Get(r.Key)
		if err != nil {
			return err
		}
		state = fmt.Sprintf("%s %d", state, e.Seq)
		if err := st.Put(r.Key, state); err != nil {
			return err
		}
		emit(topology.With(r, r.Key, state))
		if e.Poison {
			return errors.New("poison")
		}
		if id := r.Key + e.ID; failures[id] < e.Retry {
			failures[id]++
			return topology.Retryable(errors.New("not now"))
		}
		return nil
	})
	topology.SinkTable(topology.TableOf(applied, f.state), "table")
	topology.Sink(applied, "updates", serde.Of(serde.String(), serde.String()))
	topo, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return topo
}

// step is one thing that a test does to a driver.
type step struct {
	key     string
	event   event
	write   bool // without running the topology
	advance time.Duration
	restart bool
	crash   topologytest.CrashPoint
}

// script draws a run: entities whose events come shuffled, again, or not at all.
func script(r *rand.Rand, failures bool) []step {
	var steps []step
	for e := range 1 + r.IntN(4) {
		key := string(rune('A' + e))
		for s := int64(1); s <= int64(1+r.IntN(12)); s++ {
			if r.IntN(12) == 0 {
				continue // lost
			}
			ev := event{Seq: s}
			if r.IntN(3) > 0 {
				ev.ID = fmt.Sprintf("id-%s-%d", key, s)
			}
			if r.IntN(6) == 0 {
				ev.Class = "view"
			}
			ev.Poison = failures && r.IntN(15) == 0
			if failures && r.IntN(10) == 0 {
				ev.Retry = 1 + r.IntN(5)
			}
			for range 1 + r.IntN(2)*r.IntN(2) {
				steps = append(steps, step{key: key, event: ev, write: r.IntN(4) == 0})
			}
		}
	}
	for i := range steps { // within a window
		j := min(len(steps)-1, i+r.IntN(6))
		steps[i], steps[j] = steps[j], steps[i]
	}
	for range r.IntN(4) {
		i := r.IntN(len(steps) + 1)
		s := step{advance: time.Duration(r.IntN(1500)) * time.Millisecond}
		steps = append(steps[:i], append([]step{s}, steps[i:]...)...)
	}
	return append(steps, step{advance: 10 * time.Second})
}

func contract(r *rand.Rand) policies.Contract {
	pick := func(n int) int { return r.IntN(n) }
	c := policies.Contract{
		MaxWait: time.Second, MaxHeld: 2 + pick(20), IDMemory: 1 + pick(20),
		OnTimeout:  []policies.OnTimeout{policies.OnTimeoutPark, policies.OnTimeoutSkip}[pick(2)],
		Gap:        []policies.Gap{policies.GapBuffer, policies.GapBuffer, policies.GapApply, policies.GapReject}[pick(4)],
		OnOverflow: []policies.OnOverflow{policies.OnOverflowPause, policies.OnOverflowSkip, policies.OnOverflowPark}[pick(3)],
	}
	c.Class.Late = []policies.Late{policies.LateReject, policies.LateDrop}[pick(2)]
	c.Class.Poison = []policies.Poison{policies.PoisonPark, policies.PoisonSkip}[pick(2)]
	if pick(2) == 0 {
		c.Classes = map[string]policies.Class{"view": {Early: policies.EarlyApply}}
	}
	if c.Gap == policies.GapApply || c.Gap == policies.GapReject {
		c.OnTimeout, c.MaxWait, c.OnOverflow, c.MaxHeld = "", 0, "", 0
	} else {
		c.AutoWait = pick(3) == 0
	}
	return c
}

type result struct {
	Table, Store map[string]string
	Counts       policies.Counts
	Letters      map[string]int
	Updates      map[string][]string // per key, in order
}

func (f fold) run(t testing.TB, topo *topology.Topology, o topologytest.Options, steps []step) (result, *topologytest.Driver) {
	t.Helper()
	d := topologytest.New(t, topo, o)
	in := topologytest.Input(d, "events", f.events)
	for _, s := range steps {
		switch {
		case s.restart:
			d.Restart()
		case s.advance > 0:
			d.Advance(s.advance)
		default:
			d.CrashNext(s.crash)
			r := topology.Record[string, event]{Key: s.key, Value: s.event, Timestamp: d.Now().UnixMilli()}
			if in.Write(r); !s.write {
				d.Advance(0)
			}
		}
	}
	d.Advance(0)
	got := result{
		Table: topologytest.Table(d, "table", f.state.Serde()), Store: topologytest.Store(d, "app", f.state),
		Counts: d.Dispositions("events"), Letters: map[string]int{}, Updates: map[string][]string{},
	}
	for _, r := range topologytest.Output(d, "updates", f.state.Serde()).Read() {
		got.Updates[r.Key] = append(got.Updates[r.Key], r.Value)
	}
	letters := topologytest.Output(d, "app-in-order-dlq", f.events).Read()
	for i, l := range topologytest.Letters(d, "app-in-order-dlq") {
		if e := letters[i].Value; e.Seq != l.Sequence || e.ID != l.ID {
			t.Fatalf("the letter of %s %d (%s) has the bytes of %+v", l.Entity, l.Sequence, l.ID, e)
		}
		got.Letters[fmt.Sprintf("%s %d %s %s", l.Entity, l.Sequence, l.ID, l.Reason)]++
	}
	for key, state := range got.Store {
		if u := got.Updates[key]; len(u) == 0 || u[len(u)-1] != state {
			t.Fatalf("the last update of %s is not its state %q: %q", key, state, u)
		}
	}
	return got, d
}

const runs = 400

// A process that dies at any point of any commit leaves what one that never died
// leaves: values, table, letters, dispositions and every update, once.
func TestACrashAnywhereChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFold()
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 1))
		c, steps := contract(r), script(r, false)
		o := topologytest.Options{Partitions: 1 + r.IntN(3)}
		want, _ := f.run(t, f.build(t, c), o, steps)
		crashed := make([]step, len(steps))
		for i, s := range steps {
			s.crash = topologytest.CrashPoint(r.IntN(4))
			crashed[i] = s
		}
		got, d := f.run(t, f.build(t, c), o, crashed)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: contract %+v\nsteps %+v\n%s", seed, c, steps, diff)
		}
		d.CheckReplay()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Inputs and journal alone give the rows again, byte for byte, retries, restarts and
// cut drains included.
func TestAReplayGivesTheRowsAgain(t *testing.T) {
	t.Parallel()
	f := newFold()
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 2))
		c, steps := contract(r), script(r, true)
		for range r.IntN(3) {
			i := r.IntN(len(steps))
			steps = append(steps[:i], append([]step{{restart: true}}, steps[i:]...)...)
		}
		for i := range steps {
			if r.IntN(4) == 0 {
				steps[i].crash = topologytest.CrashPoint(1 + r.IntN(3))
			}
		}
		o := topologytest.Options{Partitions: 1 + r.IntN(3), Budget: []int{0, 1, 2, 5}[r.IntN(4)]}
		_, d := f.run(t, f.build(t, c), o, steps)
		d.CheckReplay()
		if t.Failed() {
			t.Fatalf("seed %d: contract %+v, options %+v\nsteps %+v", seed, c, o, steps)
		}
	}
}

// An event that comes in while another is tried keeps its own bytes.
func TestALetterHasTheBytesOfItsEvent(t *testing.T) {
	t.Parallel()
	f := newFold()
	c := policies.Contract{MaxWait: time.Second, MaxHeld: 3, OnOverflow: policies.OnOverflowSkip}
	send := func(e event) step { return step{key: "A", event: e} }
	_, d := f.run(t, f.build(t, c), topologytest.Options{}, []step{
		send(event{Seq: 4, ID: "4", Retry: 5}), send(event{Seq: 7}), send(event{Seq: 5}), send(event{Seq: 8, ID: "8"}),
		{advance: 10 * time.Second},
	})
	if n := len(topologytest.Letters(d, "app-in-order-dlq")); n != 4 {
		t.Errorf("%d letters, want 4", n)
	}
}

// However a drain is cut, the result is the same.
func TestTheBudgetChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFold()
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 3))
		c, steps := contract(r), script(r, false)
		want, _ := f.run(t, f.build(t, c), topologytest.Options{}, steps)
		got, _ := f.run(t, f.build(t, c), topologytest.Options{Budget: 1}, steps)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: contract %+v\nsteps %+v\n%s", seed, c, steps, diff)
		}
	}
}

// What is not in use may be forgotten and loaded again: the topics are the same, byte
// for byte, as a replay that forgets nothing makes them.
func TestForgettingChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFold()
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 4))
		c, steps := contract(r), script(r, r.IntN(2) == 0)
		o := topologytest.Options{Budget: []int{0, 1, 2, 5}[r.IntN(4)]}
		want, _ := f.run(t, f.build(t, c), o, steps)
		o.Cache = []int{1, 600, 2000}[r.IntN(3)]
		got, d := f.run(t, f.build(t, c), o, steps)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: contract %+v\nsteps %+v\n%s", seed, c, steps, diff)
		}
		d.CheckReplay()
		if t.Failed() {
			t.Fatalf("seed %d: contract %+v, options %+v\nsteps %+v", seed, c, o, steps)
		}
	}
}

// Whoever reads the letter of a record that could not be put in order sees why.
func TestALetterSaysWhatIsWrongWithTheMetadata(t *testing.T) {
	t.Parallel()
	build := func(metadata func(topology.Record[string, string], *policies.Metadata) error) *topologytest.Driver {
		sd := serde.Of(serde.String(), serde.String())
		b := topology.New("app")
		c := policies.Contract{EventsFor: "an entity", Because: "the test says so"}
		in := reorder.InOrder(topology.Source(b, "events", sd), "in-order", c, reorder.Options[string, string]{Metadata: metadata})
		topology.Sink(in, "updates", sd)
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		d := topologytest.New(t, topo, topologytest.Options{})
		topologytest.Input(d, "events", sd).SendRecord(topology.Record[string, string]{Key: "A", Headers: []topology.Header{
			{Key: []byte("ce_id"), Value: []byte("id-7")}, {Key: []byte("ce_sequence"), Value: []byte("seven")},
		}})
		return d
	}
	for _, c := range []struct {
		metadata func(topology.Record[string, string], *policies.Metadata) error
		want     string
	}{
		{nil, `invalid_metadata: *policies.HeaderError: policies: reading header ce_sequence: "seven" is not a number of digits`},
		{
			func(topology.Record[string, string], *policies.Metadata) error { return errors.New("no order today") },
			"invalid_metadata: *errors.errorString: no order today",
		},
		{
			func(topology.Record[string, string], *policies.Metadata) error {
				return fmt.Errorf("app: %w", &policies.RefusedError{Reason: policies.ReasonWrongKey, Err: errors.New("not mine")})
			},
			"wrong_key: *errors.errorString: app: not mine",
		},
	} {
		letters := topologytest.Letters(build(c.metadata), "app-in-order-dlq")
		if len(letters) != 1 {
			t.Fatalf("%d letters, want 1 with %s", len(letters), c.want)
		}
		l := letters[0]
		if got := fmt.Sprintf("%s: %s: %s", l.Reason, l.Exception, l.Message); got != c.want || l.Step != "in-order" || l.Attempts != 0 {
			t.Errorf("the letter says %q at %s after %d attempts, want %q", got, l.Step, l.Attempts, c.want)
		}
	}
}
