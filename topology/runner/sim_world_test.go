package runner

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/simulation"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

// patience is a wait that no simulation outlasts: the longest max_wait of a script.
const patience = 1000 * time.Hour

// A world is what a simulation computes and what it knows of it without asking the
// code under test: the events that it wrote, and what came out so far.
type world struct {
	ordered  bool
	contract policies.Contract
	poison   bool // numbers that 17 divides cannot be handled
	keys     int

	next    map[string]int64   // of the producers, by key
	late    []event            // delayed: written with a later feed
	written map[string][]int64 // by key, in the order of the topic
	applied map[string][]int64 // by key, as the output tells
	lost    map[string]int64   // by key: how many were never written
	commits map[int32]int64    // commit numbers seen
	offsets map[int32]int64    // offsets seen
	read    map[int32]int64    // positions in the output
	records map[int32]int64    // written, by partition
}

type event struct {
	key string
	seq int64
}

func newWorld(set simulation.Settings) *world {
	w := &world{
		ordered: set.Ordered, poison: set.Poisonous, keys: set.Keys,
		next: map[string]int64{}, written: map[string][]int64{}, applied: map[string][]int64{}, lost: map[string]int64{},
		commits: map[int32]int64{}, offsets: map[int32]int64{}, read: map[int32]int64{}, records: map[int32]int64{},
	}
	w.contract = policies.Contract{
		EventsFor: "a key", Because: "the simulation says so",
		MaxWait: set.MaxWait, OnTimeout: policies.OnTimeout(set.OnTimeout),
		MaxHeld: set.MaxHeld, OnOverflow: policies.OnOverflowSkip,
		Class: policies.Class{Late: policies.Late(set.Late), Poison: policies.Poison(set.Poison)},
	}
	return w
}

// topology builds what the world runs.
func (w *world) topology() (*topology.Topology, error) {
	b := topology.New(app)
	numbers := serde.Of(serde.String(), serde.Int64())
	str := serde.Of(serde.String(), serde.String())
	events := topology.Source(b, "events", numbers)
	if w.ordered {
		events = reorder.BySequence(events, "order", w.contract, func(v int64) int64 { return v })
	}
	table := processors.Aggregate(events, statestore.KeyValue("states", str), func(_ string, value int64, state string) (string, error) {
		if w.ordered && w.poison && value%17 == 0 {
			return "", errors.New("poison")
		}
		return state + strconv.FormatInt(value, 10) + ",", nil
	})
	topology.Sink(table.ToStream(), "updates", str)
	topology.SinkTable(table, "table")
	return b.Build()
}

// feed returns the events of the next write: some are lost, doubled, delayed and
// shuffled where an order can mend it.
func (w *world) feed(rnd *rand.Rand, n int, tell func(kind string)) (all []event) {
	all, w.late = w.late, nil
	for range n {
		key := fmt.Sprintf("key-%d", rnd.IntN(w.keys))
		w.next[key]++
		e := event{key, w.next[key]}
		roll := rnd.IntN(100)
		switch {
		case !w.ordered || roll >= 25:
			all = append(all, e)
		case roll < 3:
			tell("event lost")
			w.lost[key]++
		case roll < 12:
			tell("event twice")
			all = append(all, e, e)
		default:
			tell("event late")
			w.late = append(w.late, e)
		}
	}
	if w.ordered && len(all) > 1 {
		for range len(all) / 3 {
			i := rnd.IntN(len(all) - 1)
			all[i], all[i+1] = all[i+1], all[i]
		}
	}
	return all
}

// write writes events with a producer of its own, whose markers nobody waits for.
func (s *sim) write(events []event) {
	if len(events) == 0 {
		return
	}
	for _, remove := range s.removers { // what waits for a request would catch one of the producer's
		remove()
	}
	s.removers = nil
	var outputs []record.Output
	for _, e := range events {
		p := topology.Partition([]byte(e.key), s.partitions, 0)
		value, err := serde.Int64().Append(nil, e.seq)
		s.must(err)
		outputs = append(outputs, record.Output{
			TopicPartition: record.TopicPartition{Topic: "events", Partition: p}, Timestamp: 1, Key: []byte(e.key), Value: value,
		})
		s.world.written[e.key] = append(s.world.written[e.key], e.seq)
		s.world.records[p]++
	}
	s.writers++
	var err error
	s.writer, err = s.cluster.Producer(kafka.ProducerOptions{TransactionalID: fmt.Sprintf("writer-%d", s.writers)})
	s.must(err)
	_, err = s.writer.Init(s.ctx)
	s.must(err)
	s.bench.write(outputs)
}

// observe looks at everything that is new in the topics, and fails where it breaks a
// promise.
func (s *sim) observe() {
	w := s.world
	var tps []record.TopicPartition
	for p := range s.partitions {
		tps = append(tps, record.TopicPartition{Topic: "updates", Partition: p})
	}
	marks, err := s.admin.EndOffsets(s.ctx, tps)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return // no instance has begun yet
	}
	s.must(err)
	for _, tp := range tps {
		for w.read[tp.Partition] < marks[tp].LastStable {
			got, err := s.reader.Fetch(s.ctx, []kafka.Position{{TopicPartition: tp, Offset: w.read[tp.Partition]}})
			s.must(err)
			for _, g := range got {
				s.must(g.Err)
				w.read[tp.Partition] = g.Next
				for i := range g.Records {
					s.update(string(g.Records[i].Key), string(g.Records[i].Value))
				}
			}
		}
	}
	for tp, c := range s.committed() {
		if c.Offset < 0 {
			if w.commits[tp.Partition] > 0 {
				s.Fatalf("I11: the offset of %d is gone", tp.Partition)
			}
			continue
		}
		m, err := task.ParseMetadata(c.Metadata)
		s.must(err)
		if m.Commit < w.commits[tp.Partition] || c.Offset < w.offsets[tp.Partition] {
			s.Fatalf("I11: partition %d went back from commit %d at %d to %d at %d", tp.Partition, w.commits[tp.Partition], w.offsets[tp.Partition], m.Commit, c.Offset)
		}
		if m.Commit == w.commits[tp.Partition] {
			continue
		}
		w.commits[tp.Partition], w.offsets[tp.Partition] = m.Commit, c.Offset
		switch n := m.Counts; {
		case !n.Balanced():
			s.Fatalf("I2: the counts of partition %d do not add up: %+v", tp.Partition, n)
		case n.Delivered > w.records[tp.Partition]:
			s.Fatalf("I5: partition %d: %d delivered of %d written", tp.Partition, n.Delivered, w.records[tp.Partition])
		case n.Held > int64(w.contract.MaxHeld*w.keys):
			s.Fatalf("I7: partition %d holds %d", tp.Partition, n.Held)
		}
	}
}

// update takes one record of the output: a state is the state before it and one
// more event, which is a number that was written and, in an order, the greatest.
func (s *sim) update(key, state string) {
	w := s.world
	before := w.applied[key]
	last := state[strings.LastIndex(state[:max(0, len(state)-1)], ",")+1:]
	seq, err := strconv.ParseInt(strings.TrimSuffix(last, ","), 10, 64)
	s.must(err)
	if want := stateOf(append(slices.Clone(before), seq)); state != want {
		s.Fatalf("I3: the state of %s is %s, want %s", key, state, want)
	}
	switch {
	case !w.ordered && (len(before) >= len(w.written[key]) || w.written[key][len(before)] != seq):
		s.Fatalf("I1: %s applied %d as number %d of %v", key, seq, len(before), w.written[key])
	case w.ordered && len(before) > 0 && before[len(before)-1] >= seq:
		s.Fatalf("I1: %s applied %d after %d", key, seq, before[len(before)-1])
	case !slices.Contains(w.written[key], seq):
		s.Fatalf("I12: %s applied %d, which was never written", key, seq)
	}
	w.applied[key] = append(before, seq)
}

func stateOf(applied []int64) string {
	var b strings.Builder
	for _, n := range applied {
		fmt.Fprintf(&b, "%d,", n)
	}
	return b.String()
}

// committed returns the offsets as they are.
func (s *sim) committed() map[record.TopicPartition]kafka.CommittedOffset {
	var tps []record.TopicPartition
	for p := range s.partitions {
		tps = append(tps, record.TopicPartition{Topic: "events", Partition: p})
	}
	got, err := s.admin.Committed(s.ctx, app, tps, false)
	s.must(err)
	return got
}

// through reports whether everything written is consumed, nothing waits that a timer
// ends, and no transaction is open that hides what another has committed.
func (s *sim) through() bool {
	if len(s.broker.Markers()) > 0 || !s.stable() {
		return false
	}
	for tp, c := range s.committed() {
		n := s.world.records[tp.Partition]
		if n == 0 {
			continue
		}
		if c.Offset < 0 {
			return false
		}
		m, err := task.ParseMetadata(c.Metadata)
		s.must(err)
		if m.Counts.Delivered < n || m.Counts.Held > 0 && s.world.contract.MaxWait < time.Minute {
			return false
		}
	}
	return true
}

// stable reports whether everything in the output is decided.
func (s *sim) stable() bool {
	var tps []record.TopicPartition
	for p := range s.partitions {
		tps = append(tps, record.TopicPartition{Topic: "updates", Partition: p}, record.TopicPartition{Topic: "table", Partition: p})
	}
	marks, err := s.admin.EndOffsets(s.ctx, tps)
	s.must(err)
	for _, m := range marks {
		if m.LastStable < m.HighWater {
			return false
		}
	}
	return true
}

// judge compares the end with what the events say.
func (s *sim) judge() {
	w := s.world
	s.observe()
	final := map[string]string{}
	for key, applied := range w.applied {
		if len(applied) > 0 {
			final[key] = stateOf(applied)
		}
	}
	for _, topic := range []string{"table", "app-states-changelog"} {
		fold := map[string]string{}
		for _, r := range s.records(topic) {
			fold[string(r.Key)] = string(r.Value)
		}
		if fmt.Sprint(fold) != fmt.Sprint(final) {
			s.Fatalf("I3: the fold of %s is %v, want %v", topic, fold, final)
		}
	}
	var counts policies.Counts
	var written, applied, distinct int64
	for _, c := range s.committed() {
		if c.Offset < 0 {
			continue
		}
		m, err := task.ParseMetadata(c.Metadata)
		s.must(err)
		counts = counts.Add(m.Counts)
	}
	for _, all := range w.written {
		written += int64(len(all))
		distinct += int64(len(slices.Compact(slices.Sorted(slices.Values(all)))))
	}
	for _, all := range w.applied {
		applied += int64(len(all))
	}
	patient := w.contract.MaxWait == patience && w.contract.MaxHeld == 1000 && !w.poison
	switch {
	case counts.Delivered != written || counts.Applied != applied:
		s.Fatalf("I2: %d written, %d applied, but the counts are %+v", written, applied, counts)
	case !w.ordered && written != applied:
		s.Fatalf("I2: %d written, %d applied", written, applied)
	case w.ordered && patient && (counts.Applied+counts.Held != distinct || counts.Duplicate != written-distinct):
		// Nothing was given up: everything that has its predecessors is applied.
		s.Fatalf("I12: %d written, %d of them new, but the counts are %+v", written, distinct, counts)
	}
	if w.ordered && patient {
		s.patientlyComplete()
	}
}

// patientlyComplete checks that each key has everything up to its first hole.
func (s *sim) patientlyComplete() {
	for key, all := range s.world.written {
		seen := slices.Compact(slices.Sorted(slices.Values(all)))
		n := 0
		for n < len(seen) && seen[n] == int64(n+1) {
			n++
		}
		if got := len(s.world.applied[key]); got != n {
			s.Fatalf("I1: %s has applied %d events, want %d of %v", key, got, n, seen)
		}
	}
}
