package reorder

import "github.com/tidwall/btree"

// A watermark is how far the event time of one source partition has come, and the
// held events that it will release, in the order of release (R17).
type watermark struct {
	set  bool
	mark int64
	wait *btree.BTreeG[*Event]
}

func newWatermarks(sources int) []watermark {
	marks := make([]watermark, sources)
	for i := range marks {
		marks[i].wait = btree.NewBTreeGOptions(earlier, btree.Options{NoLocks: true})
	}
	return marks
}

func (w *watermark) accept(mark int64) {
	if !w.set || mark > w.mark {
		w.set, w.mark = true, mark
	}
}

// release applies the earliest event that its source's watermark has passed. It
// reports whether there was one whose entity can take it.
func (m *Machine) release() bool {
	for first := m.ready(); first != nil; first = m.ready() {
		m.unindex(first)
		en := first.owner
		if en.row.retrying() || en.row.parked {
			en.blocked = append(en.blocked, first)
			continue
		}
		m.step(en, en.slot, Input{Kind: InputRelease, Released: first}, m.seq.now) // the input that moved the watermark
		return true
	}
	return false
}

// ready returns the earliest waiting event that its source's watermark has passed.
func (m *Machine) ready() (first *Event) {
	for i := range m.marks {
		w := &m.marks[i]
		e, ok := w.wait.Min()
		if ok && w.set && e.EventTime <= w.mark && (first == nil || earlier(e, first)) {
			first = e
		}
	}
	return first
}

// unblock lets events that were released wait again once their entity can take them.
func (m *Machine) unblock(en *entity) {
	if en.row.retrying() || m.seq.flight.active {
		return
	}
	blocked := en.blocked
	en.blocked = nil
	for _, e := range blocked {
		m.index(e)
	}
}

// index keeps an event in the indexes that its state asks for: of waiting events
// under event time, of held ones in a causal contract.
func (m *Machine) index(e *Event) {
	switch {
	case m.causes != nil:
		m.causes.note(e)
	case m.seq.byTime && e.state == stateHeld && !e.indexed:
		e.indexed = true
		m.marks[e.Source].wait.Set(e)
	case m.seq.byTime && e.state != stateHeld && e.indexed:
		m.unindex(e)
	}
}

func (m *Machine) unindex(e *Event) {
	e.indexed = false
	m.marks[e.Source].wait.Delete(e)
}
