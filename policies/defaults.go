package policies

import "time"

// Defaults of the bounds and waits that have one value for every shape.
const (
	DefaultMaxWait   = 30 * time.Second
	DefaultMinWait   = 10 * time.Millisecond
	DefaultMaxHeld   = 1000
	DefaultIDMemory  = 16
	DefaultMaxHoles  = 1000
	DefaultMaxDLQ    = 10_000
	DefaultMaxJump   = 1_000_000
	DefaultMaxFuture = time.Minute
	DefaultMaxDepth  = 20
	DefaultRetries   = 3
	DefaultDelay     = 100 * time.Millisecond
)

// WithDefaults returns the contract with every zero field replaced by the default
// of its shape and order. The result is a fixed point: applying it again changes
// nothing. The receiver's Classes map is not written to.
//
// Deltas and commands have one set of defaults: each of them matters, so nothing
// is given up silently. A snapshot replaces what came before it, so by default the
// newest wins, and one that is missing, late or poisonous stops nothing. Under
// event time an overflow releases the earliest held event: pausing the partition
// would stop the watermark that everything held waits for.
func (c Contract) WithDefaults() Contract {
	if c.OrderBy == ByVersion {
		def(&c.Shape, Snapshot) // latest wins makes sense of nothing else
	}
	def(&c.Shape, Delta)
	base := Class{
		Early: EarlyWait, Late: LateReject, Duplicate: DuplicateDrop,
		Conflict: ConflictReject, Poison: PoisonPark, Effects: EffectsInOrder,
	}
	if c.Shape == Snapshot {
		def(&c.OrderBy, ByVersion)
		def(&c.OnTimeout, OnTimeoutSkip)
		base.Late, base.Poison = LateDrop, PoisonSkip
	}
	def(&c.OrderBy, BySequence)
	if c.OrderBy == ByEventTime {
		def(&c.OnOverflow, OnOverflowSkip)
	}
	if !c.Start.set {
		c.Start = StartAt(1)
	}
	def(&c.Reset, ResetForbid)
	def(&c.Gap, GapBuffer)
	def(&c.OnTimeout, OnTimeoutPark)
	def(&c.OnOverflow, OnOverflowPause)
	def(&c.MaxWait, DefaultMaxWait)
	if c.AutoWait {
		def(&c.MinWait, min(DefaultMinWait, c.MaxWait))
	}
	def(&c.MaxHeld, DefaultMaxHeld)
	def(&c.IDMemory, DefaultIDMemory)
	def(&c.MaxHoles, DefaultMaxHoles)
	def(&c.MaxDLQ, DefaultMaxDLQ)
	def(&c.MaxJump, DefaultMaxJump)
	def(&c.MaxFuture, DefaultMaxFuture)
	def(&c.MaxDepth, DefaultMaxDepth)
	def(&c.Retry.Max, DefaultRetries)
	def(&c.Retry.Delay, DefaultDelay)
	def(&c.Buffer, BufferDurable)
	def(&c.OnVersionBackward, VersionCount)
	c.Class = c.Class.inherit(base)
	if c.Classes != nil {
		classes := make(map[string]Class, len(c.Classes))
		for name, cl := range c.Classes {
			classes[name] = cl.inherit(c.Class)
		}
		c.Classes = classes
	}
	return c
}

// ClassOf returns the policies of an event's class. The contract has its defaults.
func (c *Contract) ClassOf(name string) Class {
	if cl, ok := c.Classes[name]; ok {
		return cl
	}
	return c.Class
}

func (cl Class) inherit(base Class) Class {
	def(&cl.Early, base.Early)
	def(&cl.Late, base.Late)
	def(&cl.Duplicate, base.Duplicate)
	def(&cl.Conflict, base.Conflict)
	def(&cl.Poison, base.Poison)
	def(&cl.Effects, base.Effects)
	return cl
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
