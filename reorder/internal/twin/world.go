package twin

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// A world is everything that a process or its disks know. The twin copies it
// whole to be able to go back to its last atomic write.
type world struct {
	entities map[string]*entity
	fates    []fate // of each delivery
	applied  []int  // deliveries, in order of application
	resolved []scenario.Entry
	rebuilds []scenario.Entry
	outbox   []int           // applied deliveries whose effect has no recorded outcome
	done     map[string]bool // effect keys with a recorded outcome
	causes   map[string]bool // every id ever applied (R18)
	marks    map[int]int64   // watermark of each partition (R17)
	flushed  bool            // the watermark of a partition not in marks is infinite
	queues   map[int][]int   // volatile: deliveries that wait for a stopped partition, ascending
	redrives []string        // entities whose re-drive is not finished
	armed    int             // timers armed so far: breaks ties between timers due together

	generation int64
	suppressed []scenario.Entry
	diff       map[string][2]string
}

// A fate is what has become of a delivery so far. The zero value: not decided.
type fate struct {
	disposition policies.Disposition
	reason      policies.Reason
	unordered   bool // applied without its cause
	buffered    bool // retrying, while it stays in the buffer that it came from
}

// Dispositions of the twin that the contract has no word for.
const (
	lost          policies.Disposition = "lost"           // forgotten by a restart, to be delivered again
	unread        policies.Disposition = "unread"         // was paused or in hand when the process died
	resolvedAgain policies.Disposition = "resolved_again" // a further delivery of a letter that was resolved
)

// An entity is one entity: the numbers it has decided, and the events it has not.
type entity struct {
	name  string
	known bool // an event got past R0 and R1

	epoch, start, last int64
	holes              numbers          // given up; all at or below last but those in passed
	ahead              map[int64]string // applied above last: their ids
	void               map[int64]string // above last, with the id that made each void
	passed             map[int64]bool   // above last and given up: an event applied early that turned out poison
	memory             []memo           // decided ids, the first recorded first
	winner             *scenario.Event  // latest wins: the greatest applied
	content            []content        // what the state is made of, in order
	parked             bool
	letters            []letter
	held               []hold
	retries            []retry // in local retry; volatile
	looks              []look  // volatile
	timer              holeTimer
	asked              *int64             // first number of the hole that a rebuild was requested for; as durable as the buffer
	rang               *int64             // likewise of an alarm: it is no request
	rebuild            []scenario.Rebuild // waiting for the local retry to end
}

// A memo is a decided id.
type memo struct {
	id       string
	epoch    int64
	number   int64
	numbered bool
}

type content struct {
	id            string
	epoch, number int64
	data          string
}

type letter struct {
	n      int
	reason policies.Reason
	parks  bool // it is why the entity was parked
}

type hold struct {
	n         int
	undecided bool       // held only because the entity waited; decided again afterwards
	cause     *waitTimer // runs while it is next and its cause is not applied
}

type waitTimer struct {
	due   int64
	armed int
	fired bool
}

type retry struct {
	n      int
	how    manner
	failed int // retries that failed
	due    int64
	armed  int
}

type look struct {
	n     int
	taken int
	due   int64
	armed int
}

type holeTimer struct {
	on    bool
	next  int64 // the first number of the hole it runs for
	due   int64
	armed int
	fired bool
}

func (w *world) clone() *world {
	c := *w
	c.entities = make(map[string]*entity, len(w.entities))
	for name, e := range w.entities {
		c.entities[name] = e.clone()
	}
	c.fates = slices.Clone(w.fates)
	c.applied = slices.Clone(w.applied)
	c.resolved = slices.Clone(w.resolved)
	c.rebuilds = slices.Clone(w.rebuilds)
	c.redrives = slices.Clone(w.redrives)
	c.outbox = slices.Clone(w.outbox)
	c.done = maps.Clone(w.done)
	c.causes = maps.Clone(w.causes)
	c.marks = maps.Clone(w.marks)
	c.queues = make(map[int][]int, len(w.queues))
	for p, q := range w.queues {
		c.queues[p] = slices.Clone(q)
	}
	c.suppressed = slices.Clone(w.suppressed)
	c.diff = maps.Clone(w.diff)
	return &c
}

func (e *entity) clone() *entity {
	c := *e
	c.holes, c.passed = slices.Clone(e.holes), maps.Clone(e.passed)
	c.ahead, c.void = maps.Clone(e.ahead), maps.Clone(e.void)
	c.memory, c.content = slices.Clone(e.memory), slices.Clone(e.content)
	c.letters = slices.Clone(e.letters)
	c.held = slices.Clone(e.held)
	for i, h := range c.held {
		if h.cause != nil {
			timer := *h.cause
			c.held[i].cause = &timer
		}
	}
	c.retries, c.looks = slices.Clone(e.retries), slices.Clone(e.looks)
	c.rebuild = slices.Clone(e.rebuild)
	return &c
}

// next is the smallest number above last that is not decided (R9).
func (e *entity) next() int64 {
	n := e.last + 1
	for e.decided(n) {
		n++
	}
	return n
}

func (e *entity) decided(n int64) bool {
	_, ahead := e.ahead[n]
	_, void := e.void[n]
	return ahead || void || e.passed[n]
}

// undecided returns the numbers above last and before a number that are not decided.
func (e *entity) undecided(before int64) numbers {
	open := numbers{}.with(e.last+1, before-1)
	for n := range e.ahead {
		open = open.without(n, n)
	}
	for n := range e.void {
		open = open.without(n, n)
	}
	for n := range e.passed {
		open = open.without(n, n)
	}
	return open.joined()
}

// pass moves last to n, and on over the numbers behind it that were applied ahead
// or given up. Void numbers that it passes become holes; it does not go on over them.
func (e *entity) pass(n int64) {
	for v := range e.void {
		if v <= n {
			e.holes = e.holes.with(v, v)
			delete(e.void, v)
		}
	}
	e.last = max(e.last, n)
	for {
		_, ahead := e.ahead[e.last+1]
		if !ahead && !e.passed[e.last+1] {
			break
		}
		e.last++
	}
	maps.DeleteFunc(e.ahead, func(n int64, _ string) bool { return n <= e.last })
	maps.DeleteFunc(e.passed, func(n int64, _ bool) bool { return n <= e.last })
}

// state is the concatenation of the applied data, or the winner's.
func (e *entity) state() string {
	if e.winner != nil {
		return e.winner.Data
	}
	s := ""
	for _, c := range e.content {
		s += c.data
	}
	return s
}

func (e *entity) letterOf(id string, deliveries []*delivery) bool {
	return slices.ContainsFunc(e.letters, func(l letter) bool { return deliveries[l.n].ID == id })
}

// reset starts the numbers of an entity again (R2).
func (e *entity) reset(epoch, start int64) {
	e.epoch, e.start, e.last = epoch, start, start-1
	e.holes, e.passed = nil, map[int64]bool{}
	e.ahead, e.void = map[int64]string{}, map[int64]string{}
	e.timer, e.asked, e.rang = holeTimer{}, nil, nil
}

// A delivery is one record as it was delivered.
type delivery struct {
	scenario.Event
	n int // its place in the order of delivery
}

// byNumber sorts deliveries by number, equal ones by arrival.
func byNumber(a, b *delivery) int {
	return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.n, b.n))
}

// byTime is the order of release of event-time contracts (R17).
func byTime(a, b *delivery) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.ID, b.ID), cmp.Compare(a.n, b.n))
}

// newer reports whether a beats b under latest-wins (R14); anything beats nil.
func newer(a, b *scenario.Event) bool {
	if b == nil {
		return true
	}
	return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.ID, b.ID)) > 0
}

// minus subtracts without overflow.
func minus(a, b int64) int64 {
	if d := a - b; (d < a) == (b > 0) {
		return d
	}
	if b > 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}
