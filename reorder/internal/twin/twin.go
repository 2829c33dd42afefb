package twin

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// A Twin is one task with its store, sink and operator, by the rule text. Use New.
// It is not safe for concurrent use.
type Twin struct {
	c     policies.Contract
	fault fault
	now   int64

	*world        // what the process knows and its disks hold
	saved  *world // at the last atomic write

	// What the process is not: the log, the handler's moods, the receiver.
	deliveries []*delivery
	offsets    map[int]int64   // next unused offset of each partition
	failures   map[int]int     // retryable failures left of each delivery
	fixed      map[string]bool // poison ids that would now succeed
	crashed    map[int]bool    // deliveries whose crash has happened
	attempts   map[string]int  // at the receiver, per effect key
	decisions  []scenario.Decision
}

var _ scenario.Host = (*Twin)(nil)

// New returns the twin of a whole contract, as package scenario makes them. Every
// contract is accepted. It is a scenario.NewHost.
func New(c policies.Contract) (scenario.Host, error) { return newFaulty(c, noFault), nil }

func newFaulty(c policies.Contract, f fault) *Twin {
	return &Twin{
		c: c, fault: f,
		world: &world{
			entities: map[string]*entity{}, done: map[string]bool{}, causes: map[string]bool{},
			marks: map[int]int64{}, queues: map[int][]int{}, diff: map[string][2]string{},
		},
		offsets: map[int]int64{}, failures: map[int]int{}, fixed: map[string]bool{},
		crashed: map[int]bool{}, attempts: map[string]int{},
	}
}

// Do performs one step; see scenario.Host.
func (t *Twin) Do(step scenario.Step) error {
	if step.At < t.now {
		return fmt.Errorf("twin: time goes back from %d to %d", t.now, step.At)
	}
	t.fireUntil(step.At)
	t.now = step.At
	switch step.Kind {
	case scenario.Deliver:
		n := t.arrive(step.Event)
		t.survive(func() { t.deliver(n) })
	case scenario.Tick:
	case scenario.Crash:
		t.survive(func() { panic(died{}) })
	case scenario.Assign:
		t.generation = step.Generation
		t.survive(func() { panic(died{}) }) // the new owner knows what a restarted process would
	case scenario.Redrive:
		t.redrives = append(t.redrives, step.Entity)
		t.survive(t.redriveAll)
	case scenario.Fix:
		t.fixed[step.ID] = true
	case scenario.RebuildEntity:
		t.survive(func() { t.startRebuild(step.Rebuild) })
	case scenario.Flush:
		t.flushed = true
		for p := range t.marks {
			t.marks[p] = math.MaxInt64
		}
		t.survive(t.release)
	default:
		return fmt.Errorf("twin: no step of kind %d", step.Kind)
	}
	t.resume()
	return nil
}

// arrive notes a delivered record and where it stands in its partition.
func (t *Twin) arrive(ev scenario.Event) int {
	n := len(t.deliveries)
	d := &delivery{Event: ev, n: n}
	if !d.HasOffset {
		d.Offset = t.offsets[d.Partition]
	}
	t.offsets[d.Partition] = max(t.offsets[d.Partition], d.Offset+1)
	if !d.HasGeneration {
		d.Generation = t.generation
	}
	t.deliveries = append(t.deliveries, d)
	t.failures[n] = d.Fail
	t.fates = append(t.fates, fate{})
	return n
}

// deliver asks R1, then whether the partition is stopped, then the rest.
func (t *Twin) deliver(n int) {
	d := t.deliveries[n]
	if d.Generation < t.generation && t.fault != fencingOff {
		t.end(n, policies.Fenced, 1, "", "generation %d is older than the owner's %d", d.Generation, t.generation)
		return
	}
	if len(t.queues[d.Partition]) > 0 {
		t.pause(n, stopped{policies.NoRule, "its partition is stopped"})
		return
	}
	t.decide(n)
}

// decide decides about a record in hand, and then about what that lets go on.
func (t *Twin) decide(n int) {
	if s, ok := t.unit(func() { t.rules(n) }); !ok {
		t.pause(n, s) // R12 may have given a hole up for it all the same
	}
	t.follow(t.deliveries[n].Entity)
}

func (t *Twin) pause(n int, s stopped) {
	q := append(t.queues[t.deliveries[n].Partition], n)
	slices.SortStableFunc(q, func(a, b int) int { return int(t.deliveries[a].Offset - t.deliveries[b].Offset) })
	t.queues[t.deliveries[n].Partition] = q
	t.end(n, policies.Paused, s.rule, "", "%s", s.why)
}

// resume offers what stopped partitions hold again, until nothing moves.
func (t *Twin) resume() {
	for moved := true; moved; {
		moved = false
		for _, p := range slices.Sorted(maps.Keys(t.queues)) {
			for len(t.queues[p]) > 0 {
				head := t.queues[p][0]
				t.queues[p] = t.queues[p][1:]
				t.fates[head] = fate{}
				t.survive(func() { t.decide(head) })
				if t.fates[head].disposition == policies.Paused {
					break
				}
				moved = true
			}
		}
	}
}

// fireUntil fires the timers due at or before at, in time order, then in the order
// they were armed.
func (t *Twin) fireUntil(at int64) {
	for {
		due, fire := t.earliest()
		if fire == nil || due > at {
			return
		}
		t.now = max(t.now, due)
		t.survive(fire)
		t.resume()
	}
}

// earliest returns the timer that is due first, or nil.
func (t *Twin) earliest() (due int64, fire func()) {
	armed := 0
	offer := func(d int64, a int, f func()) {
		if fire == nil || d < due || d == due && a < armed {
			due, armed, fire = d, a, f
		}
	}
	for name, e := range t.entities {
		for _, r := range e.retries {
			offer(r.due, r.armed, func() { t.fireRetry(name, r.n) })
		}
		for _, l := range e.looks {
			offer(l.due, l.armed, func() { t.fireLook(name, l.n) })
		}
		if e.timer.on && !e.timer.fired {
			offer(e.timer.due, e.timer.armed, func() { t.fireHole(name) })
		}
		for _, h := range e.held {
			// An entity in local retry waits, and its causes' timers with it.
			if h.cause != nil && !h.cause.fired && len(e.retries) == 0 {
				offer(h.cause.due, h.cause.armed, func() { t.fireCause(name, h.n) })
			}
		}
	}
	return due, fire
}

func (t *Twin) arm() int {
	t.armed++
	return t.armed
}

// again is when something that could not be done is tried again.
func (t *Twin) again() int64 { return t.now + max(1, t.c.Retry.Delay.Milliseconds()) }

// The two ways in which a decision ends early. Both unwind to where the last
// atomic write is known, like the process or the commit that they stand for.
type (
	died    struct{} // the process dies
	stopped struct { // the event is not consumed: nothing of the decision counts
		rule policies.Rule
		why  string
	}
)

// unit runs one decision, which is one atomic write. When the decision cannot be
// made now, the world is as it was at the last atomic write and ok is false.
func (t *Twin) unit(decide func()) (s stopped, ok bool) {
	t.save()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case stopped:
			t.world, s, ok = t.saved.clone(), v, false
		default:
			panic(v)
		}
	}()
	decide()
	t.save()
	return stopped{}, true
}

func (t *Twin) save() { t.saved = t.world.clone() }

// survive does something in which the process may die; it restarts at once, and
// may die again while it does.
func (t *Twin) survive(do func()) {
	for do != nil {
		do = t.live(do)
	}
}

func (t *Twin) live(do func()) (next func()) {
	t.save()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case died:
			t.world = t.saved.clone()
			t.forget()
			next = t.restart
		default:
			panic(v)
		}
	}()
	do()
	return nil
}

// forget loses what was only in memory.
func (t *Twin) forget() {
	durable := t.c.Buffer == policies.BufferDurable
	for _, e := range t.entities {
		if !durable {
			for _, h := range e.held {
				t.takeBack(t.deliveries[h.n]) // it may have waited for a local retry
			}
			e.held, e.timer, e.asked, e.rang = nil, holeTimer{}, nil, nil
		}
		for _, r := range e.retries {
			if t.fates[r.n].buffered {
				e.held = append(e.held, hold{n: r.n, undecided: true})
				t.fates[r.n] = fate{disposition: policies.Held, buffered: true}
			} else {
				t.takeBack(t.deliveries[r.n])
			}
		}
		for _, l := range e.looks {
			if t.fates[l.n].buffered {
				e.held = append(e.held, hold{n: l.n, undecided: true})
				t.fates[l.n] = fate{disposition: policies.Held, buffered: true}
			}
		}
		e.retries, e.looks = nil, nil
		if t.fault == idsVolatile {
			e.memory = nil
		}
	}
	t.queues = map[int][]int{}
	for n, f := range t.fates {
		switch {
		case f.disposition == policies.Paused, f.disposition == "":
			t.fates[n] = fate{disposition: unread}
		case f.disposition == policies.Retrying, f.disposition == policies.Held && !durable:
			t.fates[n] = fate{disposition: lost}
		}
	}
	if t.fault == outboxForgotten {
		t.outbox = nil
	}
}

// takeBack sets the watermark back so that an event which is delivered again is not late.
func (t *Twin) takeBack(d *delivery) {
	if d.EventTime <= t.watermark(d.Partition) {
		t.marks[d.Partition] = d.EventTime - 1
	}
}

// restart sends the effects whose outcome is not recorded, and lets happen what
// is possible now.
func (t *Twin) restart() {
	for len(t.outbox) > 0 {
		t.send(t.outbox[0])
		t.recordOutcome(t.outbox[0])
	}
	for _, name := range slices.Sorted(maps.Keys(t.entities)) {
		t.follow(name)
	}
	t.redriveAll()
}

// end records the present fate of a delivery, and the decision that led to it.
func (t *Twin) end(n int, d policies.Disposition, rule policies.Rule, reason policies.Reason, format string, args ...any) {
	if t.fates[n].disposition == d && d == policies.Paused {
		return
	}
	t.fates[n] = fate{disposition: d, reason: reason, buffered: t.fates[n].buffered}
	t.note(t.deliveries[n].Entity, t.deliveries[n].ID, rule, d, reason, format, args...)
}

func (t *Twin) note(entity, id string, rule policies.Rule, d policies.Disposition, reason policies.Reason, format string, args ...any) {
	t.decisions = append(t.decisions, scenario.Decision{
		Entity: entity, ID: id, Rule: rule, Disposition: d, Reason: reason, Explanation: fmt.Sprintf(format, args...),
	})
}
