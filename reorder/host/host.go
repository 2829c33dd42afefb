package host

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/reorder/scenario"
	"github.com/streamrun/streamrun/topology"
)

// A Host is one task in memory. It implements scenario.Host.
type Host struct {
	contract policies.Contract
	order    topology.Order
	disk     disk
	world    world
	waiting  []scenario.Rebuild // rebuilds that wait for a local retry: another process keeps them

	// The process: a crash forgets it.
	machine *reorder.Machine
	slots   map[string]*topology.Entity
	dirty   map[string]*topology.Entity
	stopped map[int][]*delivery // records that are not consumed, per partition
	inHand  *delivery

	now           int64
	generation    int64
	savedRebuilds int // requests when the process wrote last
	out           results
}

// disk is what survives a crash. Each field is written whole, in one atomic write.
type disk struct {
	rows    map[string][]byte
	counts  []policies.Counts
	states  map[string]string
	pending []*effect // requested, without outcome, in the order of request
	done    map[string]bool
	applied map[string]bool // ids
}

// effect is one request of the ledger.
type effect struct {
	key string
	of  *delivery
}

// New makes a Host for a contract that is whole.
func New(c policies.Contract) (scenario.Host, error) {
	h := &Host{
		contract: whole(c), order: reorder.New(c), generation: 1,
		disk:  disk{rows: map[string][]byte{}, states: map[string]string{}, done: map[string]bool{}, applied: map[string]bool{}},
		world: newWorld(),
		out:   results{effects: map[string]int{}, diff: map[string][2]string{}, fencedCounts: map[int]policies.Counts{}},
	}
	return h, h.start()
}

// whole gives a contract of a scenario the defaults of what a scenario cannot say,
// and leaves every number as it is: zero is a number there.
func whole(c policies.Contract) policies.Contract {
	w := c.WithDefaults()
	w.MaxWait, w.MaxHeld, w.IDMemory, w.MaxDLQ = c.MaxWait, c.MaxHeld, c.IDMemory, c.MaxDLQ
	w.MaxJump, w.Retry, w.Slack, w.MaxFuture, w.MaxDepth = c.MaxJump, c.Retry, c.Slack, c.MaxFuture, c.MaxDepth
	return w
}

// Entity implements topology.OrderHost.
func (h *Host) Entity(id string) *topology.Entity {
	s := h.slots[id]
	if s == nil {
		s = &topology.Entity{ID: id, Stored: h.disk.rows[string(h.order.AppendEntityKey(nil, id))]}
		h.slots[id] = s
	}
	return s
}

// Dirty implements topology.OrderHost.
func (h *Host) Dirty(e *topology.Entity) { h.dirty[e.ID] = e }

// Payload implements topology.OrderHost.
func (h *Host) Payload(*topology.OrderEvent) []byte { return []byte(h.inHand.event.Data) }

// start starts the process: the machine is restored from the disk, what is possible
// is drained, and every pending effect is sent again.
func (h *Host) start() error {
	h.machine = reorder.NewMachine(h.contract, h, scenario.Partitions)
	h.slots, h.dirty, h.stopped = map[string]*topology.Entity{}, map[string]*topology.Entity{}, map[int][]*delivery{}
	h.inHand = nil
	for _, key := range sorted(h.disk.rows) {
		if _, ok := h.order.EntityOf([]byte(key)); ok {
			continue
		}
		if err := h.machine.Restore([]byte(key), h.disk.rows[key]); err != nil {
			return err
		}
	}
	if err := h.machine.Restored(h.disk.counts); err != nil {
		return err
	}
	for len(h.disk.pending) > 0 {
		h.send(h.disk.pending[0])
	}
	h.machine.Tick(h.now)
	return h.drive()
}

// crash ends the process and starts the next one.
func (h *Host) crash() error {
	h.out.rebuilds = h.out.rebuilds[:h.savedRebuilds]
	h.world.forget(h.contract.Buffer != policies.BufferVolatile)
	return h.start()
}

// commit is one atomic write of everything that changed.
func (h *Host) commit() {
	for _, id := range sorted(h.dirty) {
		key := string(h.order.AppendEntityKey(nil, id))
		if row := h.machine.AppendRow(nil, h.dirty[id]); len(row) > 0 {
			h.disk.rows[key] = row
		}
	}
	clear(h.dirty)
	h.machine.Changes(func(key, value []byte) {
		if value == nil {
			delete(h.disk.rows, string(key))
		} else {
			h.disk.rows[string(key)] = value
		}
	})
	h.disk.counts = h.machine.Counts()
	h.world.save()
	h.savedRebuilds = len(h.out.rebuilds)
}

// Do implements scenario.Host.
func (h *Host) Do(s scenario.Step) error {
	for {
		due, ok := h.machine.NextDue()
		if !ok || due > s.At {
			break
		}
		h.now = max(h.now, due)
		h.machine.TickOnce() // a partition that stopped resumes after every timer
		if err := h.settle(); err != nil {
			return err
		}
	}
	h.now = s.At
	if err := h.perform(s); err != nil {
		return err
	}
	return h.settle()
}

func (h *Host) perform(s scenario.Step) error {
	switch s.Kind {
	case scenario.Deliver:
		return h.deliver(s.Event)
	case scenario.Tick:
		return nil
	case scenario.Crash:
		return h.crash()
	case scenario.Assign:
		h.generation = s.Generation
		return h.crash()
	case scenario.Redrive:
		err := h.machine.Command(topology.OrderCommand{Kind: "redrive", Entity: s.Entity}, s.At)
		if errors.Is(err, reorder.ErrUnknownEntity) {
			return nil // nothing to re-drive
		}
		h.commit() // the order is known before anything follows from it
		return err
	case scenario.Fix:
		h.world.fixed[s.ID] = true
		return nil
	case scenario.RebuildEntity:
		h.waiting = append(h.waiting, s.Rebuild)
		return nil
	case scenario.Flush:
		err := h.machine.Command(topology.OrderCommand{Kind: "flush"}, s.At)
		h.commit() // the end of the input is known before anything follows from it
		return err
	}
	return fmt.Errorf("host: step kind %d is unknown", s.Kind)
}

// settle does what an input has made possible: decisions, rebuilds that waited, and
// partitions that stopped.
func (h *Host) settle() error {
	if err := h.drive(); err != nil {
		return err
	}
	if err := h.rebuildWaiting(); err != nil {
		return err
	}
	for {
		moved, err := h.resume()
		if !moved || err != nil {
			return err
		}
	}
}

// resume offers what stopped partitions hold again, in ascending order. It reports
// whether anything was consumed, which may let another partition go on.
func (h *Host) resume() (moved bool, err error) {
	for _, p := range sorted(h.stopped) {
		for len(h.stopped[p]) > 0 {
			d := h.stopped[p][0]
			if err := h.offer(d); err != nil {
				return false, err
			}
			if d.is == policies.Paused || len(h.stopped[p]) == 0 {
				break // it still does not fit, or the process died
			}
			h.stopped[p], moved = h.stopped[p][1:], true
		}
		if len(h.stopped[p]) == 0 {
			delete(h.stopped, p)
		}
	}
	return moved, nil
}

// deliver brings a record to the process.
func (h *Host) deliver(ev scenario.Event) error {
	if ev.Partition < 0 || ev.Partition >= scenario.Partitions {
		return fmt.Errorf("host: partition %d: there are %d", ev.Partition, scenario.Partitions)
	}
	d := h.world.deliver(ev)
	if ev.HasGeneration && ev.Generation < h.generation { // R1
		d.is = policies.Fenced
		d.saved.is = policies.Fenced
		h.out.note(d.entry(""), 1, policies.Fenced, "", "an older owner handled it: nothing of it is written")
		c := h.out.fencedCounts[ev.Partition]
		c.Delivered, c.Fenced = c.Delivered+1, c.Fenced+1
		h.out.fencedCounts[ev.Partition] = c
		return nil
	}
	if len(h.stopped[ev.Partition]) > 0 {
		d.is = policies.Paused
		h.stop(d)
		return nil
	}
	if err := h.offer(d); err != nil {
		return err
	}
	if d.is == policies.Paused {
		h.stop(d)
	}
	return nil
}

// stop keeps a record until its partition goes on, in ascending order.
func (h *Host) stop(d *delivery) {
	p := d.event.Partition
	h.stopped[p] = append(h.stopped[p], d)
	slices.SortStableFunc(h.stopped[p], func(a, b *delivery) int { return cmp.Compare(a.event.Offset, b.event.Offset) })
}

// offer gives a record to the machine until it is decided.
func (h *Host) offer(d *delivery) error {
	h.inHand = d
	ev := d.orderEvent()
	var slot *topology.Entity
	if ev.Entity != "" {
		slot = h.Entity(ev.Entity)
	}
	h.machine.Record(slot, &ev, h.now)
	return h.drive()
}

// drive hands the decisions out until there is none.
func (h *Host) drive() error {
	booked, skipped := false, false
	for next := h.machine.Next(true); next != nil; next = h.machine.Next(true) {
		d := *next
		if d.Kind == topology.DecideApply || d.Kind == topology.DecideCompensate {
			if x := h.world.of(d.Event); skipped || booked && (x != h.inHand || x.is == policies.Held) { // what follows is written after it
				h.commit()
			}
			booked, skipped = false, false
			if died, err := h.apply(d); died || err != nil {
				return err
			}
			continue
		}
		h.book(d)
		booked, skipped = true, skipped || d.Kind == topology.DecideSkip
	}
	h.commit()
	return nil
}

func sorted[K int | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}
