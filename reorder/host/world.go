package host

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
	"github.com/streamrun/streamrun/topology"
)

// lost marks a delivery that a crash forgot: it will be delivered again.
const lost policies.Disposition = "lost"

// world is what is outside of the process: records, handlers and receivers.
type world struct {
	deliveries []*delivery
	next       map[int]int64 // next unused offset per partition
	fixed      map[string]bool
}

// delivery is one delivered record and what has become of it.
type delivery struct {
	number int64 // from 1; the record's timestamp says which one it is
	event  scenario.Event
	is     policies.Disposition
	reason policies.Reason
	held   bool // a durable buffer keeps it until it is decided
	saved  saved

	crashed       bool // its crash point was passed
	fails         int  // retryable failures that are left
	lostAck, down int
}

// saved is what a delivery was when the process wrote last.
type saved struct {
	is     policies.Disposition
	reason policies.Reason
	held   bool
}

func newWorld() world {
	return world{next: map[int]int64{}, fixed: map[string]bool{}}
}

func (w *world) deliver(ev scenario.Event) *delivery {
	if !ev.HasOffset {
		ev.Offset = w.next[ev.Partition]
	}
	w.next[ev.Partition] = max(w.next[ev.Partition], ev.Offset+1)
	d := &delivery{
		number: int64(len(w.deliveries)) + 1, event: ev, is: lost, saved: saved{is: lost},
		fails: ev.Fail, lostAck: ev.Sink.LostAck, down: ev.Sink.Down,
	}
	w.deliveries = append(w.deliveries, d)
	return d
}

func (w *world) of(ev *topology.OrderEvent) *delivery { return w.deliveries[ev.Timestamp-1] }

// handle runs the handler on an event.
func (w *world) handle(d *delivery) topology.ApplyOutcome {
	switch {
	case d.event.Poison && !w.fixed[d.event.ID]:
		return topology.OutcomePoison
	case d.fails > 0:
		d.fails--
		return topology.OutcomeRetryable
	}
	return topology.OutcomeDone
}

// receive sends an effect to its receiver once. It reports the acknowledgement.
func (w *world) receive(d *delivery) bool {
	switch {
	case d.down > 0:
		d.down--
		return false
	case d.lostAck > 0:
		d.lostAck--
		return false
	}
	return true
}

// save remembers what the process has written.
func (w *world) save() {
	for _, d := range w.deliveries {
		d.saved = saved{d.is, d.reason, d.held}
	}
}

// forget loses what a process kept in memory alone.
func (w *world) forget(durable bool) {
	for _, d := range w.deliveries {
		d.is, d.reason, d.held = d.saved.is, d.saved.reason, d.saved.held
		switch d.is {
		case policies.Held, policies.Retrying:
			d.is = lost
			if durable && d.held {
				d.is = policies.Held
			}
		case policies.Paused:
			d.is = lost
		default:
		}
	}
}

// orderEvent is the record as the machine sees it.
func (d *delivery) orderEvent() topology.OrderEvent {
	e := d.event
	return topology.OrderEvent{
		Metadata: metadata(e), Source: e.Partition, Offset: e.Offset, Timestamp: d.number,
	}
}

func metadata(e scenario.Event) policies.Metadata {
	return policies.Metadata{
		Entity: e.Entity, HasSequence: e.HasSequence, Sequence: e.Sequence, Version: e.Version,
		Epoch: e.Epoch, EventTime: e.EventTime, ID: e.ID, Causation: e.After, Class: e.Class,
	}
}

func (d *delivery) entry(note string) scenario.Entry {
	return scenario.Entry{Entity: d.event.Entity, ID: d.event.ID, Note: note}
}
