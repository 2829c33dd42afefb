package twin

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// A manner is how an event comes to be applied.
type manner int

const (
	inOrder     manner = iota // it is next
	aheadOfTurn               // early=apply
	overGap                   // gap=apply: the numbers it skips are given up
	redriven                  // a letter whose turn it is
	unsequenced               // the contract has another order
)

// String says how, for people.
func (m manner) String() string {
	switch m {
	case inOrder:
		return "its number is next"
	case aheadOfTurn:
		return "its class need not wait"
	case overGap:
		return "the contract applies beyond a gap"
	case redriven:
		return "its letter was re-driven, and its number is next"
	default:
	}
	return "the order of the contract allows it"
}

func (m manner) rule(o policies.OrderBy) policies.Rule {
	switch {
	case o == policies.ByVersion:
		return 14
	case o == policies.ByEventTime:
		return 17
	case m == overGap:
		return 10
	}
	return 9
}

type verdict int

const (
	succeeded verdict = iota
	retryable
	poisonous
)

// handle runs the handler on an event.
func (t *Twin) handle(n int) verdict {
	d := t.deliveries[n]
	switch {
	case t.fixed[d.ID]:
		return succeeded
	case d.Poison:
		return poisonous
	case t.failures[n] > 0:
		t.failures[n]--
		return retryable
	}
	return succeeded
}

// try applies an event, or takes what comes of its failure (R13).
func (t *Twin) try(e *entity, n int, how manner) {
	switch t.handle(n) {
	case succeeded:
		t.apply(e, n, how)
	case poisonous:
		t.poisoned(e, n, how, "it fails for good")
	case retryable:
		t.failed(e, n, how, 0)
	}
}

// failed is a retryable failure, after so many retries.
func (t *Twin) failed(e *entity, n int, how manner, retries int) {
	if retries >= max(0, t.c.Retry.Max) {
		t.poisoned(e, n, how, fmt.Sprintf("%d retries failed", retries))
		return
	}
	e.retries = append(e.retries, retry{n: n, how: how, failed: retries, due: t.now + t.c.Retry.Delay.Milliseconds(), armed: t.arm()})
	t.end(n, policies.Retrying, 13, "", "it failed; retry %d comes", retries+1)
}

// poisoned is the poison policy of R13.
func (t *Twin) poisoned(e *entity, n int, how manner, why string) {
	if t.classOf(n).Poison == policies.PoisonPark {
		t.letter(e, n, 13, policies.ReasonPoison, true, "%s", why)
		t.park(e, policies.ReasonEntityParked, 13)
		return
	}
	t.letter(e, n, 13, policies.ReasonPoison, false, "%s", why)
	s := t.deliveries[n].Sequence
	switch how {
	case overGap:
		if e.holes = e.holes.with(s, s); !t.jump(e, s) {
			e.passed[s] = true
		}
	case inOrder:
		e.holes = e.holes.with(s, s)
		e.pass(s)
	case aheadOfTurn:
		e.holes, e.passed[s] = e.holes.with(s, s), true
		e.pass(e.last)
	default:
	}
	t.evict(e)
}

// apply applies an event: one atomic write (R15), then its effect.
func (t *Twin) apply(e *entity, n int, how manner) {
	d := t.deliveries[n]
	t.crash(n, scenario.BeforeState)
	switch how {
	case overGap:
		if !t.jump(e, d.Sequence) {
			e.ahead[d.Sequence] = d.ID
		}
	case inOrder, redriven:
		e.pass(d.Sequence)
	case aheadOfTurn:
		e.ahead[d.Sequence] = d.ID
		if t.fault == aheadIsLast {
			e.pass(d.Sequence)
		}
		e.pass(e.last)
	default:
	}
	if t.c.OrderBy == policies.ByVersion {
		winner := d.Event
		e.winner = &winner
	}
	e.content = append(e.content, content{d.ID, d.Epoch, d.Sequence, d.Data})
	t.end(n, policies.Applied, how.rule(t.c.OrderBy), "", "%s", how)
	t.fates[n].unordered = t.c.Causal && d.After != "" && !t.causes[d.After]
	t.causes[d.ID] = true
	t.applied = append(t.applied, n)
	t.remember(e, n)
	t.resolve(e, n)
	t.outbox = append(t.outbox, n)
	t.save()
	t.crash(n, scenario.AfterState)
	t.send(n)
	t.crash(n, scenario.AfterEffect)
	t.recordOutcome(n)
	t.save()
}

// resolve takes the letters of an applied id out of the queue (R4).
func (t *Twin) resolve(e *entity, n int) {
	id := t.deliveries[n].ID
	resolved := false
	for _, l := range e.letters {
		if t.deliveries[l.n].ID != id {
			continue
		}
		// The letter moves to applied; any further delivery only resolved it.
		if l.n != n {
			if resolved {
				t.fates[l.n] = fate{disposition: resolvedAgain}
			} else {
				t.fates[l.n] = fate{disposition: policies.Applied, unordered: t.fates[n].unordered}
				t.fates[n] = fate{disposition: resolvedAgain}
			}
		}
		resolved = true
	}
	if resolved {
		t.resolved = append(t.resolved, entry(e.name, id, ""))
	}
	e.letters = slices.DeleteFunc(slices.Clone(e.letters), func(l letter) bool { return t.deliveries[l.n].ID == id })
}

// crash ends the process where the case says so, once per delivery.
func (t *Twin) crash(n int, at scenario.CrashPoint) {
	if t.deliveries[n].Crash == at && !t.crashed[n] {
		t.crashed[n] = true
		panic(died{})
	}
}

// key is the effect key of an event (R15).
func (t *Twin) key(d scenario.Event) string {
	if !t.bySequence() {
		return d.Entity + "/" + d.ID
	}
	return fmt.Sprintf("%s/%d/%d", d.Entity, d.Epoch, d.Sequence)
}

// send performs the effect of an applied event until it is acknowledged.
func (t *Twin) send(n int) {
	d := t.deliveries[n]
	t.attempts[t.key(d.Event)] += 1 + d.Sink.LostAck + d.Sink.Down
	d.Sink = scenario.SinkFaults{} // the faults have happened
}

func (t *Twin) recordOutcome(n int) {
	t.done[t.key(t.deliveries[n].Event)] = true
	t.outbox = slices.DeleteFunc(slices.Clone(t.outbox), func(o int) bool { return o == n })
}
