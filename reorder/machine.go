package reorder

import (
	"errors"
	"fmt"
	"math"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// stepBudget is how many decisions a Step may make before the machine looks whether
// its task has something else to do.
const stepBudget = 64

// A Machine is the sequencer over all entities of one task: it finds the row of
// each input, keeps timers, causes and watermarks across entities, and hands the
// decisions out one by one. It implements topology.OrderMachine.
type Machine struct {
	host    topology.OrderHost
	seq     *Sequencer
	durable bool

	out    []topology.Decision // of the last Step
	at     int                 // the next of out
	cur    *entity             // of the last Step
	slot   *topology.Entity    // of cur; nil: cur is nobody
	flying bool                // an apply was handed out, its outcome is awaited

	hand     hand
	queue    []*entity // entities with more to do, first come first
	commands []command // re-drives that what was left before has to end for
	timers   timers
	gaps     int   // entities whose hole timer runs
	ticked   timer // timers up to this one fire
	marks    []watermark
	causes   *causes  // nil unless the contract is causal
	touched  []*Event // kept events that changed since the last Changes
	moved    []*Event // in the present step

	spare      *aside    // for the next entity that needs one
	looked     int64     // by Touch
	savedMarks []byte    // the row of watermarks as it is stored
	restored   []*entity // those that Restore found kept events of

	nobody entity // of events that name no entity
}

// atRestart stands for the time of the first tick.
const atRestart = math.MinInt64

// ErrUnknownEntity says that a command names an entity of which nothing is known.
var ErrUnknownEntity = errors.New("nothing is known of it")

// command is a re-drive that has not begun.
type command struct {
	slot *topology.Entity
	now  int64
}

// hand is the record offered last, until it is decided.
type hand struct {
	full   bool
	owner  *entity
	slot   *topology.Entity // the owner's; nil: nobody's
	ev     *topology.OrderEvent
	now    int64
	paused bool
	refuse policies.Reason // not "": it has no metadata
}

// entity is what a machine keeps of one entity. One in order has its row alone, and
// that in one line of the cache: of a hundred thousand entities in order each event
// meets cold memory.
type entity struct {
	*aside // nil while the entity is in order
	row    Row
}

// aside is what a machine keeps of an entity that is out of order.
type aside struct {
	slot     *topology.Entity // of the entity that has the part
	held     Memory
	blocked  []*Event // event time: released, but the entity could not take them
	due      timer    // as it stands in the heap
	since    int64    // time of the step that left more to do
	cause    uint64   // the cause that the entity is registered for, 0 for none
	index    int      // in the heap, -1 outside
	queued   bool
	restored bool // it is listed among those of the machine
	gap      bool // its hole timer runs
}

// NewMachine makes the machine of one task for a contract that is taken as it is,
// without further defaults.
func NewMachine(c policies.Contract, host topology.OrderHost, sources int) *Machine {
	m := &Machine{
		host: host, durable: c.Buffer != policies.BufferVolatile, ticked: timer{due: atRestart},
		marks: newWatermarks(sources),
	}
	if c.Causal {
		m.causes = newCauses()
	}
	m.seq = NewSequencer(c, sources, (*outside)(m))
	m.putAside(&m.nobody, nil)
	return m
}

// outside is what the sequencer asks the machine.
type outside Machine

// Payload implements Outside.
func (o *outside) Payload(ev *topology.OrderEvent) []byte { return o.host.Payload(ev) }

// CauseApplied implements Outside.
func (o *outside) CauseApplied(id string) bool { return o.causes.applied.has(hashID(id)) }

// CauseOf implements Outside.
func (o *outside) CauseOf(id string) (cause string, held bool) {
	e := o.causes.held[hashID(id)]
	if e == nil || e.state != stateHeld { // the index hears at the end of a step what left it
		return "", false
	}
	return e.Causation, true
}

// Applied implements Outside.
func (o *outside) Applied(ev *topology.OrderEvent) {
	hash := o.causes.hashOf(&ev.Metadata)
	o.causes.apply(hash)
	for _, en := range o.causes.takeWaiters(hash) {
		en.cause = 0
		(*Machine)(o).enqueue(en, o.seq.now)
	}
}

// Watermark implements Outside.
func (o *outside) Watermark(source int) (int64, bool) {
	w := &o.marks[source]
	return w.mark, w.set
}

// Accept implements Outside.
func (o *outside) Accept(source int, mark int64) { o.marks[source].accept(mark) }

// entityOf returns the machine's part of a slot, decoding the stored row.
func (m *Machine) entityOf(slot *topology.Entity) *entity {
	if en, ok := slot.Row.(*entity); ok {
		return en
	}
	en := &entity{}
	if slot.Stored != nil {
		// The store answers for its bytes: it checks sums, and CheckRow at restore.
		if err := en.row.decode(slot.Stored); err != nil {
			panic(fmt.Sprintf("reorder: row of entity %q: %v", slot.ID, err))
		}
		m.seq.arms = max(m.seq.arms, en.row.maxArm())
	}
	slot.Row = en
	return en
}

// putAside gives the entity the part that one out of order has.
func (m *Machine) putAside(en *entity, slot *topology.Entity) {
	if en.aside != nil {
		return
	}
	if en.aside, m.spare = m.spare, nil; en.aside == nil {
		en.aside = &aside{index: -1, held: Memory{byTime: m.seq.byTime, byTuple: m.seq.byVersion, changed: m.touch}}
	}
	en.slot = slot
}

// takeAside takes the part back from an entity that does not need it.
func (m *Machine) takeAside(en *entity) {
	if en.row.rare == nil && en.unused() {
		en.aside, m.spare = nil, en.aside
	}
}

// unused reports whether nothing is in it, and no index of the machine names it.
func (a *aside) unused() bool {
	return a.index < 0 && !a.queued && !a.restored && a.cause == 0 && len(a.blocked)+a.held.Len()+a.held.Letters() == 0
}

// touch is told of every kept event that changed.
func (m *Machine) touch(e *Event) {
	if e.owner == nil {
		e.owner = m.cur
	}
	if !e.changed {
		e.changed = true
		m.touched = append(m.touched, e)
	}
	if m.causes != nil || m.seq.byTime {
		m.moved = append(m.moved, e)
	}
}

// Touch implements topology.OrderMachine.
func (m *Machine) Touch(slot *topology.Entity) {
	if en, ok := slot.Row.(*entity); ok {
		m.looked = en.row.last // kept, so that it is not left out
	}
}

// Record implements topology.OrderMachine.
func (m *Machine) Record(slot *topology.Entity, ev *topology.OrderEvent, now int64) {
	en := &m.nobody
	if slot != nil {
		en = m.entityOf(slot)
	}
	m.hand = hand{full: true, owner: en, slot: slot, ev: ev, now: now}
}

// Refuse implements topology.OrderMachine.
func (m *Machine) Refuse(ev *topology.OrderEvent, reason policies.Reason) {
	m.hand = hand{full: true, owner: &m.nobody, ev: ev, refuse: reason}
}

// Tick implements topology.OrderMachine.
func (m *Machine) Tick(now int64) {
	m.tick(timer{due: now, arm: math.MaxInt64})
}

// TickOnce is a Tick that fires the earliest timer alone, if one runs, whatever is due
// with it; for those who have to see what each brings about.
func (m *Machine) TickOnce() {
	if len(m.timers) > 0 {
		m.tick(m.timers[0].due)
	}
}

func (m *Machine) tick(to timer) {
	if m.ticked.before(to) {
		m.ticked = to
	}
}

// Command implements topology.OrderMachine. Commands are "redrive" of an entity and
// "flush", the end of all input of an event-time contract.
func (m *Machine) Command(c topology.OrderCommand, now int64) error {
	switch c.Kind {
	case "redrive":
		slot := m.host.Entity(c.Entity)
		en := m.entityOf(slot)
		m.putAside(en, slot)
		if !en.row.known && en.held.Letters() == 0 {
			return fmt.Errorf("reorder: re-driving entity %q: %w", c.Entity, ErrUnknownEntity)
		}
		m.commands = append(m.commands, command{slot, now})
		if !m.Owes() {
			m.begin()
		}
		return nil
	case "flush":
		for i := range m.marks {
			m.marks[i].accept(math.MaxInt64)
		}
		m.seq.now = now
		return nil
	}
	return fmt.Errorf("reorder: command %q is unknown; there are redrive and flush", c.Kind)
}

// Next implements topology.OrderMachine.
func (m *Machine) Next(backlog bool) *topology.Decision {
	for m.at == len(m.out) {
		if m.flying || !m.work(backlog) {
			m.hand.full = false // it has to wait, if it is not decided
			return nil
		}
	}
	d := &m.out[m.at]
	m.at++
	m.flying = d.Kind == topology.DecideApply || d.Kind == topology.DecideCompensate
	d.Entity = m.slot
	return d
}

// Outcome implements topology.OrderMachine.
func (m *Machine) Outcome(o topology.ApplyOutcome) {
	if !m.flying {
		panic("reorder: an outcome without an apply")
	}
	m.flying = false
	if o == topology.OutcomeDone && m.seq.doneNext() {
		m.out, m.at = m.out[:0], 0
		m.host.Dirty(m.slot)
		return
	}
	m.step(m.cur, m.slot, Input{Kind: InputOutcome, Outcome: o}, m.seq.now)
}

// work makes one Step, the most urgent one. It reports whether there was one.
//
// What an earlier step left comes before the record in hand if it is of the same
// entity; where entities act on each other, by causes or by the order of release,
// all of it comes first. So a budget changes when a decision is made, but none.
// Timers come before what was left of other entities, which may be much.
func (m *Machine) work(backlog bool) bool {
	if m.hand.full && (m.hand.owner == &m.nobody || !m.Together() && len(m.commands) == 0 && !m.owes(m.hand.owner)) {
		m.decideHand()
		return true
	}
	if !backlog && m.seq.deferred == nil {
		return m.hand.full && m.join()
	}
	if m.hand.full && !m.Together() && len(m.commands) == 0 {
		if en := m.hand.owner; en.queued {
			m.dequeue(en)
			m.goOn(en)
		} else {
			m.fire(en)
		}
		return true
	}
	due := len(m.timers) > 0 && !m.ticked.before(m.timers[0].due)
	switch {
	case due && !m.Together() && !m.timers[0].queued && m.seq.deferred == nil:
		m.fire(m.timers[0])
	case len(m.queue) > 0:
		en := m.queue[0]
		m.dequeue(en)
		m.goOn(en)
	case m.seq.byTime && m.release():
	case due:
		m.fire(m.timers[0])
	case len(m.commands) > 0:
		m.begin()
	case m.hand.full:
		m.decideHand()
	default:
		return false
	}
	return true
}

// join lets the record in hand wait behind what is left of its entity, if that is
// what would become of it in the end.
func (m *Machine) join() bool {
	h := &m.hand
	if en := h.owner; m.Together() || len(m.commands) > 0 || !en.queued || !m.seq.joins(&en.row, &en.held, h.ev) {
		return false
	}
	h.full = false
	m.step(h.owner, h.slot, Input{Kind: InputBehind, Event: h.ev}, h.now)
	return true
}

// Together implements topology.OrderMachine.
func (m *Machine) Together() bool { return m.causes != nil || m.seq.byTime }

// owes reports whether something of the entity is to be done before its next record.
func (m *Machine) owes(en *entity) bool {
	return en.aside != nil && (en.queued || en.index >= 0 && !m.ticked.before(en.due))
}

// Owes implements topology.OrderMachine.
func (m *Machine) Owes() bool {
	return m.flying || m.at < len(m.out) || len(m.queue) > 0 || len(m.timers) > 0 && !m.ticked.before(m.timers[0].due) || m.seq.byTime && m.ready() != nil
}

// begin begins the first re-drive; the row remembers it.
func (m *Machine) begin() {
	c := m.commands[0]
	m.commands = m.commands[1:]
	en := m.entityOf(c.slot)
	m.putAside(en, c.slot)
	beginRedrive(&en.row, &en.held)
	m.host.Dirty(c.slot)
	m.enqueue(en, c.now)
}

func (m *Machine) decideHand() {
	h := &m.hand
	h.full = false
	if h.refuse != "" {
		m.cur, m.slot = &m.nobody, nil
		m.out, m.at = m.seq.Refuse(h.ev, h.refuse), 0
		return
	}
	if m.seq.applyNext(&h.owner.row, h.ev, h.now) {
		m.cur, m.slot, m.out, m.at = h.owner, h.slot, m.seq.next[:], 0
		return
	}
	m.step(h.owner, h.slot, Input{Kind: InputRecord, Event: h.ev}, h.now)
}

// goOn continues with an entity that has more to do.
func (m *Machine) goOn(en *entity) {
	if en.since == atRestart {
		en.since = m.ticked.due
	}
	m.step(en, en.slot, Input{Kind: InputMore}, en.since)
}

// fire fires the earliest timer of the entity, at the time that it was due.
func (m *Machine) fire(en *entity) {
	m.step(en, en.slot, Input{Kind: InputTick}, en.due.due)
}

func (m *Machine) enqueue(en *entity, now int64) {
	if !en.queued {
		en.queued, en.since = true, now
		m.queue = append(m.queue, en)
	}
}

func (m *Machine) dequeue(en *entity) {
	for i, q := range m.queue {
		if q == en {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			break
		}
	}
	en.queued = false
}

// step lends the entity to the sequencer and sees to what the step changed.
func (m *Machine) step(en *entity, slot *topology.Entity, in Input, now int64) {
	m.cur, m.slot = en, slot
	m.putAside(en, slot)
	out, more := m.seq.Step(&en.row, &en.held, in, now, stepBudget)
	m.out, m.at, now = out, 0, m.seq.now
	if m.seq.paused {
		m.hand.paused = true
	}
	if more && in.Kind == InputOutcome && !m.seq.redriving() { // a re-drive lets what it caused go first
		m.dequeue(en)
		en.queued, en.since = true, now
		m.queue = append(m.queue, nil)
		copy(m.queue[1:], m.queue)
		m.queue[0] = en
	} else if more {
		m.enqueue(en, now)
	}
	if m.seq.changed && slot != nil {
		m.host.Dirty(slot)
	}
	m.reconcile(en)
}

// reconcile brings timers and indexes in line with the entity.
func (m *Machine) reconcile(en *entity) {
	if en.row.rare != nil || en.index >= 0 {
		m.retime(en)
	}
	for _, e := range m.moved {
		m.index(e)
	}
	m.moved = m.moved[:0]
	if m.causes != nil {
		m.await(en)
	}
	if m.seq.byTime && len(en.blocked) > 0 {
		m.unblock(en)
	}
	m.takeAside(en)
}

// Idle implements topology.OrderMachine. Whatever of an entity is in an index of the
// machine, or is not stored, makes it stay.
func (m *Machine) Idle(slot *topology.Entity) bool {
	en, ok := slot.Row.(*entity)
	if !ok {
		return true
	}
	if m.cur == en && (m.flying || m.at < len(m.out)) || m.hand.full && m.hand.owner == en || len(m.commands) > 0 {
		return false
	}
	if x := en.row.rare; x != nil && (!m.durable || len(x.tries)+len(x.waiting) > 0 || x.hole.set || x.causal.set || x.evacuate != "" || x.redriving) {
		return false
	}
	return en.aside == nil || en.unused()
}

// Pending implements topology.OrderMachine.
func (m *Machine) Pending(source int) (int64, bool) { return m.seq.ledger.lowest(source) }

// Paused implements topology.OrderMachine.
func (m *Machine) Paused() bool { return m.hand.paused }

// NextDue implements topology.OrderMachine.
func (m *Machine) NextDue() (int64, bool) {
	if len(m.timers) == 0 {
		return 0, false
	}
	return m.timers[0].due.due, true
}

// Counts implements topology.OrderMachine. The caller may keep them.
func (m *Machine) Counts() []policies.Counts {
	return append([]policies.Counts(nil), m.seq.ledger.counts...)
}

// Position implements topology.OrderMachine.
func (m *Machine) Position(slot *topology.Entity) (epoch, sequence, version int64) {
	r := &m.entityOf(slot).row
	return r.epoch, r.last, r.version
}

// RowOf returns the order row of a slot of the machine's task, for reading.
func (m *Machine) RowOf(slot *topology.Entity) *Row { return &m.entityOf(slot).row }
