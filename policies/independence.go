package policies

import (
	"fmt"
	"strings"
)

// OrderIndependent reports whether the final state of an entity is the same in
// whatever order, and at whatever times, its events arrive; and why.
//
// The events are those of one correct producer of this contract: an id has one
// number and one content, a number has one id, numbers are no further apart than
// MaxJump, epochs change only under ResetEpoch. Each arrives at least once.
// What a handler does, and whether it fails, depends on state and event alone, and
// under latest-wins on the event alone, since a snapshot is whole. The state is
// final when everything was consumed (a paused record was not), every timer has
// fired, every rebuild that was asked for is done, and before an operator
// intervenes. A contract that is dependent has a counterexample among such
// events for every reason that is given.
func (c Contract) OrderIndependent() (bool, string) {
	c = c.WithDefaults()
	var because []string
	depends := func(when bool, why string) {
		if when {
			because = append(because, why)
		}
	}
	depends(c.Reset == ResetEpoch, "an event of an older producer epoch is refused once a newer one was seen (reset: epoch)")
	switch c.OrderBy {
	case ByEventTime:
		depends(true, "an event that the watermark has passed is late: it is not applied in its place")
	case ByVersion:
		depends(c.anyClass(func(cl Class) bool { return cl.Poison == PoisonPark }),
			"an event that fails for good parks the entity, so what came before it counts and what comes after does not (poison: park)")
		depends(c.OnOverflow == OnOverflowPark && c.Retry.Max > 0,
			fmt.Sprintf("more than %d events that come while one is tried again park the entity (on_overflow: park)", c.MaxHeld))
	default:
		c.sequenceDepends(depends)
	}
	switch {
	case len(because) > 0:
		return false, strings.Join(because, "; ")
	case c.OrderBy == ByVersion:
		return true, "the event with the greatest (version, event time, id) that does not fail wins, whenever it comes"
	default:
		return true, "every event waits for its predecessors, however long they take, so that each is applied in sequence or not at all"
	}
}

// sequenceDepends gives the reasons that a sequence contract has.
func (c *Contract) sequenceDepends(depends func(when bool, why string)) {
	depends(c.Start.FirstSeen(), "an entity starts at whichever number comes first (start: first_seen)")
	depends(c.anyClass(func(cl Class) bool { return cl.Early == EarlyApply }), "an early event may be applied ahead of its turn (early: apply)")
	waits := c.anyClass(func(cl Class) bool { return cl.Early == EarlyWait })
	switch {
	case !waits:
	case c.Gap == GapReject:
		depends(true, "an event that comes before its predecessor is refused (gap: reject)")
	case c.Gap == GapRetry:
		depends(true, "an event whose predecessor does not come while it is looked at is refused (gap: retry)")
	case c.Gap == GapApply:
		depends(true, "an event that comes before its predecessor is applied before it, and its predecessor is late (gap: apply)")
	default:
		depends(c.OnTimeout == OnTimeoutPark, "an event that comes more than "+duration(c.surelyWaits())+" after one that waits for it finds the entity parked (on_timeout: park); within that time the order makes no difference")
		depends(c.OnTimeout == OnTimeoutSkip, "an event that comes more than "+duration(c.surelyWaits())+" after one that waits for it is late (on_timeout: skip); within that time the order makes no difference")
		depends(c.OnOverflow == OnOverflowPark, fmt.Sprintf("an entity is parked when more than %d of its events would wait (on_overflow: park)", c.MaxHeld))
		depends(c.OnOverflow == OnOverflowSkip, fmt.Sprintf("missing events are given up when more than %d of an entity would wait (on_overflow: skip)", c.MaxHeld))
	}
	depends(c.Causal, fmt.Sprintf("an event is refused if more than %d causes wait for each other when it comes (causal)", c.MaxDepth))
}

// anyClass reports whether a class of the contract is so.
func (c *Contract) anyClass(is func(Class) bool) bool {
	found := false
	c.eachClass(func(_ string, cl Class) { found = found || is(cl) })
	return found
}
