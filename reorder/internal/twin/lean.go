package twin

import (
	"time"

	"github.com/streamrun/streamrun/policies"
)

// A bias says how often the producers and the operator of a case do what: percents,
// but for owners and redrives, which are weights beside the hundred of all steps,
// and others, a weight beside the eighty of the other repeats.
type bias struct {
	spoilt  int // of new events: malformed, or far off
	skips   int // of new events: a number is left out first
	fills   int // of the others, where numbers are left out: one of these comes after all
	low     int // of new events: its number is below the start
	epochs  int // of new events: its producer begins an epoch
	stale   int // of new events: a number that was left out of the epoch before
	caused  int // of new events of causal contracts: it names a cause
	repeats int // of all events: an earlier one is sent again
	others  int // of these: as another event under the same number
	failing int // of cases: handlers fail

	owners   int // steps: a new owner
	zombies  int // of events after one: its old owner reads it too
	redrives int // steps: the operator re-drives
}

func usual() bias {
	return bias{spoilt: 3, skips: 35, fills: 50, epochs: 4, caused: 40, repeats: 20, others: 20, failing: 40, zombies: 10}
}

// lean draws, for a share of the cases, what they have more of than is usual: of
// some contracts and feeds a rule hears too seldom to be trusted. Every leaning is
// drawn by itself, so that they also meet; what none of them names stays random.
func (g *generator) lean(c *policies.Contract) {
	for _, leaning := range []struct {
		percent int
		to      func()
	}{
		{14, func() { g.spoilt = 50 }},               // R0, R10's jump, R17's future
		{5, func() { g.owners, g.zombies = 10, 80 }}, // R1
		{18, func() { // R2
			g.epochs, g.stale = 15, 30
			c.Reset = pick(g, policies.ResetEpoch, policies.ResetEpoch, policies.ResetForbid)
		}},
		{9, func() { // R4
			g.repeats, g.redrives = 45, 20
			c.Gap, c.MaxJump = policies.GapReject, 1_000_000
		}},
		{15, func() { c.Start, g.low = policies.StartAt(9), 80 }}, // R5
		{14, func() { g.repeats, g.others = 60, 400 }},            // R7
		{16, func() { // R11, and R8 by it
			c.Gap, c.MaxHeld, c.MaxWait = policies.GapBuffer, 100, time.Duration(pick(g, 1, 20))*time.Millisecond
			c.OnTimeout = pick(g, policies.OnTimeoutSkip, policies.OnTimeoutSkip, policies.OnTimeoutPark, policies.OnTimeoutRebuild, policies.OnTimeoutHold)
		}},
		{10, func() { g.failing = 100 }}, // R13
		{10, func() { // R18
			c.Causal, c.OrderBy, g.caused, g.skips = true, policies.BySequence, 70, 10
			c.MaxWait = time.Duration(pick(g, 1, 20, 100)) * time.Millisecond
		}},
		{18, func() { // R8: what is left out comes late, and nothing else ends its entity
			c.Gap, c.Causal, g.skips, g.fills = policies.GapApply, false, 50, 80
			g.epochs, g.failing, g.spoilt, g.low = 1, 0, 0, 0
		}},
		{26, func() { // R12: a stop is met again by the next owner
			if c.OrderBy == policies.BySequence {
				c.OnOverflow = pick(g, policies.OnOverflowSkip, policies.OnOverflowSkip, policies.OnOverflowPause, policies.OnOverflowPark)
			}
			c.Gap, c.MaxHeld, g.owners, g.skips, g.fills = policies.GapBuffer, 1, 20, 60, 30
			g.epochs, g.failing, g.spoilt, g.low = 1, 0, 0, 0
		}},
	} {
		if g.chance(leaning.percent) {
			leaning.to()
		}
	}
}
