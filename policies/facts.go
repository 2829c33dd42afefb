package policies

import "time"

// DefaultRebalanceBudget is how long held-back offsets may stand still by default.
const DefaultRebalanceBudget = time.Minute

// Facts are what Validate has to know about the surroundings of a contract. The
// zero value is the ordinary surroundings: exactly once, sources that can be
// replayed, one key for causes and effects, nothing behind the order that a
// repetition would hurt, and no compensation function.
type Facts struct {
	// AtLeastOnce says that the guarantee is at_least_once.
	AtLeastOnce bool
	// SequencedPaths says that every path from the contract's sources runs through a
	// sequence contract, which is what lets exactly once live with a volatile buffer.
	SequencedPaths bool

	RebalanceBudget time.Duration // how long offsets may be held back; 0 means DefaultRebalanceBudget
	Retention       time.Duration // of the source that forgets first; 0 means none does

	// Unreplayable says why the sources cannot be replayed, as in "topic orders is
	// compacted"; empty means that they can.
	Unreplayable string
	// ScatteredCauses says why an event and its cause may be in different tasks, as
	// in "payments are keyed by account, orders by order"; empty means that they never are.
	ScatteredCauses string

	// Compensation says that there is a compensation function.
	Compensation bool
	// NonIdempotentEffects names the effects of the contract's events that hurt when
	// they are performed for a state that is not final, such as charging a card.
	NonIdempotentEffects []string
}
