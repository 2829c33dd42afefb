package policies

import (
	"fmt"
	"strings"
	"time"
)

// Sentence returns the contract's first half: what must be in order, and why.
func (c Contract) Sentence() string {
	return "events for " + c.EventsFor + " must be processed in order because " + c.Because
}

// String returns the whole contract, defaults included, as one plain sentence.
func (c Contract) String() string {
	c = c.WithDefaults()
	parts := []string{c.how()}
	parts = append(parts, c.waits()...)
	for _, p := range []string{
		c.lateText(c.Class), duplicateText(c.Class), c.conflictText(c.Class), poisonText(c.Class), c.backwardText(), effectsText(c.Class),
	} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	for _, name := range c.classNames() {
		if diff := c.classText(c.Classes[name]); diff != "" {
			parts = append(parts, "in class "+name+" "+diff)
		}
	}
	return "E" + c.Sentence()[1:] + ": " + strings.Join(parts, "; ") + "."
}

// how says what orders the events, and from where.
func (c *Contract) how() string {
	what := map[Shape]string{Snapshot: "snapshots", Delta: "deltas", Command: "commands"}[c.Shape]
	var s string
	switch {
	case c.OrderBy == ByVersion:
		s = "the greatest version wins among the " + what
	case c.OrderBy == ByEventTime:
		s = what + " are applied by event time, " + duration(c.Slack) + " behind the latest"
		if c.Slack == 0 {
			s = what + " are applied by event time, and none waits for an earlier one"
		}
		s += ", and one from more than " + duration(c.MaxFuture) + " ahead of the clock is dead-lettered"
	case c.Start.FirstSeen():
		s = what + " are applied by sequence number, from the first one seen"
	default:
		s = fmt.Sprintf("%s are applied by sequence number, from %d", what, c.Start.At())
	}
	if c.Reset == ResetEpoch {
		s += ", anew in each producer epoch"
	}
	return s
}

// waits says what becomes of events that come before their turn.
func (c *Contract) waits() []string {
	overflow := map[OnOverflow]string{
		OnOverflowPause: "the partition pauses",
		OnOverflowSkip:  "the missing ones are given up",
		OnOverflowPark:  "all of them are dead-lettered and the entity is parked",
	}[c.OnOverflow]
	if c.OrderBy == ByEventTime && c.OnOverflow == OnOverflowSkip {
		overflow = "the earliest is applied"
	}
	full := fmt.Sprintf("where more than %d of an entity would wait, ", c.MaxHeld) + overflow
	if c.Buffer == BufferVolatile {
		full += ", and what waits is kept in memory alone"
	}
	var parts []string
	switch {
	case c.OrderBy == ByVersion:
		return nil
	case c.OrderBy == ByEventTime:
		return []string{full}
	case c.Class.Early == EarlyApply:
		parts = append(parts, "an early event is applied at once, ahead of its turn")
	default:
		parts = append(parts, "an early event "+c.gapText())
	}
	if c.Causal {
		parts = append(parts, "an event waits up to "+duration(c.MaxWait)+" for the event that caused it, then "+map[OnTimeout]string{
			OnTimeoutPark:    "it is dead-lettered and its entity parked",
			OnTimeoutSkip:    "it is applied without",
			OnTimeoutRebuild: "a rebuild of its entity is asked for",
			OnTimeoutHold:    "there is an alarm and it goes on waiting",
		}[c.OnTimeout])
	}
	if c.holdsGaps() || c.Causal {
		parts = append(parts, full)
	}
	return parts
}

// gapText says what an event does that comes before its turn.
func (c *Contract) gapText() string {
	s := "waits up to " + duration(c.MaxWait) + " for the missing ones"
	if c.AutoWait {
		s = "waits for the missing ones as long as is worth it by how long they took so far, " + c.waitText() + ","
	}
	switch c.Gap {
	case GapReject:
		return "is dead-lettered"
	case GapRetry:
		return fmt.Sprintf("is looked at again up to %d times, %s apart, then dead-lettered", max(c.Retry.Max, 0), duration(c.Retry.Delay))
	case GapApply:
		return "is applied at once, and the numbers that it skipped are given up"
	case GapRebuild:
		if c.OnTimeout == OnTimeoutRebuild {
			return "waits for the missing ones while a rebuild of its entity is asked for"
		}
		s += " while a rebuild of its entity is asked for"
	case GapBuffer:
	}
	return s + map[OnTimeout]string{
		OnTimeoutPark:    ", then what waits is dead-lettered and the entity parked",
		OnTimeoutSkip:    ", which are then given up",
		OnTimeoutRebuild: ", then a rebuild of the entity is asked for and it goes on waiting",
		OnTimeoutHold:    ", then there is an alarm and it goes on waiting",
	}[c.OnTimeout]
}

func (c *Contract) lateText(cl Class) string {
	if c.OrderBy == ByVersion {
		return ""
	}
	return "a late one is " + map[Late]string{
		LateReject:     "dead-lettered",
		LateDrop:       "dropped and counted",
		LateRebuild:    "left to a rebuild of its entity, which is asked for",
		LateCompensate: "handed to the compensation function",
	}[cl.Late]
}

func duplicateText(cl Class) string {
	if cl.Duplicate == DuplicateReject {
		return "a duplicate is dead-lettered"
	}
	return "a duplicate is dropped and counted"
}

func (c *Contract) conflictText(cl Class) string {
	if c.OrderBy != BySequence {
		return ""
	}
	s := "a number that another event has is a conflict and dead-lettered"
	if cl.Conflict == ConflictPark {
		s += ", and parks the entity"
	}
	return s
}

func poisonText(cl Class) string {
	if cl.Poison == PoisonSkip {
		return "one that fails for good is dead-lettered and skipped"
	}
	return "one that fails for good is dead-lettered and parks its entity"
}

func (c *Contract) backwardText() string {
	if c.OrderBy == BySequence && c.OnVersionBackward == VersionReject {
		return "one whose version goes backwards is treated as one that fails for good"
	}
	return ""
}

func effectsText(cl Class) string {
	return map[Effects]string{
		EffectsAlways: "late ones request their effects too",
		EffectsNever:  "no effect is requested",
	}[cl.Effects]
}

// classText says in what a class differs from the contract's own.
func (c *Contract) classText(cl Class) string {
	var parts []string
	differ := func(differs bool, text string) {
		if differs && text != "" {
			parts = append(parts, text)
		}
	}
	if c.OrderBy == BySequence && cl.Early != c.Class.Early {
		text := "an early one " + c.gapText()
		if cl.Early == EarlyApply {
			text = "an early one is applied at once, ahead of its turn"
		}
		differ(true, text)
	}
	differ(cl.Late != c.Class.Late, c.lateText(cl))
	differ(cl.Duplicate != c.Class.Duplicate, duplicateText(cl))
	differ(cl.Conflict != c.Class.Conflict, c.conflictText(cl))
	differ(cl.Poison != c.Class.Poison, poisonText(cl))
	if cl.Effects != c.Class.Effects {
		text := effectsText(cl)
		if cl.Effects == EffectsInOrder {
			text = "effects are requested, but for late ones"
		}
		differ(true, text)
	}
	return strings.Join(parts, ", ")
}

// waitText is the wait of a hole: how long, or between which bounds.
func (c *Contract) waitText() string {
	if c.AutoWait {
		return duration(c.MinWait) + " to " + duration(c.MaxWait)
	}
	return duration(c.MaxWait)
}

// surelyWaits is how long a hole is waited for at least.
func (c *Contract) surelyWaits() time.Duration {
	if c.AutoWait {
		return c.MinWait
	}
	return c.MaxWait
}
