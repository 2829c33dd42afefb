package dev

import (
	"log/slog"
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

// consumed reports whether every record was consumed. Where offsets wait for events
// (redelivers), a kill lets some be counted twice: then it may answer too early.
func (p progress) consumed() bool { return p.seen() >= p.records }

// decided reports whether nothing is left to do: every record was consumed, and
// none waits for anything.
func (p progress) decided() bool {
	return p.consumed() && p.counts.Held == 0 && p.counts.Retrying == 0
}

// redelivers reports whether the offsets of a contract wait for events that are not
// decided, so that what was decided behind them is delivered again after a kill.
func redelivers(c policies.Contract) bool {
	c = c.WithDefaults()
	return c.Buffer == policies.BufferVolatile || c.Gap == policies.GapRetry
}

// settleTime is how long nothing may change before such a contract's app is taken
// to have consumed everything.
const settleTime = time.Second

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
	case p.decided() && redelivers(c) && unchanged < settleTime:
		return goOn
	case p.decided():
		return idle
	case unchanged < quiet:
		return goOn
	case forever && p.consumed():
		return waits
	default:
		return stands
	}
}

// tellEvery is how often a run that waits says what for.
const tellEvery = 5 * time.Second

// A teller says from time to time what is waited for. It is used by one goroutine.
type teller struct {
	logger *slog.Logger
	told   time.Time
}

// tell logs, unless it has just done so; unchanged is for how long nothing moved.
func (t *teller) tell(now time.Time, p progress, unchanged time.Duration, c policies.Contract) {
	if now.Sub(t.told) < tellEvery {
		return
	}
	t.told = now
	t.logger.Info("waiting", waitsFor(p, unchanged, c)...)
}

// waitsFor says how far the app is, and what it waits for by its contract.
func waitsFor(p progress, unchanged time.Duration, c policies.Contract) []any {
	c = c.WithDefaults()
	words := []any{"consumed", p.seen(), "of", p.records, "held", p.counts.Held, "retrying", p.counts.Retrying, "unchanged_for", unchanged.Round(100 * time.Millisecond)}
	switch {
	case p.counts.Held == 0:
	case c.OrderBy == policies.ByEventTime:
		words = append(words, "until", "later events move the watermark")
	default:
		words = append(words, "until", "the missing events come", "max_wait", c.MaxWait, "on_timeout", string(c.OnTimeout))
	}
	return words
}
