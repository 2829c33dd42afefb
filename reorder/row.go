package reorder

import "github.com/streamrun/streamrun/policies"

// A Row is what is remembered of one entity: the order row. The zero value is an
// entity that nothing is known of. Only the sequencer changes it.
type Row struct {
	last    int64 // every number up to it is decided, or a hole
	epoch   int64 // producer epoch the entity is in
	version int64 // greatest version applied
	rare    *rare // nil while the entity has nothing but the fields here
	known   bool  // whether epoch, start and last are set
	parked  bool
	start   int64 // first number of the epoch
	ids     *ids  // decided last; nil: none was
}

// rare is the part of a row that an entity in order does not need. It exists while
// anything of the entity is held or dead-lettered.
type rare struct {
	holes spans  // given up, at or below last
	ahead spans  // decided above last: applied, or holes of events that failed
	void  claims // above last: nobody waits for them

	winner  *winner  // order_by=version
	tries   []*Event // local retries and looks
	waiting []int64  // numbers, ascending, of the held that are decided again once the entity is not busy
	arrival int64    // arrival number of the last held event in the orders without numbers

	hole   timer // of the head hole; its number is the hole's first
	opened int64 // when the head hole began to be waited for
	causal timer // of the event held for its cause; its number is the event's
	asked  mark  // the hole that a rebuild was requested for
	rung   mark  // the hole that an alarm was given for

	evacuate  policies.Reason // why the held of a parked entity become letters
	redriving bool            // a re-drive goes on
}

// A mark names a hole by its first number. The zero value names none.
type mark struct {
	set    bool
	number int64
}

func (m mark) is(number int64) bool { return m.set && m.number == number }

// winner is the tuple that an event must exceed under order_by=version (R14).
type winner struct {
	version, eventTime int64
	id                 []byte
}

// A timer is armed for a time; of timers due at the same time the one armed first fires first.
type timer struct {
	set      bool // it belongs to number, running or fired
	on       bool // it runs
	number   int64
	due, arm int64
}

// before orders timers by due time, then by arming.
func (t timer) before(u timer) bool {
	if t.due != u.due {
		return t.due < u.due
	}
	return t.arm < u.arm
}

// Known reports whether the entity has had an event past R0.
func (r *Row) Known() bool { return r.known }

// Last returns the number up to which everything is decided or a hole.
func (r *Row) Last() int64 { return r.last }

// Epoch returns the producer epoch that the entity is in.
func (r *Row) Epoch() int64 { return r.epoch }

// Version returns the greatest version that was applied.
func (r *Row) Version() int64 { return r.version }

// Parked reports whether the entity is parked.
func (r *Row) Parked() bool { return r.parked }

// Holes calls f for every span of numbers that were given up, ascending.
func (r *Row) Holes(f func(from, to int64)) {
	if r.rare == nil {
		return
	}
	for _, s := range r.rare.holes {
		f(s.from, s.to)
	}
}

// Ahead reports whether the number was decided before its turn and last has not passed it.
func (r *Row) Ahead(number int64) bool { return r.rare != nil && r.rare.ahead.has(number) }

func (r *Row) more() *rare {
	if r.rare == nil {
		r.rare = &rare{}
	}
	return r.rare
}

// next is the smallest number above last that is neither ahead nor void (R9).
func (r *Row) next() int64 { return r.nextWithout(noNumber) }

// nextWithout is next as if the given number were not void.
func (r *Row) nextWithout(unvoid int64) int64 {
	n := r.last + 1
	if r.rare == nil {
		return n
	}
	ahead, void := r.rare.ahead, r.rare.void
	for {
		switch {
		case len(ahead) > 0 && ahead[0].from <= n:
			n = max(n, ahead[0].to+1)
			ahead = ahead[1:]
		case len(void) > 0 && void[0].from <= n:
			if unvoid >= n && unvoid <= void[0].to {
				return unvoid
			}
			n = max(n, void[0].to+1)
			void = void[1:]
		default:
			return n
		}
	}
}

// pass moves last to n, which is decided; what it jumps over is given up.
func (r *Row) pass(n int64) {
	if r.rare != nil || n != r.last+1 {
		r.more().giveUp(r.last+1, n-1)
	}
	r.advance(n)
}

// skipTo moves last to n and gives up everything up to it.
func (r *Row) skipTo(n int64) {
	r.more().giveUp(r.last+1, n)
	r.advance(n)
}

// advance moves last to n, and on over the numbers ahead that follow without a break.
func (r *Row) advance(n int64) {
	r.last = n
	x := r.rare
	if x == nil {
		return
	}
	x.ahead.dropTo(n)
	if len(x.ahead) > 0 && x.ahead[0].from == n+1 {
		r.last = x.ahead[0].to
		x.ahead.dropTo(r.last)
	}
	x.void.dropTo(r.last)
}

// giveUp makes the numbers from to to holes, but those that are ahead.
func (x *rare) giveUp(from, to int64) {
	for _, a := range x.ahead {
		if a.from > to {
			break
		}
		if from < a.from {
			x.holes.add(from, a.from-1)
		}
		from = max(from, a.to+1)
	}
	if from <= to {
		x.holes.add(from, to)
	}
}

// appliedAhead is the greatest number that was applied ahead, -1 if there is none.
func (x *rare) appliedAhead() int64 {
	for i := len(x.ahead) - 1; i >= 0; i-- {
		n := x.ahead[i].to
		for j := x.holes.find(n); j < len(x.holes) && x.holes[j].from <= n; j = x.holes.find(n) {
			n = x.holes[j].from - 1
		}
		if n >= x.ahead[i].from {
			return n
		}
	}
	return -1
}

// full reports whether one more span could exceed the bound.
func (r *Row) full(maxHoles int) bool {
	return r.rare != nil && len(r.rare.holes)+len(r.rare.ahead)+len(r.rare.void) >= maxHoles
}

// trying returns the event in retry or waiting for a look that has the number.
func (r *Row) trying(number int64) *Event {
	if r.rare == nil {
		return nil
	}
	for _, e := range r.rare.tries {
		if e.Number == number {
			return e
		}
	}
	return nil
}

// retrying reports whether the entity waits for a handler that is tried again.
func (r *Row) retrying() bool {
	if r.rare == nil {
		return false
	}
	for _, e := range r.rare.tries {
		if e.try != tryLook {
			return true
		}
	}
	return false
}

// timer returns the earliest timer of the entity; none runs if on is false.
func (r *Row) timer() (first timer) {
	if r.rare == nil {
		return timer{}
	}
	x := r.rare
	if x.hole.on {
		first = x.hole
	}
	if x.causal.on && !r.retrying() && (!first.on || x.causal.before(first)) { // what waits for a cause waits for a local retry too
		first = x.causal
	}
	for _, e := range x.tries {
		if t := (timer{true, true, e.Number, e.due, e.arm}); !first.on || t.before(first) {
			first = t
		}
	}
	return first
}

// quiet reports whether rare says nothing that still matters.
func (r *Row) quiet() bool {
	x := r.rare
	return len(x.holes)+len(x.ahead)+len(x.void)+len(x.tries)+len(x.waiting) == 0 &&
		x.winner == nil && x.arrival == 0 && !x.hole.set && !x.causal.set &&
		(!x.asked.set || x.asked.number <= r.last) && (!x.rung.set || x.rung.number <= r.last) &&
		x.evacuate == "" && !x.redriving
}
