package host

import (
	"errors"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// rebuildWaiting performs the rebuilds whose entity is not in local retry.
func (h *Host) rebuildWaiting() error {
	waiting := h.waiting
	h.waiting = nil
	for _, r := range waiting {
		err := h.rebuild(r)
		var lost *reorder.LostEventError
		switch {
		case errors.Is(err, reorder.ErrRetrying):
			h.waiting = append(h.waiting, r)
		case errors.As(err, &lost): // refused: nothing was touched
		case err != nil:
			return err
		}
	}
	return nil
}

// rebuild folds the log of an entity, compares the result with the live state, swaps
// it in and drains (R15).
func (h *Host) rebuild(r scenario.Rebuild) error {
	slot := h.Entity(r.Entity)
	log := reorder.Log{Entity: r.Entity, Refuses: func(i int) bool { return r.Log[i].Poison && !h.world.fixed[r.Log[i].ID] }}
	for _, ev := range r.Log {
		log.Events = append(log.Events, metadata(ev))
	}
	plan, err := h.machine.PlanRebuild(slot, log)
	if err != nil {
		return err
	}
	before := h.disk.states[r.Entity]
	delete(h.disk.states, r.Entity)
	var send []*effect
	for _, e := range plan.Apply {
		ev := r.Log[e.Index]
		h.change(r.Entity, ev.Data)
		h.disk.applied[ev.ID] = true
		if h.contract.ClassOf(ev.Class).Effects == policies.EffectsNever {
			continue
		}
		key := h.key(r.Entity, e.Epoch, e.Number, ev.ID)
		if e.Known || h.disk.done[key] {
			h.out.suppressed = append(h.out.suppressed, scenario.Entry{Entity: r.Entity, ID: key})
			continue
		}
		send = append(send, &effect{key, &delivery{event: ev, lostAck: ev.Sink.LostAck, down: ev.Sink.Down}})
	}
	h.disk.pending = append(h.disk.pending, send...)
	if after := h.disk.states[r.Entity]; after != before {
		h.out.diff[r.Entity] = [2]string{before, after}
	}
	h.machine.Swap(slot, plan, h.now)
	h.commit()
	for _, e := range send {
		h.send(e)
	}
	return h.drive()
}
