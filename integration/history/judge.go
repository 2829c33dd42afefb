package history

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sort"
)

// An App says where a topology that is judged keeps what, and what its business is.
// Every topic has Partitions partitions, and an entity the same in all of them.
type App struct {
	Group      string
	Input      string // events
	Applied    string // every event once more, when it is applied
	Changelog  string // of the state of each entity
	Table      string // the state for readers
	Order      string
	Journal    string
	Letters    string
	Partitions int32
	MaxHeld    int // of an entity
	// Sequence reads the number of an event from its value.
	Sequence func(value []byte) (int64, error)
	// Next is the state after an event; the state is nil before the first.
	Next func(state, value []byte) []byte
}

// Logs is all that is known of one partition.
type Logs struct {
	Input, Applied, Changelog, Table, Order, Journal, Letters Log
	Committed                                                 Committed
}

// A Verdict is what was found of one partition.
type Verdict struct {
	Partition int32
	Entities  int
	Events    int // different ones in the input
	Copies    int // of them, in the input
	Commits   int64
	Writers   int    // producers, by id and epoch, that committed
	Want      uint64 // digest of the states as the inputs fold
	Applied   uint64 // digest of the states as the applied events fold
	Store     uint64 // digest of the states in the changelog
	Table     uint64 // digest of the states in the table
	InOrder   bool
	MaxHeld   int // most held events of an entity
	// Differences are what is wrong, the first of every kind with its place.
	Differences []string
}

// judge is one judgement while it goes on.
type judge struct {
	app  *App
	logs *Logs
	v    Verdict
	// events has the values of each entity by number.
	events map[string]map[int64][]byte
	want   map[string][]byte
	seen   map[string]int // differences by kind
}

// maxOfKind bounds the differences of one kind that are told with their place.
const maxOfKind = 3

// Judge judges one partition.
func Judge(app *App, partition int32, logs *Logs) Verdict {
	j := &judge{app: app, logs: logs, v: Verdict{Partition: partition, InOrder: true}, seen: map[string]int{}}
	j.inputs()
	j.applied()
	j.v.Store = j.states(&logs.Changelog)
	j.v.Table = j.states(&logs.Table)
	j.orderRows()
	last := j.journal()
	j.committed(last)
	for kind, n := range j.seen {
		if n > maxOfKind {
			j.v.Differences = append(j.v.Differences, fmt.Sprintf("%s: %d more", kind, n-maxOfKind))
		}
	}
	sort.Strings(j.v.Differences)
	return j.v
}

func (j *judge) differ(kind, format string, args ...any) {
	if j.seen[kind]++; j.seen[kind] <= maxOfKind {
		j.v.Differences = append(j.v.Differences, kind+": "+fmt.Sprintf(format, args...))
	}
}

// inputs folds the inputs in the order of their numbers, each once.
func (j *judge) inputs() {
	in := &j.logs.Input
	j.events, j.want = map[string]map[int64][]byte{}, map[string][]byte{}
	for _, r := range in.Records {
		n, err := j.app.Sequence(r.Value)
		if err != nil {
			j.differ("input", "%s: %v", in.at(r.Offset), err)
			continue
		}
		of := j.events[string(r.Key)]
		if of == nil {
			of = map[int64][]byte{}
			j.events[string(r.Key)] = of
		}
		if was, twice := of[n]; twice {
			j.v.Copies++
			if !bytes.Equal(was, r.Value) {
				j.differ("input", "%s: another event %d of %s", in.at(r.Offset), n, r.Key)
			}
			continue
		}
		of[n] = r.Value
		j.v.Events++
	}
	j.v.Entities = len(j.events)
	for entity, of := range j.events {
		var state []byte
		for n := int64(1); n <= int64(len(of)); n++ {
			value, ok := of[n]
			if !ok {
				j.differ("input", "%s-%d has no event %d of %s, but later ones", in.Topic, in.Partition, n, entity)
				break
			}
			state = j.app.Next(state, value)
		}
		j.want[entity] = state
	}
	j.v.Want = digest(j.want)
}

// applied walks through the applied events: every entity's are 1, 2, 3 ..., each
// the input of its number.
func (j *judge) applied() {
	out := &j.logs.Applied
	last, got := map[string]int64{}, map[string][]byte{}
	for _, r := range out.Records {
		entity := string(r.Key)
		n, err := j.app.Sequence(r.Value)
		if err != nil {
			j.differ("applied", "%s: %v", out.at(r.Offset), err)
			continue
		}
		switch want := last[entity] + 1; {
		case n < want:
			j.v.InOrder = false
			j.differ("twice", "%s: event %d of %s, after %d", out.at(r.Offset), n, entity, last[entity])
		case n > want:
			j.v.InOrder = false
			j.differ("order", "%s: event %d of %s, %d is next", out.at(r.Offset), n, entity, want)
		}
		if was, ok := j.events[entity][n]; !ok {
			j.differ("applied", "%s: event %d of %s was never an input", out.at(r.Offset), n, entity)
		} else if !bytes.Equal(was, r.Value) {
			j.differ("applied", "%s: event %d of %s is %q, the input was %q", out.at(r.Offset), n, entity, r.Value, was)
		}
		last[entity] = n
		got[entity] = j.app.Next(got[entity], r.Value)
	}
	j.v.Applied = digest(got)
	j.compare(out, got)
}

// compare compares states with those of the inputs.
func (j *judge) compare(l *Log, got map[string][]byte) {
	for _, entity := range slices.Sorted(maps.Keys(j.want)) {
		if state, ok := got[entity]; !ok {
			j.differ("state", "%s-%d has nothing of %s", l.Topic, l.Partition, entity)
		} else if !bytes.Equal(state, j.want[entity]) {
			j.differ("state", "%s-%d says %q of %s, the inputs give %q", l.Topic, l.Partition, state, entity, j.want[entity])
		}
	}
	for _, entity := range slices.Sorted(maps.Keys(got)) {
		if _, ok := j.want[entity]; !ok {
			j.differ("state", "%s-%d has %s, of which there was no event", l.Topic, l.Partition, entity)
		}
	}
}

// states reads a table: the last value of a key stands, and its position only grows.
func (j *judge) states(l *Log) uint64 {
	last, got := map[string]int64{}, map[string][]byte{}
	for _, r := range l.Records {
		entity := string(r.Key)
		n, err := parsePosition(r.Order)
		switch {
		case err != nil:
			j.differ("state", "%s: %v", l.at(r.Offset), err)
		case n <= last[entity]:
			j.v.InOrder = false
			j.differ("back", "%s: %s stands at %d, after %d", l.at(r.Offset), entity, n, last[entity])
		}
		last[entity], got[entity] = n, r.Value
	}
	for entity, n := range last {
		if want := int64(len(j.events[entity])); n != want {
			j.differ("state", "%s-%d says that %s stands at %d, the inputs go to %d", l.Topic, l.Partition, entity, n, want)
		}
	}
	j.compare(l, got)
	return digest(got)
}

// digest is a number for states: equal ones have the same.
func digest(states map[string][]byte) uint64 {
	h := fnv.New64a()
	for _, entity := range slices.Sorted(maps.Keys(states)) {
		fmt.Fprintf(h, "%d %s %d %s ", len(entity), entity, len(states[entity]), states[entity])
	}
	return h.Sum64()
}

// orderRows reads the order topic: how far each entity is, and what is held.
func (j *judge) orderRows() {
	l := &j.logs.Order
	last := map[string]int64{}
	waiting := map[string]map[string]bool{} // keys of held rows of each entity
	for _, r := range l.Records {
		kind, entity, err := parseOrderKey(r.Key)
		if err != nil {
			j.differ("order row", "%s: key: %v", l.at(r.Offset), err)
			continue
		}
		switch {
		case kind == entityRow && r.Value != nil:
			_, n, err := parseOrderRow(r.Value)
			if err != nil {
				j.differ("order row", "%s: %v", l.at(r.Offset), err)
			} else if n < last[entity] {
				j.differ("back", "%s: %s is at %d, after %d", l.at(r.Offset), entity, n, last[entity])
			}
			last[entity] = n
		case kind == entityRow:
			j.differ("order row", "%s: %s is forgotten", l.at(r.Offset), entity)
		case kind == heldRow && r.Value != nil:
			if waiting[entity] == nil {
				waiting[entity] = map[string]bool{}
			}
			waiting[entity][string(r.Key)] = true
			j.v.MaxHeld = max(j.v.MaxHeld, len(waiting[entity]))
		case kind == heldRow:
			delete(waiting[entity], string(r.Key))
		}
	}
	if j.v.MaxHeld > j.app.MaxHeld {
		j.differ("bound", "%s-%d: an entity had %d held events, %d are allowed", l.Topic, l.Partition, j.v.MaxHeld, j.app.MaxHeld)
	}
	for _, entity := range slices.Sorted(maps.Keys(waiting)) {
		if n := len(waiting[entity]); n > 0 {
			j.differ("held", "%s-%d: %d events of %s wait, the inputs are complete", l.Topic, l.Partition, n, entity)
		}
	}
	for _, entity := range slices.Sorted(maps.Keys(j.events)) {
		if want := int64(len(j.events[entity])); last[entity] != want {
			j.differ("order row", "%s-%d: %s is at %d, the inputs go to %d", l.Topic, l.Partition, entity, last[entity], want)
		}
	}
}
