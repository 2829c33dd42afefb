package reorder

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// Kinds of task rows: the second byte of their key.
const (
	taskWatermarks byte = 0
	taskCause      byte = 1
	taskWaits      byte = 2
)

// AppendRow implements topology.OrderMachine.
func (m *Machine) AppendRow(dst []byte, slot *topology.Entity) []byte {
	r := &m.entityOf(slot).row
	if !r.known {
		return dst
	}
	return r.append(dst, m.durable)
}

// change is a row that Changes hands out.
type change struct{ key, value []byte }

// Changes implements topology.OrderMachine. The caller may keep keys and values.
func (m *Machine) Changes(put func(key, value []byte)) {
	var rows []change
	for _, e := range m.touched {
		e.changed = false
		entity := e.Entity
		held := m.durable && e.kept && (e.state == stateHeld || e.state == stateRetrying)
		if held {
			rows = append(rows, change{appendHeldKey(nil, e, entity), e.appendHeld(nil)})
		} else if e.heldStored {
			rows = append(rows, change{appendHeldKey(nil, e, entity), nil})
		}
		letter := e.state == stateLetter
		if letter {
			rows = append(rows, change{appendLetterKey(nil, e, entity), e.appendLetter(nil)})
			if e.bare {
				e.Payload = nil
			}
		} else if e.letterStored {
			rows = append(rows, change{appendLetterKey(nil, e, entity), nil})
		}
		e.heldStored, e.letterStored = held, letter
	}
	clear(m.touched)
	m.touched = m.touched[:0]
	rows = m.taskChanges(rows)
	// A row that went and came again under one key is a change of its value.
	slices.SortFunc(rows, func(a, b change) int {
		return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(len(a.value), len(b.value)))
	})
	for i, r := range rows {
		if i+1 == len(rows) || !bytes.Equal(r.key, rows[i+1].key) {
			put(r.key, r.value)
		}
	}
}

func (m *Machine) taskChanges(rows []change) []change {
	if m.seq.byTime {
		if value := m.appendWatermarks(nil); !bytes.Equal(value, m.savedMarks) {
			m.savedMarks = value
			rows = append(rows, change{[]byte{kindTask, taskWatermarks}, value})
		}
	}
	if w := m.seq.auto; w != nil && w.changed {
		w.changed = false
		rows = append(rows, change{[]byte{kindTask, taskWaits}, w.append(nil)})
	}
	if m.causes == nil {
		return rows
	}
	q := &m.causes.applied
	for _, hash := range q.gone {
		if !q.has(hash) {
			rows = append(rows, change{causeKey(hash), nil})
		}
	}
	q.gone = q.gone[:0]
	for i := len(q.order) - 1; i >= 0 && q.byHash[q.order[i]] >= q.saved; i-- {
		hash := q.order[i]
		rows = append(rows, change{causeKey(hash), binary.AppendUvarint([]byte{formatVersion}, q.byHash[hash])})
	}
	q.saved = q.ordinal
	return rows
}

func causeKey(hash uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindTask, taskCause}, hash)
}

// appendWatermarks appends the value of the row of watermarks. Where the undecided
// events of an entity are delivered again after a restart, the watermark that they
// will meet lies before them.
func (m *Machine) appendWatermarks(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(len(m.marks)))
	for i, w := range m.marks {
		if !w.set {
			b = append(b, 0)
			continue
		}
		mark := w.mark
		if !m.durable {
			if e, ok := w.wait.Min(); ok { // its turn may have come, while others are before it
				mark = min(mark, minus(e.EventTime, 1))
			}
			if f := &m.seq.flight; f.active && f.ev.state == stateHeld && f.ev.Source == i {
				mark = min(mark, minus(f.ev.EventTime, 1))
			}
			for _, en := range m.timers { // under event time only a retry has a timer
				for _, e := range slices.Concat(en.row.rare.tries, en.blocked) {
					if e.Source == i {
						mark = min(mark, minus(e.EventTime, 1))
					}
				}
			}
		}
		b = appendInt(append(b, 1), mark)
	}
	return b
}

// Restore implements topology.OrderMachine.
func (m *Machine) Restore(key, value []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("reorder: restoring a row: %w", errTruncated)
	}
	var err error
	switch key[0] {
	case kindTask:
		err = m.restoreTask(key, value)
	case kindHeld:
		err = m.restoreHeld(key, value)
	case kindLetter:
		err = m.restoreLetter(key, value)
	default:
		err = fmt.Errorf("kind %d is unknown", key[0])
	}
	if err != nil {
		return fmt.Errorf("reorder: restoring the row of key %x: %w", key, err)
	}
	return nil
}

func (m *Machine) restoreTask(key, value []byte) error {
	in := &reader{b: value}
	if len(key) == 2 && key[1] == taskWaits && m.seq.auto != nil {
		m.seq.auto.read(in)
		return in.end()
	}
	in.version()
	switch {
	case len(key) == 2 && key[1] == taskWatermarks:
		marks := readWatermarks(in)
		if err := in.end(); err != nil {
			return err
		}
		for i := range min(len(marks), len(m.marks)) {
			m.marks[i].set, m.marks[i].mark = marks[i].set, marks[i].mark
		}
		m.savedMarks = bytes.Clone(value)
		return nil
	case len(key) == 10 && key[1] == taskCause && m.causes != nil:
		ordinal := in.uint()
		if err := in.end(); err != nil {
			return err
		}
		m.causes.applied.byHash[binary.BigEndian.Uint64(key[2:])] = ordinal
		return nil
	}
	return errMalformed
}

func readWatermarks(in *reader) []watermark {
	marks := make([]watermark, in.count(1))
	for i := range marks {
		set := in.byte()
		in.check(set <= 1)
		if marks[i].set = set == 1; marks[i].set {
			marks[i].mark = in.int()
		}
	}
	return marks
}

func (m *Machine) restoreHeld(key, value []byte) error {
	e, err := decodeHeld(value)
	if err != nil {
		return err
	}
	var epoch int64
	if e.Entity, err = readEventKey(key, &epoch, &e.Number); err != nil {
		return err
	}
	if epoch != e.Epoch || m.seq.bySeq && (!e.HasSequence || e.Number != e.Sequence) {
		return fmt.Errorf("key and value differ: %w", errMalformed)
	}
	en, err := m.restoreOwner(e)
	if err != nil {
		return err
	}
	e.heldStored = true
	en.held.Put(e)
	if e.waiting = e.waiting && !m.seq.byTime; e.waiting {
		x := en.row.more()
		x.waiting = append(x.waiting, e.Number)
	}
	return nil
}

func (m *Machine) restoreLetter(key, value []byte) error {
	e, err := decodeLetter(value)
	if err != nil {
		return err
	}
	if e.Entity, err = readEventKey(key, &e.Ordinal); err != nil {
		return err
	}
	if m.seq.bySeq {
		e.Number = e.Sequence
	}
	en, err := m.restoreOwner(e)
	if err != nil {
		return err
	}
	e.letterStored = true
	en.held.keepLetter(e)
	return nil
}

// restoreOwner finds the entity of a restored event.
func (m *Machine) restoreOwner(e *Event) (*entity, error) {
	if e.Source >= len(m.marks) {
		return nil, fmt.Errorf("source %d of %d", e.Source, len(m.marks))
	}
	slot := m.host.Entity(e.Entity)
	if slot.Row == nil && slot.Stored != nil {
		if err := CheckRow(slot.Stored); err != nil {
			return nil, err
		}
	}
	en := m.entityOf(slot)
	m.putAside(en, slot)
	if !en.restored {
		en.restored = true
		m.restored = append(m.restored, en)
	}
	en.row.more()
	e.hash = m.seq.hashOf(&e.Metadata)
	e.owner, e.changed = en, true // not a change
	return en, nil
}

// Restored implements topology.OrderMachine.
func (m *Machine) Restored(counts []policies.Counts) error {
	if len(counts) > len(m.marks) {
		return fmt.Errorf("reorder: restoring: counts of %d sources for a task of %d", len(counts), len(m.marks))
	}
	held := make([]int64, len(m.marks))
	slices.SortFunc(m.restored, func(a, b *entity) int { return cmp.Compare(a.slot.ID, b.slot.ID) })
	for _, en := range m.restored {
		en.restored = false
		for e := range en.held.all() {
			e.changed = false
			held[e.Source]++
			m.index(e)
		}
		for l := en.held.NextLetter(nil); l != nil; l = en.held.NextLetter(l) {
			l.changed = false
		}
		if x := en.row.rare; x != nil {
			slices.Sort(x.waiting)
			m.retime(en)
		}
		if m.causes != nil {
			m.await(en)
		}
		if en.held.Len() > 0 || en.row.rare != nil && en.row.rare.redriving {
			m.enqueue(en, atRestart)
		}
	}
	m.restored, m.moved = nil, m.moved[:0]
	for i, c := range counts {
		c.Lost += c.Held + c.Retrying - held[i]
		c.Held, c.Retrying = held[i], 0
		m.seq.ledger.counts[i] = c
	}
	if m.causes != nil {
		return m.causes.applied.restored()
	}
	return nil
}

// restored puts the restored hashes in order.
func (q *causeQueue) restored() error {
	for hash := range q.byHash {
		q.order = append(q.order, hash)
	}
	slices.SortFunc(q.order, func(a, b uint64) int { return cmp.Compare(q.byHash[a], q.byHash[b]) })
	for i, hash := range q.order {
		ordinal := q.byHash[hash]
		if i > 0 && ordinal == q.byHash[q.order[i-1]] || ordinal == math.MaxUint64 {
			return fmt.Errorf("reorder: restoring: two causes are the %d.: %w", ordinal, errMalformed)
		}
		q.ordinal = ordinal + 1
	}
	q.saved = q.ordinal
	return nil
}
