package reorder

import "math"

// timers is a heap of the entities that have a timer, by due time, then by arming.
type timers []*entity

// retime gives the entity the place in the heap that its earliest timer asks for.
func (m *Machine) retime(en *entity) {
	if gap := en.row.rare != nil && en.row.rare.hole.on; gap != en.gap {
		en.gap = gap
		if gap {
			m.gaps++
		} else {
			m.gaps--
		}
	}
	t := en.row.timer()
	switch {
	case !t.on && en.index < 0:
	case !t.on:
		m.timers.remove(en)
	case en.index < 0:
		en.due, en.index = t, len(m.timers)
		m.timers = append(m.timers, en)
		m.timers.up(en.index)
	case t != en.due:
		en.due = t
		m.timers.down(m.timers.up(en.index))
	}
}

// Gaps implements topology.OrderMachine.
func (m *Machine) Gaps() (open int, since int64) {
	if m.gaps > 0 {
		since = m.timers.oldest(0, m.seq.wait, math.MaxInt64)
	}
	return m.gaps, since
}

// oldest returns since when the hole is waited for that is so longest, in the part of
// the heap below i, or known if that is longer. No wait is longer than longest, so
// that below an entity that is due that long after known there is no older one.
func (h timers) oldest(i int, longest, known int64) int64 {
	if i >= len(h) || minus(h[i].due.due, longest) >= known {
		return known
	}
	if x := h[i].row.rare; x != nil && x.hole.on {
		known = min(known, max(x.opened, minus(x.hole.due, longest)))
	}
	return h.oldest(2*i+2, longest, h.oldest(2*i+1, longest, known))
}

func (h *timers) remove(en *entity) {
	i, n := en.index, len(*h)-1
	h.swap(i, n)
	(*h)[n] = nil
	*h = (*h)[:n]
	en.index = -1
	if i < n {
		h.down(h.up(i))
	}
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h timers) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].due.before(h[parent].due) {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].due.before(h[child].due) {
			child++
		}
		if !h[child].due.before(h[i].due) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
