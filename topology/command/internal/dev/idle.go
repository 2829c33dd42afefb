package dev

import (
	"time"

	"github.com/streamrun/streamrun/policies"
)

// progress is how far the app is, as its committed offsets say.
type progress struct {
	records int64 // in the input topic
	counts  policies.Counts
}

// seen is how many of the records are decided or waiting: what was volatile and got
// lost is delivered again.
func (p progress) seen() int64 { return p.counts.Delivered - p.counts.Lost }

// decided reports whether nothing is left to do: every record was consumed, and
// none waits for anything.
func (p progress) decided() bool {
	return p.seen() == p.records && p.counts.Held == 0 && p.counts.Retrying == 0
}

// waits reports whether all that is left waits for something that may never come.
func (p progress) waits() bool { return p.seen() == p.records }

// patience says how long an app whose progress does not change is waited for, and
// whether its contract lets an event wait for ever.
func patience(c policies.Contract) (quiet time.Duration, forever bool) {
	c = c.WithDefaults()
	quiet = time.Duration(max(c.Retry.Max, 0)) * c.Retry.Delay
	if c.OrderBy == policies.BySequence {
		quiet += c.MaxWait
	}
	forever = c.OrderBy == policies.ByEventTime ||
		c.OrderBy == policies.BySequence && (c.OnTimeout == policies.OnTimeoutHold || c.OnTimeout == policies.OnTimeoutRebuild)
	if forever {
		return quiet + 3*time.Second, true
	}
	return quiet + 20*time.Second, false
}

// An outcome is what an idle decision is.
type outcome uint8

const (
	goOn   outcome = iota
	idle           // everything is decided
	waits          // what is left waits for ever, as the contract says
	stands         // something is left, and nothing moves
)

// judge decides whether the app is idle, given for how long its progress has not changed.
func judge(p progress, unchanged time.Duration, c policies.Contract) outcome {
	quiet, forever := patience(c)
	switch {
	case p.decided():
		return idle
	case unchanged < quiet:
		return goOn
	case forever && p.waits():
		return waits
	default:
		return stands
	}
}
