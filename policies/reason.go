package policies

import "strconv"

// Disposition is the one counted end of a delivered event, or its present state.
type Disposition string

// Dispositions. All but the last three are terminal.
const (
	Applied      Disposition = "applied"
	Dropped      Disposition = "dropped" // with a reason: duplicate, duplicate_of_dlq, superseded, late
	DeadLettered Disposition = "dead_lettered"
	Compensated  Disposition = "compensated"
	Absorbed     Disposition = "absorbed" // taken up by a requested rebuild
	Fenced       Disposition = "fenced"
	Held         Disposition = "held"
	Retrying     Disposition = "retrying" // in local retry, or waiting for a look
	Paused       Disposition = "paused"   // not consumed
)

// Reason says why an event was not applied.
type Reason string

// Reasons of letters and drops; the rule that gives each is in the comment.
const (
	ReasonInvalidMetadata  Reason = "invalid_metadata"  // R0
	ReasonStaleEpoch       Reason = "stale_epoch"       // R2
	ReasonUnexpectedEpoch  Reason = "unexpected_epoch"  // R2
	ReasonSupersededEpoch  Reason = "superseded_epoch"  // R2
	ReasonDuplicate        Reason = "duplicate"         // R3, R7
	ReasonDuplicateOfDLQ   Reason = "duplicate_of_dlq"  // R4
	ReasonBeforeStart      Reason = "before_start"      // R5
	ReasonEntityParked     Reason = "entity_parked"     // R6, R12, R13
	ReasonSequenceConflict Reason = "sequence_conflict" // R7
	ReasonLate             Reason = "late"              // R8, R17
	ReasonSequenceJump     Reason = "sequence_jump"     // R10
	ReasonGap              Reason = "gap"               // R10
	ReasonRetryExhausted   Reason = "retry_exhausted"   // R10
	ReasonGapTimeout       Reason = "gap_timeout"       // R11, R12
	ReasonPoison           Reason = "poison"            // R13
	ReasonVersionBackward  Reason = "version_backward"  // contract's OnVersionBackward
	ReasonSuperseded       Reason = "superseded"        // R14
	ReasonFutureTimestamp  Reason = "future_timestamp"  // R17
	ReasonCauseTimeout     Reason = "cause_timeout"     // R18
	ReasonCauseCycle       Reason = "cause_cycle"       // R18
	ReasonUndecodable      Reason = "undecodable"       // the value could not be decoded: no metadata
	ReasonWrongKey         Reason = "wrong_key"         // the record key does not fit the entity
	ReasonWrongPartition   Reason = "wrong_partition"   // the partition does not fit the entity
)

// Rule is a rule of the ordering law, R0 to R19.
type Rule uint8

// NoRule marks a decision that no numbered rule makes.
const NoRule Rule = 255

// String returns "R7" for Rule(7).
func (r Rule) String() string {
	if r == NoRule {
		return "-"
	}
	return "R" + strconv.Itoa(int(r))
}
