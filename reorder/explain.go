package reorder

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// Explain says a decision in plain words: what happened, by which rule, why and with
// which numbers. The contract is the one that the decision was made under. It is
// made when somebody asks, never while deciding.
func Explain(c policies.Contract, d topology.Decision) string {
	text := explain(c, d)
	if d.Rule == policies.NoRule {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, d.Rule)
}

func explain(c policies.Contract, d topology.Decision) string {
	ev := "the event"
	var m policies.Metadata
	if d.Event != nil {
		m = d.Event.Metadata
		ev = name(c, &m)
	}
	entity := m.Entity
	if d.Entity != nil {
		entity = d.Entity.ID
	}
	switch d.Kind {
	case topology.DecideApply:
		return explainApply(c, d, ev)
	case topology.DecideHold:
		return explainHold(d, ev, m.Causation)
	case topology.DecideDrop:
		return fmt.Sprintf("%s is dropped: %s", ev, because(c, d, &m))
	case topology.DecideDeadLetter:
		return fmt.Sprintf("%s is dead-lettered as %s: %s", ev, d.Reason, because(c, d, &m))
	case topology.DecideCompensate:
		return fmt.Sprintf("%s came after its number was given up and is compensated, attempt %d", ev, d.Attempt)
	case topology.DecideRetry:
		if d.Rule == 10 {
			return fmt.Sprintf("%s is early; the gap is looked at again at %d", ev, d.Due)
		}
		return fmt.Sprintf("the handler failed on %s and runs again at %d, attempt %d of %d", ev, d.Due, d.Attempt, max(c.Retry.Max, 0)+1)
	case topology.DecidePause:
		if d.Rule == 19 {
			return fmt.Sprintf("%s is not consumed: entity %q has room for %d letters and no more", ev, entity, c.MaxDLQ)
		}
		return fmt.Sprintf("%s is not consumed: entity %q holds %d events and no more", ev, entity, c.MaxHeld)
	case topology.DecideAlarm:
		return fmt.Sprintf("entity %q has waited %s for number %d and goes on waiting", entity, holeWaitText(c), d.From)
	case topology.DecideRequestRebuild:
		return fmt.Sprintf("a rebuild of entity %q from number %d is requested", entity, d.From)
	case topology.DecideArm:
		return fmt.Sprintf("entity %q waits for number %d until %d", entity, d.From, d.Due)
	case topology.DecideFence:
		return fmt.Sprintf("%s belongs to an older owner of the partition and is fenced", ev)
	case topology.DecideResolve:
		return fmt.Sprintf("the letter of %s is resolved: it was applied", ev)
	case topology.DecideAbsorb:
		return fmt.Sprintf("%s came after its number was given up and is left to the rebuild", ev)
	case topology.DecidePark:
		return fmt.Sprintf("entity %q is parked as %s", entity, d.Reason)
	case topology.DecideUnpark:
		return fmt.Sprintf("entity %q is no longer parked: no letter keeps it", entity)
	case topology.DecideSkip:
		return fmt.Sprintf("entity %q gives up the numbers %d to %d", entity, d.From, d.To)
	}
	return fmt.Sprintf("decision %d about %s", d.Kind, ev)
}

// name says which event is meant.
func name(c policies.Contract, m *policies.Metadata) string {
	if m.Entity == "" {
		return "an event without entity"
	}
	id := ""
	if m.ID != "" {
		id = fmt.Sprintf(" (id %q)", m.ID)
	}
	switch {
	case c.OrderBy == policies.ByVersion:
		return fmt.Sprintf("version %d of entity %q%s", m.Version, m.Entity, id)
	case c.OrderBy == policies.ByEventTime:
		return fmt.Sprintf("the event of %q at event time %d%s", m.Entity, m.EventTime, id)
	case !m.HasSequence:
		return fmt.Sprintf("an event of entity %q without number%s", m.Entity, id)
	case m.Epoch != 0:
		return fmt.Sprintf("number %d of entity %q in epoch %d%s", m.Sequence, m.Entity, m.Epoch, id)
	}
	return fmt.Sprintf("number %d of entity %q%s", m.Sequence, m.Entity, id)
}

func explainApply(c policies.Contract, d topology.Decision, ev string) string {
	attempt := ""
	if d.Attempt > 1 {
		attempt = fmt.Sprintf(", attempt %d of %d", d.Attempt, max(c.Retry.Max, 0)+1)
	}
	switch {
	case d.Mode == topology.ApplyAhead:
		return fmt.Sprintf("%s is applied before its turn, as its class %q may%s", ev, d.Event.Class, attempt)
	case d.Mode == topology.ApplyUnordered:
		return fmt.Sprintf("%s is applied without its cause %q, which did not come%s", ev, d.Event.Causation, attempt)
	case d.Rule == 4:
		return fmt.Sprintf("%s has a letter, comes again and is next: it is applied%s", ev, attempt)
	case d.Rule == 10:
		return fmt.Sprintf("%s is applied; the numbers that it skips become holes%s", ev, attempt)
	case c.OrderBy == policies.ByVersion:
		return fmt.Sprintf("%s is newer than what was applied: it is applied%s", ev, attempt)
	case c.OrderBy == policies.ByEventTime:
		return fmt.Sprintf("%s is behind the watermark: its turn has come and it is applied%s", ev, attempt)
	}
	return fmt.Sprintf("%s is next and is applied%s", ev, attempt)
}

func explainHold(d topology.Decision, ev, cause string) string {
	switch d.Rule {
	case 13:
		return fmt.Sprintf("%s waits: the entity is in local retry", ev)
	case 17:
		return fmt.Sprintf("%s waits for the watermark", ev)
	case 18:
		if d.Blocker != 0 {
			return fmt.Sprintf("%s waits: number %d, which is next, waits for its cause", ev, d.Blocker)
		}
		return fmt.Sprintf("%s waits for its cause %q", ev, cause)
	default:
	}
	return fmt.Sprintf("%s waits for number %d", ev, d.Blocker)
}

// because gives the reason of a drop or a letter in words.
func because(c policies.Contract, d topology.Decision, m *policies.Metadata) string {
	switch d.Reason {
	case policies.ReasonInvalidMetadata:
		switch {
		case m.Entity == "":
			return "it names no entity"
		case !m.HasSequence:
			return "it has no sequence number"
		}
		return fmt.Sprintf("sequence number %d is outside 0 to %d", m.Sequence, int64(maxSequence))
	case policies.ReasonStaleEpoch:
		return fmt.Sprintf("its epoch %d is over", m.Epoch)
	case policies.ReasonUnexpectedEpoch:
		return fmt.Sprintf("the contract forbids a reset, and its epoch %d is a new one", m.Epoch)
	case policies.ReasonSupersededEpoch:
		return fmt.Sprintf("it waited in epoch %d when a new epoch began", m.Epoch)
	case policies.ReasonDuplicate:
		if d.Rule == 7 {
			return fmt.Sprintf("number %d was passed and is no hole, so it was decided before", m.Sequence)
		}
		return "its id was decided before or is being decided"
	case policies.ReasonDuplicateOfDLQ:
		return "it has a letter already, and its turn has not come"
	case policies.ReasonBeforeStart:
		return fmt.Sprintf("number %d is before the entity's first number", m.Sequence)
	case policies.ReasonEntityParked:
		return "its entity is parked, and an event behind a parked one waits with it"
	case policies.ReasonSequenceConflict:
		return fmt.Sprintf("number %d belongs to another id, which came first", m.Sequence)
	case policies.ReasonLate:
		if d.Rule == 17 {
			return fmt.Sprintf("event time %d is at or before the watermark", m.EventTime)
		}
		return fmt.Sprintf("number %d was given up before it came", m.Sequence)
	case policies.ReasonSequenceJump:
		return fmt.Sprintf("number %d is more than %d beyond the highest", m.Sequence, c.MaxJump)
	case policies.ReasonGap:
		return "earlier numbers are missing, and the contract rejects gaps"
	case policies.ReasonRetryExhausted:
		return fmt.Sprintf("earlier numbers were still missing after %d looks", max(c.Retry.Max, 0))
	case policies.ReasonGapTimeout:
		return "an earlier number did not come within " + holeWaitText(c)
	case policies.ReasonPoison:
		return fmt.Sprintf("the handler failed for good (a retryable failure is tried %d times)", max(c.Retry.Max, 0)+1)
	case policies.ReasonVersionBackward:
		return fmt.Sprintf("version %d is smaller than one that was applied", m.Version)
	case policies.ReasonSuperseded:
		return fmt.Sprintf("version %d is not newer than what was applied", m.Version)
	case policies.ReasonFutureTimestamp:
		return fmt.Sprintf("event time %d is more than %s ahead of the clock", m.EventTime, c.MaxFuture)
	case policies.ReasonCauseTimeout:
		return fmt.Sprintf("its cause %q did not come within %s", m.Causation, c.MaxWait)
	case policies.ReasonCauseCycle:
		return fmt.Sprintf("the chain of causes from %q leads back to it or is longer than %d", m.Causation, c.MaxDepth)
	case policies.ReasonUndecodable:
		return "its value could not be decoded"
	case policies.ReasonWrongKey:
		return "its record key does not fit its entity"
	case policies.ReasonWrongPartition:
		return "its partition does not fit its entity"
	}
	return string(d.Reason)
}

// holeWaitText says how long a hole is waited for.
func holeWaitText(c policies.Contract) string {
	if c.AutoWait {
		return fmt.Sprintf("the wait that was worth it (%s to %s)", c.MinWait, c.MaxWait)
	}
	return c.MaxWait.String()
}
