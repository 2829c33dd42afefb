package reorder

import (
	"encoding/binary"
	"fmt"
)

// Parts of an order row, as bits of its flags, in the order in which they follow.
const (
	rowEpoch = iota
	rowStart
	rowVersion
	rowParked
	rowRedriving
	rowIDs
	rowHoles
	rowAhead
	rowVoid
	rowWinner
	rowHoleTimer
	rowCausalTimer
	rowAsked
	rowRung
	rowEvacuate
	rowArrival
	rowParts
)

// append appends the encoded row. What lives as long as the held events is left out
// when they are volatile.
func (r *Row) append(b []byte, durable bool) []byte {
	x := r.rare
	if x == nil {
		x = &rare{}
	}
	var f flags
	f.set(rowEpoch, r.epoch != 0)
	f.set(rowStart, r.start != 1)
	f.set(rowVersion, r.version != 0)
	f.set(rowParked, r.parked)
	f.set(rowRedriving, x.redriving)
	f.set(rowIDs, r.ids.len() > 0)
	f.set(rowHoles, len(x.holes) > 0)
	f.set(rowAhead, len(x.ahead) > 0)
	f.set(rowVoid, len(x.void) > 0)
	f.set(rowWinner, x.winner != nil)
	if durable {
		f.set(rowHoleTimer, x.hole.set)
		f.set(rowCausalTimer, x.causal.set)
		f.set(rowAsked, x.asked.set)
		f.set(rowRung, x.rung.set)
		f.set(rowEvacuate, x.evacuate != "")
		f.set(rowArrival, x.arrival != 0)
	}
	b = binary.AppendUvarint(append(b, formatVersion), uint64(f))
	if f.has(rowEpoch) {
		b = appendInt(b, r.epoch)
	}
	if f.has(rowStart) {
		b = appendInt(b, r.start)
	}
	b = binary.AppendUvarint(b, uint64(r.last-(r.start-1)))
	if f.has(rowVersion) {
		b = appendInt(b, r.version)
	}
	if f.has(rowIDs) {
		b = r.ids.append(b, r.last)
	}
	if f.has(rowHoles) {
		b = x.holes.append(b)
	}
	if f.has(rowAhead) {
		b = x.ahead.append(b)
	}
	if f.has(rowVoid) {
		b = x.void.append(b)
	}
	if f.has(rowWinner) {
		b = appendInt(b, x.winner.version)
		b = appendInt(b, x.winner.eventTime)
		b = appendText(b, x.winner.id)
	}
	if f.has(rowHoleTimer) {
		b = appendInt(x.hole.append(b), x.opened)
	}
	if f.has(rowCausalTimer) {
		b = x.causal.append(b)
	}
	if f.has(rowAsked) {
		b = appendInt(b, x.asked.number)
	}
	if f.has(rowRung) {
		b = appendInt(b, x.rung.number)
	}
	if f.has(rowEvacuate) {
		b = appendReason(b, x.evacuate)
	}
	if f.has(rowArrival) {
		b = appendInt(b, x.arrival)
	}
	return b
}

// decode fills the zero row from its encoding.
func (r *Row) decode(value []byte) error {
	in := &reader{b: value}
	in.version()
	f := flags(in.uint())
	in.check(f < 1<<rowParts)
	x := &rare{}
	r.known, r.start = true, 1
	if f.has(rowEpoch) {
		r.epoch = in.nonzero()
	}
	if f.has(rowStart) {
		r.start = in.int()
		in.check(r.start != 1 && r.start != -1<<63)
	}
	r.last = in.plus(r.start-1, in.uint())
	if f.has(rowVersion) {
		r.version = in.nonzero()
	}
	r.parked, x.redriving = f.has(rowParked), f.has(rowRedriving)
	if f.has(rowIDs) {
		r.ids = &ids{}
		r.ids.read(in, r.last)
	}
	if f.has(rowHoles) {
		x.holes.read(in)
	}
	if f.has(rowAhead) {
		x.ahead.read(in)
	}
	if f.has(rowVoid) {
		x.void.read(in)
	}
	if f.has(rowWinner) {
		x.winner = &winner{in.int(), in.int(), append([]byte(nil), in.bytes()...)}
	}
	if f.has(rowHoleTimer) {
		x.hole = readTimer(in)
		x.opened = in.int()
	}
	if f.has(rowCausalTimer) {
		x.causal = readTimer(in)
	}
	if f.has(rowAsked) {
		x.asked = mark{true, in.int()}
	}
	if f.has(rowRung) {
		x.rung = mark{true, in.int()}
	}
	if f.has(rowEvacuate) {
		x.evacuate = in.reason()
	}
	if f.has(rowArrival) {
		x.arrival = in.nonzero()
	}
	const calm = 1<<rowEpoch | 1<<rowStart | 1<<rowVersion | 1<<rowParked | 1<<rowIDs
	if f&^calm != 0 {
		r.rare = x
	}
	return in.end()
}

// maxArm is the greatest arming number among the timers of the row.
func (r *Row) maxArm() int64 {
	if r.rare == nil {
		return 0
	}
	return max(r.rare.hole.arm, r.rare.causal.arm)
}

// CheckRow reports whether a stored order row can be decoded, and why not.
func CheckRow(value []byte) error {
	var r Row
	if err := r.decode(value); err != nil {
		return fmt.Errorf("reorder: decoding an order row of %d bytes: %w", len(value), err)
	}
	return nil
}

// Bits of a remembered id.
const (
	idApplied  = 1
	idNumbered = 2
)

// append appends the ids in the order of recording. Numbers are differences: those
// of an entity in order take one byte each.
func (m *ids) append(b []byte, last int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.ring)))
	before := last
	m.each(func(e idEntry) {
		n, kind := e.number(), byte(0)
		if e.applied() {
			kind |= idApplied
		}
		if n != noNumber {
			kind |= idNumbered
		}
		b = append(b, kind)
		if n != noNumber {
			b = appendInt(b, n-before)
			before = n
		}
		b = binary.BigEndian.AppendUint64(b, e.hash)
	})
	return b
}

func (m *ids) read(in *reader, last int64) {
	n := in.count(9)
	m.ring = make([]idEntry, 0, n)
	before := last
	for range n {
		kind, number := in.byte(), int64(noNumber)
		in.check(kind <= idApplied|idNumbered)
		if kind&idNumbered != 0 {
			number = before + in.int()
			in.check(number >= 0 && number <= maxSequence)
			before = number
		}
		hash := in.hash()
		in.check(hash != 0 && !m.has(hash))
		if in.err != nil {
			return
		}
		e := newIDEntry(number, hash, kind&idApplied != 0)
		m.ring = append(m.ring, e)
		m.reindex(e)
		m.grow()
	}
}

func (s spans) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for i, sp := range s {
		if i == 0 {
			b = appendInt(b, sp.from)
		} else {
			b = binary.AppendUvarint(b, uint64(sp.from-s[i-1].to-2)) // they never touch
		}
		b = binary.AppendUvarint(b, uint64(sp.to-sp.from))
	}
	return b
}

func (s *spans) read(in *reader) {
	for i := range in.count(2) {
		var sp span
		if i == 0 {
			sp.from = in.int()
		} else {
			sp.from = in.plus(in.plus((*s)[i-1].to, 2), in.uint())
		}
		sp.to = in.plus(sp.from, in.uint())
		if in.err != nil {
			return
		}
		*s = append(*s, sp)
	}
}

func (c claims) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c)))
	for i, cl := range c {
		if i == 0 {
			b = appendInt(b, cl.from)
		} else {
			b = binary.AppendUvarint(b, uint64(cl.from-c[i-1].to-1))
		}
		b = binary.AppendUvarint(b, uint64(cl.to-cl.from))
		b = binary.BigEndian.AppendUint64(b, cl.hash)
	}
	return b
}

func (c *claims) read(in *reader) {
	for i := range in.count(10) {
		var cl claim
		var gap uint64
		if i == 0 {
			cl.from = in.int()
		} else {
			gap = in.uint()
			cl.from = in.plus(in.plus((*c)[i-1].to, 1), gap)
		}
		cl.to = in.plus(cl.from, in.uint())
		cl.hash = in.hash()
		if i > 0 {
			in.check(gap > 0 || cl.hash != (*c)[i-1].hash) // neighbours of one id are one claim
		}
		if in.err != nil {
			return
		}
		*c = append(*c, cl)
	}
}

func (t timer) append(b []byte) []byte {
	b = appendInt(appendInt(b, t.number), t.due)
	b = binary.AppendUvarint(b, uint64(t.arm))
	if t.on {
		return append(b, 1)
	}
	return append(b, 0)
}

func readTimer(in *reader) timer {
	t := timer{set: true, number: in.int(), due: in.int(), arm: int64(in.uint())}
	on := in.byte()
	in.check(on <= 1 && t.arm >= 0)
	t.on = on == 1
	return t
}
