package policies

import (
	"fmt"
	"time"
)

// contradictions reports policies that cannot all be kept.
func (v *validator) contradictions() {
	v.latestWins()
	v.waiting()
	v.rebuilds()
	v.causes()
	v.volatile()
	v.tightBounds()
	v.classes()
}

// latestWins: how often a version is applied depends on the order of arrival.
func (v *validator) latestWins() {
	if v.OrderBy != ByVersion {
		return
	}
	if v.Shape != Snapshot {
		v.fault(CodeShape, "shape", fmt.Sprintf("latest-wins (order_by: version) throws away what is superseded, and a %s that is thrown away is a change lost", v.Shape),
			"order by sequence, or say shape: snapshot if an event carries the whole state")
		v.against("order_by")
	}
	effects := false
	v.eachClass(func(_ string, cl Class) { effects = effects || cl.Effects != EffectsNever })
	if !effects {
		return
	}
	for _, effect := range v.facts.NonIdempotentEffects {
		v.fault(CodeLatestWins, "order_by", fmt.Sprintf("latest-wins feeds the effect %q, which is not idempotent: how often it fires would depend on the order of arrival", effect),
			"order by sequence, make the effect idempotent, or say effects: never")
	}
}

// waiting: what is waited for must be able to come.
func (v *validator) waiting() {
	if v.OnOverflow == OnOverflowPause {
		switch {
		case (v.holdsGaps() || v.Causal) && v.OnTimeout == OnTimeoutHold:
			v.fault(CodeDeadlock, "on_overflow", "pause stops the partition, and on_timeout: hold waits for an event that may lie behind the paused one: neither gives way",
				"say on_overflow: park or skip, or on_timeout: park, skip or rebuild")
			v.against("on_timeout")
		case v.OrderBy == ByEventTime && v.Slack > 0:
			v.fault(CodeDeadlock, "on_overflow", "pause stops the partition, and only its next events move the watermark that releases what is held: neither gives way",
				"say on_overflow: skip, which releases the earliest event, or park")
			v.against("slack")
		}
	}
	if v.Gap == GapRetry && v.OrderBy == BySequence && v.Retry.Max < 0 {
		v.fault(CodeNoRetries, "gap", "retry looks at a gap retry.max times, and retry.max says never", "say gap: reject, or how often in retry.max")
	}
}

// rebuilds: there must be something to rebuild from.
func (v *validator) rebuilds() {
	gap := v.OrderBy == BySequence && v.Gap == GapRebuild
	timeout := v.holdsGaps() && v.OnTimeout == OnTimeoutRebuild
	if why := v.facts.Unreplayable; why != "" {
		if gap {
			v.fault(CodeUnreplayable, "gap", "rebuild reads the source again, and "+why, "say buffer, or use a source that keeps every event")
		}
		if timeout {
			v.fault(CodeUnreplayable, "on_timeout", "rebuild reads the source again, and "+why, "say park, skip or hold, or use a source that keeps every event")
		}
		v.eachClass(func(name string, cl Class) {
			if cl.Late == LateRebuild && (name == "" || v.Class.Late != LateRebuild) && v.OrderBy != ByVersion {
				v.classFault(CodeUnreplayable, name, "late", "rebuild reads the source again, and "+why, "say reject, drop or compensate, or use a source that keeps every event")
			}
		})
	}
	if r := v.facts.Retention; r > 0 && v.holdsGaps() && v.MaxWait > r && (gap || timeout || v.Buffer == BufferVolatile) {
		v.fault(CodeForgotten, "max_wait", fmt.Sprintf("after %s the source has forgotten what would be read again: it keeps %s", duration(v.MaxWait), duration(r)),
			"wait less than the retention of the source, or keep it longer")
		v.against("buffer")
	}
}

// causes: an event can only wait for a cause that its own task sees.
func (v *validator) causes() {
	if !v.Causal {
		return
	}
	if v.OrderBy != BySequence {
		v.fault(CodeCausalOrder, "causal", fmt.Sprintf("an event waits for its cause when it is next, and order_by: %s has no next", v.OrderBy), "order by sequence, or leave causal out")
	}
	if why := v.facts.ScatteredCauses; why != "" {
		v.fault(CodeCausalKey, "causal", "a task sees only the causes of its own partition, and "+why, "key both by what they have in common, or leave causal out")
	}
	if v.OnTimeout == OnTimeoutRebuild {
		v.fault(CodeCausalRebuild, "on_timeout", "a rebuild of the entity brings no cause that is another entity's event", "say park, skip or hold")
	}
}

// volatile: a buffer in memory holds offsets back, and a restart delivers again.
func (v *validator) volatile() {
	budget := v.facts.RebalanceBudget
	if budget == 0 {
		budget = DefaultRebalanceBudget
	}
	if n := v.Retry.Max; v.OrderBy == BySequence && v.Gap == GapRetry && n > 0 && v.Retry.Delay > budget/time.Duration(n) {
		v.fault(CodeVolatileWait, "gap", fmt.Sprintf("retry looks %d times, %s apart, which no restart remembers, and a rebalance is due after %s", n, duration(v.Retry.Delay), duration(budget)),
			"look less often or faster, or say gap: buffer")
	}
	if v.Buffer != BufferVolatile {
		return
	}
	if !v.facts.AtLeastOnce && (v.OrderBy != BySequence || !v.facts.SequencedPaths) {
		v.fault(CodeVolatile, "buffer", "exactly once commits the offsets of held events, and a volatile buffer forgets the events",
			"say buffer: durable, or guarantee: at_least_once, or lead every path from the source through a sequence contract")
	}
	switch {
	case v.OrderBy == ByEventTime:
		v.fault(CodeVolatileWait, "buffer", "the last events of a source wait until later ones move the watermark, and all that time a volatile buffer holds their offsets back", "say buffer: durable")
	case !v.holdsGaps() && !v.Causal:
	case v.OnTimeout == OnTimeoutHold || v.OnTimeout == OnTimeoutRebuild:
		v.fault(CodeVolatileWait, "buffer", fmt.Sprintf("on_timeout: %s waits without end, and all that time a volatile buffer holds offsets back", v.OnTimeout), "say buffer: durable, or on_timeout: park or skip")
	case v.MaxWait > budget:
		v.fault(CodeVolatileWait, "max_wait", fmt.Sprintf("a volatile buffer holds offsets back for up to %s, and a rebalance is due after %s", duration(v.MaxWait), duration(budget)),
			"say buffer: durable, or wait no longer than a rebalance")
		v.against("buffer")
	}
}

// tightBounds: bounds that leave no room for what the policies promise.
func (v *validator) tightBounds() {
	if v.OrderBy == BySequence && v.MaxJump == 1 && v.Gap != GapReject {
		v.fault(CodeNarrowJump, "max_jump", fmt.Sprintf("with 1 every event beyond the next number is refused as a jump, and gap: %s is never asked", v.Gap), "say at least 2, or gap: reject")
	}
	if v.parks() && v.MaxDLQ <= v.MaxHeld {
		v.fault(CodeNarrowDLQ, "max_dlq", fmt.Sprintf("an entity that is parked makes a letter of each of up to %d held events and of the one that parked it, and only %d fit", v.MaxHeld, v.MaxDLQ),
			fmt.Sprintf("say at least %d, or a smaller max_held", v.MaxHeld+1))
		v.against("max_held")
	}
}

// parks reports whether held events can become letters all at once.
func (c *Contract) parks() bool {
	parks := c.OnOverflow == OnOverflowPark || c.Reset == ResetEpoch ||
		((c.holdsGaps() || c.Causal) && c.OnTimeout == OnTimeoutPark)
	c.eachClass(func(_ string, cl Class) {
		parks = parks || cl.Poison == PoisonPark || (cl.Conflict == ConflictPark && c.OrderBy == BySequence)
	})
	return parks
}

// classes: what one class says must fit the order, and the classes together must order something.
func (v *validator) classes() {
	waits := false
	v.eachClass(func(name string, cl Class) {
		waits = waits || cl.Early == EarlyWait
		inherits := func(same bool) bool { return name != "" && same }
		if cl.Early == EarlyApply && v.OrderBy != BySequence && !inherits(v.Class.Early == EarlyApply) {
			v.classFault(CodeUnused, name, "early", fmt.Sprintf("only a sequence tells that an event is early, and this is order_by: %s", v.OrderBy), "leave it out, or order by sequence")
		}
		if cl.Late == LateCompensate && !v.facts.Compensation && v.OrderBy != ByVersion && !inherits(v.Class.Late == LateCompensate) {
			v.classFault(CodeNoCompensation, name, "late", "there is no compensation function to hand a late event to", "give the order one, or say reject, drop or rebuild")
		}
		applied := v.OrderBy != ByVersion && cl.Late != LateReject && cl.Late != LateDrop
		if cl.Effects == EffectsAlways && !applied && !inherits(v.Class.Effects == EffectsAlways && v.Class.Late == cl.Late) {
			why := "late: " + string(cl.Late)
			if v.OrderBy == ByVersion {
				why = "latest-wins"
			}
			v.classFault(CodeEffects, name, "effects", "always is for late events too, and under "+why+" none of them is ever applied", "say in_order, or late: compensate or rebuild")
		}
	})
	if !waits && v.OrderBy == BySequence {
		v.fault(CodeNothingWaits, "early", "every class is applied early, so no event waits for another and nothing is in order", "say early: apply only in the classes that need not wait")
	}
}
