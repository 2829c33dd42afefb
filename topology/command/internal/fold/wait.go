package fold

import (
	"fmt"
	"slices"
)

// A GivenUp is an event that came when its number had been given up.
type GivenUp struct {
	Event int
	Until int64 // when the wait for its number ended
	Took  int64 // milliseconds from the begin of that wait until the event came
}

// waiting follows the events of an entity as they are delivered: which of them wait,
// and which numbers are given up before their event comes. It does not know of
// failures; behind one that ends the entity what it says counts no more.
type waiting struct {
	numbers []number // that can be applied, ascending
	start   int64
	rules   Rules

	next    int64 // the number that is waited for
	arrived map[int64]bool
	held    int // of arrived, how many stand behind next
	most    int // of held at a time
	on      bool
	number  int64 // that the wait is for
	since   int64 // when it began
	gaps    []gap // given up, ascending
	late    map[int64]GivenUp
	stopped bool // next was given up, and the entity ended with it
}

// gap is a span that was given up after a wait since then.
type gap struct {
	Span
	since int64
}

// follow follows the events of the numbers, which begin at start.
func follow(events []Event, indices []int, numbers []number, start int64, rules Rules) *waiting {
	w := &waiting{numbers: numbers, start: start, rules: rules, next: start, arrived: make(map[int64]bool, len(numbers)), late: make(map[int64]GivenUp)}
	if len(numbers) == 0 {
		return w
	}
	last := numbers[len(numbers)-1].sequence
	for _, i := range indices {
		e := &events[i]
		w.pass(e.Clock)
		if n := e.Sequence; n >= start && n <= last && !w.arrived[n] {
			w.arrived[n] = true
			w.arrive(i, n, e.Clock)
		}
	}
	return w
}

// pass lets time pass: a wait that is over by now ended when it was due.
func (w *waiting) pass(clock int64) {
	for w.rules.MaxWait > 0 && w.on && !w.stopped && w.since+w.rules.MaxWait <= clock {
		due, from := w.since+w.rules.MaxWait, w.next
		if w.rules.AtGap == Stop {
			w.stopped = true
			w.gaps = append(w.gaps, gap{Span{from, from}, w.since})
			return
		}
		i, _ := slices.BinarySearchFunc(w.numbers, from, func(n number, at int64) int {
			if n.sequence < at {
				return -1
			}
			return 1
		})
		for !w.arrived[w.numbers[i].sequence] { // it waits, so one has
			i++
		}
		w.next = w.numbers[i].sequence
		w.gaps = append(w.gaps, gap{Span{from, w.next - 1}, w.since})
		w.drain(due)
	}
}

// arrive takes the first delivery of a number.
func (w *waiting) arrive(event int, n, clock int64) {
	for _, g := range w.gaps {
		if g.From <= n && n <= g.To {
			w.late[n] = GivenUp{Event: event, Until: g.since + w.rules.MaxWait, Took: clock - g.since}
			return
		}
	}
	if w.stopped {
		return
	}
	w.held++
	w.drain(clock)
	w.most = max(w.most, w.held)
}

// drain passes over what has arrived. A wait begins when its number becomes next
// and something stands behind it.
func (w *waiting) drain(now int64) {
	for ; w.arrived[w.next]; w.next++ {
		w.held--
	}
	switch {
	case w.held == 0:
		w.on = false
	case !w.on || w.number != w.next:
		w.on, w.number, w.since = true, w.next, now
	}
}

// unknown returns why the events of the entity cannot be judged, "" if they can.
func (w *waiting) unknown() string {
	holes, next := len(w.late), w.start
	for _, n := range w.numbers {
		if _, late := w.late[n.sequence]; late {
			continue
		}
		if n.sequence != next {
			holes++
		}
		next = n.sequence + 1
	}
	switch {
	case w.rules.MaxHeld > 0 && w.most > w.rules.MaxHeld:
		return fmt.Sprintf("%d of its events had to wait at a time, and only %d may", w.most, w.rules.MaxHeld)
	case w.rules.AtGap == Pass && w.rules.MaxHoles > 0 && holes > w.rules.MaxHoles:
		return fmt.Sprintf("it has up to %d holes at a time, and only %d may be", holes, w.rules.MaxHoles)
	}
	return ""
}
