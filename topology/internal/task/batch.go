package task

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// OrderHeader is the header of a changelog record that tells readers where the
// value stands in the order of its entity: "epoch/sequence/version" in decimal.
// Restore never needs it.
const OrderHeader = "streamrun.order"

// A Batch is everything that a task did since the last one, as data. Its fields are
// in the order of committing: everything up to Journal is produced in one
// transaction, then the offsets are sent, and only after the transaction has ended
// are the Puts handed to the backend. An aborted transaction discards it.
type Batch struct {
	Task        string
	Number      int64 // of the commit
	Changelog   []record.Output
	Output      []record.Output
	DeadLetters []record.Output
	Journal     []record.Output
	// Puts are the rows for the backend.
	Puts []statestore.Put
	// Dispositions are the totals per source partition, this batch included.
	Dispositions []policies.Counts
	// Alarms and rebuild requests, for whoever watches.
	Alarms []Alarm
	// Decided are the decisions since the last batch.
	Decided []Decided
	// Strays are new since the last batch.
	Strays Strays

	plan      *Plan
	partition int32
	meta      Metadata
	offsets   []int64
	arena     arena
	heads     []record.Header // of Changelog and Output
}

// An Alarm is a decision that somebody should know of.
type Alarm struct {
	Entity  string
	From    int64 // first missing number
	Rule    policies.Rule
	Rebuild bool // a rebuild from that number is requested; else a hole stays open past its wait
}

// An Offset is what is committed for one source partition.
type Offset struct {
	record.TopicPartition
	Offset   int64
	Metadata string
}

// Records returns the number of records to be produced.
func (b *Batch) Records() int {
	return len(b.Changelog) + len(b.Output) + len(b.DeadLetters) + len(b.Journal)
}

// JournalAt names the partition whose first acknowledged offset is the position of
// the batch's journal.
func (b *Batch) JournalAt() record.TopicPartition {
	return record.TopicPartition{Topic: b.plan.Journal, Partition: b.partition}
}

// Offsets returns the offsets of every source partition of the task. journal is the
// offset that follows the batch's last journal record.
func (b *Batch) Offsets(w Writer, journal int64) []Offset {
	out := make([]Offset, len(b.offsets))
	for i, o := range b.offsets {
		m := b.meta
		m.Writer, m.Journal, m.Counts = w, journal, b.Dispositions[i]
		out[i] = Offset{record.TopicPartition{Topic: b.plan.Sources[i], Partition: b.partition}, o, m.String()}
	}
	return out
}

// Take returns what the task did since the last Take, or nil when it did nothing.
// The bytes are the batch's until Recycle.
func (t *Task) Take() *Batch {
	if len(t.steps) == 0 {
		return nil
	}
	t.commit++
	b := &Batch{
		Task: t.name, Number: t.commit, Output: t.outputs, DeadLetters: t.letters, Alarms: t.alarms, Strays: t.strays, Decided: t.decisions.take(),
		Dispositions: t.Dispositions(), plan: t.plan, partition: t.partition,
		meta:    Metadata{Commit: t.commit, Clock: t.clock, StreamTime: t.streamTime},
		offsets: make([]int64, len(t.positions)),
	}
	var next lists
	if n := len(t.spare); n > 0 {
		next = t.spare[n-1]
		t.spare = t.spare[:n-1]
		b.Changelog, b.Puts, b.heads = next.changelog, next.puts, next.heads
	}
	for i, p := range t.positions {
		b.offsets[i] = p
		if t.machine != nil {
			if low, ok := t.machine.Pending(i); ok {
				b.offsets[i] = min(p, low)
			}
		}
	}
	if t.machine != nil {
		topic := t.plan.Changelogs[0].Topic
		t.machine.Changes(func(key, value []byte) {
			t.key = append(append(t.key[:0], statestore.KindOrder), key...)
			k := t.arena.copy(t.key)
			v := t.arena.copy(value)
			t.log(b, topic, k[1:], v, nil, t.clock)
			b.Puts = append(b.Puts, statestore.Put{Key: k, Row: v})
		})
	}
	for some := range slices.Chunk(t.slots.dirty, lookahead) {
		t.touch(some)
		for _, sl := range some {
			t.takeSlot(b, sl)
		}
	}
	t.slots.dirty = t.slots.dirty[:0]
	t.takeJournal(b)
	b.arena = t.arena
	t.arena = arena{pool: &t.pool}
	t.outputs, t.letters, t.alarms, t.steps = next.output, nil, nil, nil
	t.strays = Strays{}
	return b
}

// lists are the slices of a batch that are used again.
type lists struct {
	changelog, output []record.Output
	puts              []statestore.Put
	heads             []record.Header
}

// Recycle takes back the memory of a batch whose rows the backend has: what is to be
// produced and the Puts are gone.
func (t *Task) Recycle(b *Batch) {
	b.arena.release()
	if len(t.spare) < 2 { // one is in a transaction while the other is stepped, or taken
		clear(b.Changelog)
		clear(b.Output)
		clear(b.Puts)
		clear(b.heads)
		t.spare = append(t.spare, lists{b.Changelog[:0], b.Output[:0], b.Puts[:0], b.heads[:0]})
	}
	b.Changelog, b.Output, b.DeadLetters, b.Journal, b.Puts, b.heads = nil, nil, nil, nil, nil, nil
	if t.slots.limit == 0 {
		return
	}
	t.hand = nil
	t.slots.forget(b.Number, func(e *topology.Entity) bool { return t.machine == nil || t.machine.Idle(e) })
}

func (t *Task) log(b *Batch, topic string, key, value []byte, headers []record.Header, timestamp int64) {
	b.Changelog = append(b.Changelog, record.Output{
		TopicPartition: record.TopicPartition{Topic: topic, Partition: t.partition},
		Timestamp:      timestamp, Key: key, Value: value, Headers: headers,
	})
}

// takeSlot adds the changes of one slot: its order row and the values that changed
// to their changelogs, and the whole of it to the rows for the backend, whose bytes the
// changelogs have too.
func (t *Task) takeSlot(b *Batch, sl *slot) {
	parts := t.slots.parts
	clear(parts)
	parts[0] = sl.Stored
	if sl.Row != nil { // what was stored is read, and may be another one by now
		sl.Stored = nil
		if t.scratch = t.machine.AppendRow(t.scratch[:0], &sl.Entity); len(t.scratch) > 0 {
			parts[0] = t.scratch
		} else {
			parts[0] = nil
		}
	}
	changed := sl.rowDirty
	logRow := changed && (sl.logged || parts[0] != nil)
	sl.logged = parts[0] != nil
	sl.dirty, sl.rowDirty = false, false
	for i := range t.slots.stores {
		c := sl.cell(i)
		changed = changed || c.dirty
		if c.ok {
			parts[1+i] = c.value
			if c.value == nil {
				parts[1+i] = []byte{}
			}
		}
	}
	if !changed {
		return
	}
	if sl.taken = t.commit; t.slots.limit > 0 {
		t.slots.resize(sl)
	}
	key := t.arena.keep(append(append(t.arena.room(1+len(sl.ID)), statestore.KindSlot), sl.ID...))
	size := 1
	for _, p := range parts {
		size += binary.MaxVarintLen64 + len(p)
	}
	row := t.arena.keep(statestore.AppendRow(t.arena.room(size), parts))
	if err := statestore.DecodeRow(row, parts); err != nil {
		panic(fmt.Sprintf("task %s: reading a row that was just written: %v", t.name, err))
	}
	if len(row) > 0 {
		b.Puts = append(b.Puts, statestore.Put{Key: key, Row: row})
	} else if sl.stored {
		b.Puts = append(b.Puts, statestore.Put{Key: key})
	}
	sl.stored = len(row) > 0
	if logRow {
		entity := t.arena.keep(t.plan.order.AppendEntityKey(t.arena.room(1+len(sl.ID)), sl.ID))
		t.log(b, t.plan.Changelogs[0].Topic, entity, parts[0], nil, t.clock)
	}
	t.takeCells(b, sl, key[1:], parts[1:])
}

// takeCells adds the values of a slot that changed to their changelogs and tables.
func (t *Task) takeCells(b *Batch, sl *slot, id []byte, values [][]byte) {
	var headers []record.Header
	first := true
	for i := range t.slots.stores {
		c := sl.cell(i)
		if !c.dirty {
			continue
		}
		if c.dirty = false; first {
			first, headers = false, t.orderHeaders(b, sl)
		}
		t.log(b, t.plan.stores[i], id, values[i], headers, c.timestamp)
		for _, topic := range t.plan.tables[i] {
			b.Output = append(b.Output, record.Output{
				TopicPartition: record.TopicPartition{Topic: topic, Partition: topology.Partition(id, t.options.Partitions(topic), t.partition)},
				Timestamp:      c.timestamp, Key: id, Value: values[i], Headers: headers,
			})
		}
	}
}

// orderHeaders makes the header that tells readers where a value stands.
func (t *Task) orderHeaders(b *Batch, sl *slot) []record.Header {
	if t.machine == nil || sl.Row == nil {
		return nil
	}
	epoch, sequence, version := t.machine.Position(&sl.Entity)
	value := strconv.AppendInt(t.arena.room(64), epoch, 10)
	value = strconv.AppendInt(append(value, '/'), sequence, 10)
	value = t.arena.keep(strconv.AppendInt(append(value, '/'), version, 10))
	n := len(b.heads)
	b.heads = append(b.heads, record.Header{Key: orderHeader, Value: value})
	return b.heads[n : n+1 : n+1]
}

var orderHeader = []byte(OrderHeader)

// takeJournal adds the journal of the batch, in as many records as its size asks for.
func (t *Task) takeJournal(b *Batch) {
	j := JournalRecord{Commit: t.commit, Plan: t.plan.Hash}
	put := func() {
		t.scratch = j.Append(t.scratch[:0])
		b.Journal = append(b.Journal, record.Output{TopicPartition: b.JournalAt(), Timestamp: t.clock, Value: t.arena.copy(t.scratch)})
	}
	size := 0
	from := 0
	for i := range t.steps {
		t.key = t.steps[i].append(t.key[:0])
		if size += len(t.key); size > journalMax && i > from {
			j.Continued, j.Steps = true, t.steps[from:i]
			put()
			from, size = i, len(t.key)
		}
	}
	j.Continued, j.Steps, j.StreamTime = false, t.steps[from:], t.streamTime
	for i, topic := range t.plan.Sources {
		j.Sources = append(j.Sources, JournalSource{topic, b.offsets[i], b.Dispositions[i]})
	}
	put()
}
