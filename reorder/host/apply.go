package host

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/reorder/scenario"
	"github.com/streamrun/streamrun/topology"
)

// apply runs the handler on an event. It reports whether the process died.
func (h *Host) apply(d topology.Decision) (died bool, err error) {
	x := h.world.of(d.Event)
	at := x.event.Crash
	late := d.Kind == topology.DecideCompensate
	if x.crashed || late {
		at = scenario.NoCrash
	}
	outcome := topology.OutcomeDone // a compensation is another function than the one that fails
	if !late {
		outcome = h.world.handle(x)
	}
	if at == scenario.BeforeState && outcome == topology.OutcomeDone {
		x.crashed = true
		return true, h.crash()
	}
	data := string(d.Event.Payload)
	if x == h.inHand && d.Event.Payload == nil {
		data = x.event.Data
	}
	h.book(d)
	h.machine.Outcome(outcome)
	if outcome != topology.OutcomeDone {
		return false, nil
	}
	var e *effect
	if late {
		x.is = policies.Compensated
		h.out.compensated = append(h.out.compensated, x.entry(""))
	} else {
		h.resolve(x)
		if d.Mode == topology.ApplyUnordered || d.Mode == topology.ApplyAhead && h.lacksCause(x) {
			h.out.unordered = append(h.out.unordered, x.entry(""))
		}
		x.is = policies.Applied
		h.disk.applied[x.event.ID] = true
		h.out.applied = append(h.out.applied, x.entry(""))
		h.change(x.event.Entity, data)
	}
	if wants := h.contract.ClassOf(x.event.Class).Effects; wants == policies.EffectsAlways || wants == policies.EffectsInOrder && !late {
		e = &effect{h.key(x.event.Entity, x.event.Epoch, x.event.Sequence, x.event.ID), x}
		h.disk.pending = append(h.disk.pending, e)
	}
	h.commit()
	if at == scenario.AfterState {
		x.crashed = true
		return true, h.crash()
	}
	if e == nil {
		return false, nil
	}
	if at == scenario.AfterEffect {
		x.crashed = true
		h.transmit(e)
		return true, h.crash()
	}
	h.send(e)
	return false, nil
}

// resolve takes the letters of an applied event out of the queue.
func (h *Host) resolve(x *delivery) {
	resolved := false
	for _, d := range h.world.deliveries {
		if d.is == policies.DeadLettered && d.event.Entity == x.event.Entity && d.event.ID == x.event.ID {
			if d.is = policies.Applied; !resolved {
				h.out.resolved = append(h.out.resolved, d.entry(""))
			}
			resolved = true
		}
	}
}

// lacksCause reports whether the event's cause was not applied.
func (h *Host) lacksCause(x *delivery) bool {
	return h.contract.Causal && x.event.After != "" && !h.disk.applied[x.event.After]
}

// change is the user's fold: a text that grows, or the newest one.
func (h *Host) change(entity, data string) {
	if h.contract.OrderBy == policies.ByVersion {
		h.disk.states[entity] = data
	} else {
		h.disk.states[entity] += data
	}
}

// key is the key of an effect (R15).
func (h *Host) key(entity string, epoch, sequence int64, id string) string {
	if h.contract.OrderBy == policies.BySequence {
		return reorder.DerivedID(entity, epoch, sequence)
	}
	return entity + "/" + id
}

// send transmits an effect and records the outcome.
func (h *Host) send(e *effect) {
	h.transmit(e)
	h.disk.done[e.key] = true
	h.disk.pending = slices.DeleteFunc(h.disk.pending, func(p *effect) bool { return p == e })
}

// transmit sends an effect until the receiver acknowledges it.
func (h *Host) transmit(e *effect) {
	for acknowledged := false; !acknowledged; {
		h.out.effects[e.key]++
		acknowledged = h.world.receive(e.of)
	}
}

// book notes what a decision made of an event.
func (h *Host) book(d topology.Decision) {
	var x *delivery
	if d.Event != nil {
		x = h.world.of(d.Event)
	}
	switch d.Kind {
	case topology.DecideApply, topology.DecideCompensate:
		disposition := policies.Applied
		if d.Kind == topology.DecideCompensate {
			disposition = policies.Compensated
		}
		h.note(d, x, disposition)
	case topology.DecideHold:
		x.is = policies.Held
		x.held = true
		h.note(d, x, policies.Held)
	case topology.DecideRetry:
		x.is = policies.Retrying
		h.note(d, x, policies.Retrying)
	case topology.DecideDrop:
		x.is, x.reason = policies.Dropped, d.Reason
		h.note(d, x, policies.Dropped)
	case topology.DecideDeadLetter:
		x.is, x.reason = policies.DeadLettered, d.Reason
		h.note(d, x, policies.DeadLettered)
	case topology.DecideAbsorb:
		x.is = policies.Absorbed
		h.note(d, x, policies.Absorbed)
	case topology.DecidePause:
		x.is = policies.Paused
		h.note(d, x, policies.Paused)
	case topology.DecideRequestRebuild:
		h.out.rebuilds = append(h.out.rebuilds, scenario.Entry{Entity: d.Entity.ID, ID: d.Entity.ID, Note: fmt.Sprintf("from %d", d.From)})
		h.noteEntity(d)
	case topology.DecideAlarm, topology.DecidePark, topology.DecideUnpark, topology.DecideSkip:
		h.noteEntity(d)
	case topology.DecideArm, topology.DecideFence, topology.DecideResolve:
	}
}

func (h *Host) note(d topology.Decision, x *delivery, is policies.Disposition) {
	h.out.note(x.entry(""), d.Rule, is, d.Reason, reorder.Explain(h.contract, d))
}

// noteEntity notes a decision about an entity, not about one of its events.
func (h *Host) noteEntity(d topology.Decision) {
	h.out.note(scenario.Entry{Entity: d.Entity.ID}, d.Rule, "", "", reorder.Explain(h.contract, d))
}
