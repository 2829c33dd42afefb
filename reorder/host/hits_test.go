package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// enough is how often each rule must have decided in a run.
const enough = 1000

// hits counts the rules that decided in the host, and the reasons that they gave.
type hits struct {
	rules   [20]int
	reasons map[policies.Reason]int
	paused  map[scenario.Entry]policies.Rule // of the case that is played: what each paused event was last paused by
}

func newHits() *hits {
	return &hits{reasons: map[policies.Reason]int{}, paused: map[scenario.Entry]policies.Rule{}}
}

// take counts what a step hit, of which before and after are the outcomes. A decision
// is one hit of its rule. A record that stopped its partition is offered again after
// every step, and paused again: until the process is another one, that counts once. A
// timer that is only set (DecideArm) is none: it may not fire.
//
// R15 and R16 act without a decision of their own. A hit of R15 is an effect key
// that was sent for the first time, or that a rebuild suppressed; one of R16 is a
// partition that has another offset to commit.
func (h *hits) take(step scenario.Step, before, after scenario.Outcome) {
	if step.Kind == scenario.Crash || step.Kind == scenario.Assign {
		clear(h.paused)
	}
	for _, d := range after.Decisions[len(before.Decisions):] {
		of := scenario.Entry{Entity: d.Entity, ID: d.ID}
		if rule, again := h.paused[of]; again && d.Disposition == policies.Paused && d.Rule == rule {
			continue
		}
		delete(h.paused, of)
		if d.Disposition == policies.Paused {
			h.paused[of] = d.Rule
		}
		if d.Rule != policies.NoRule {
			h.rules[d.Rule]++
		}
		if d.Reason != "" {
			h.reasons[d.Reason]++
		}
	}
	h.rules[15] += len(after.Effects) - len(before.Effects) + len(after.Suppressed) - len(before.Suppressed)
	for p, offset := range after.Commit {
		if offset != before.Commit[p] {
			h.rules[16]++
		}
	}
}

func (h *hits) add(other *hits) {
	for r, n := range other.rules {
		h.rules[r] += n
	}
	for reason, n := range other.reasons {
		h.reasons[reason] += n
	}
}

// check fails for a rule that was hit too seldom and for a reason that was never given.
func (h *hits) check(t *testing.T) {
	t.Helper()
	for r, n := range h.rules {
		if n < enough {
			t.Errorf("%v decided %d times, not %d: lean more cases to it (package twin, generator.lean)", policies.Rule(r), n, enough)
		}
	}
	for _, reason := range reasons() {
		if h.reasons[reason] == 0 {
			t.Errorf("the reason %s was never given", reason)
		}
	}
}

// String is a table: the rules, and the reasons beside them.
func (h *hits) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-4s %7s   %-18s %7s\n", "rule", "hits", "reason", "hits")
	all := reasons()
	for r, n := range h.rules {
		fmt.Fprintf(&b, "%-4v %7d", policies.Rule(r), n)
		if r < len(all) {
			fmt.Fprintf(&b, "   %-18s %7d", all[r], h.reasons[all[r]])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// reasons returns, sorted, every reason that a case can give. No rule gives the other
// four: undecodable, wrong_key and wrong_partition are given of a record before it
// becomes an event with metadata, which a step of a case is; version_backward is a
// mark of the contract that the rules do not know, so the twin does not either.
func reasons() []policies.Reason {
	return []policies.Reason{
		policies.ReasonBeforeStart, policies.ReasonCauseCycle, policies.ReasonCauseTimeout, policies.ReasonDuplicate,
		policies.ReasonDuplicateOfDLQ, policies.ReasonEntityParked, policies.ReasonFutureTimestamp, policies.ReasonGap,
		policies.ReasonGapTimeout, policies.ReasonInvalidMetadata, policies.ReasonLate, policies.ReasonPoison,
		policies.ReasonRetryExhausted, policies.ReasonSequenceConflict, policies.ReasonSequenceJump, policies.ReasonStaleEpoch,
		policies.ReasonSuperseded, policies.ReasonSupersededEpoch, policies.ReasonUnexpectedEpoch,
	}
}
