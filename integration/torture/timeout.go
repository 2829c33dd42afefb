//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/embedded"
)

// kinds are the requests of a transaction.
func kinds() []embedded.Request {
	return []embedded.Request{
		embedded.InitProducerID, embedded.AddPartitionsToTxn, embedded.Produce, embedded.AddOffsetsToTxn, embedded.TxnOffsetCommit, embedded.EndTxn,
	}
}

// A kind is a request that gets no answer: before the broker handles it, or after.
type kind struct {
	request embedded.Request
	moment  embedded.Moment
}

func (k kind) String() string {
	if k.moment == embedded.Answered {
		return k.request.String() + ", applied"
	}
	return k.request.String() + ", not applied"
}

// A cut is what gets no answer in one transaction of an instance, and what becomes of
// the transaction. That of InitProducerID is the one before it, whose fate it settles:
// its end gets no answer either, or its instance was killed in it.
type cut struct {
	kind
	ids     []string      // transactional ids of the instance
	end     *kind         // gets no answer first; nil: the instance was killed
	lasting bool          // no request of the kind is answered any more, until the client gives up
	outage  time.Duration // of a lasting InitProducerID
	now     func() time.Time

	id        string // of the transaction, once a request of it was cut
	lost      int    // requests of the kind
	since     time.Time
	committed bool
}

// takes reports whether an event is to be cut.
func (c *cut) takes(e *embedded.Event) bool {
	k := c.kind
	if c.end != nil {
		k = *c.end
	}
	switch {
	case e.Request != k.request, e.Moment != k.moment, !slices.Contains(c.ids, e.TransactionalID), c.id != "" && c.id != e.TransactionalID:
		return false
	case e.Request == embedded.EndTxn && !e.Commit:
		return false
	case c.lost == 0 && e.Moment == embedded.Answered && e.Code != 0:
		return false // one that failed was not applied
	case c.lost > 0 && (!c.lasting || e.Request == embedded.InitProducerID && c.now().Sub(c.since) > c.outage):
		return false
	}
	c.id = e.TransactionalID
	if c.end != nil {
		c.end = nil
		return true
	}
	if c.lost++; c.lost == 1 {
		c.since = c.now()
	}
	return true
}

// sees notes what was answered, or would have been; over says that the fate of the
// transaction is settled.
func (c *cut) sees(e *embedded.Event, dropped bool) (over bool) {
	if c.id != e.TransactionalID || e.Moment != embedded.Answered || e.Code != 0 {
		return false
	}
	switch e.Request {
	case embedded.EndTxn:
		c.committed = e.Commit
		return c.request != embedded.InitProducerID
	case embedded.InitProducerID:
		return c.lost > 0 && !dropped
	default:
		return false
	}
}

// cutter is the tap of an embedded broker: it makes one cut at a time, and it holds
// heartbeats. It is safe for concurrent use.
type cutter struct {
	mu    sync.Mutex // guards the rest
	armed *cut
	over  chan cut // has room for one

	sleeper []string      // transactional ids of an instance that just woke
	held    chan struct{} // holds heartbeats until it is closed; nil: none are held
	first   chan int16    // the answer to the sleeper's first commit of offsets
}

// wake holds heartbeats, so that an instance that wakes can act before it hears that
// it is out of the group. The channel has the answer to its first commit of offsets.
func (c *cutter) wake(ids []string) (first <-chan int16, release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make(chan struct{})
	c.sleeper, c.held, c.first = ids, held, make(chan int16, 1)
	return c.first, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sleeper, c.held = nil, nil
		close(held)
	}
}

// hold holds a heartbeat if they are to be held.
func (c *cutter) hold() {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held != nil {
		<-held
	}
}

// outcomes counts what became of the transactions of a kind of cut.
type outcomes struct{ injected, committed, lost int }

// arm makes the cut at the next requests that fit. The channel gives it back when the
// fate of its transaction is settled.
func (c *cutter) arm(next cut) <-chan cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.over = &next, make(chan cut, 1)
	return c.over
}

// waits reports whether nothing was cut yet.
func (c *cutter) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed != nil && c.armed.id == ""
}

// see implements embedded.Tap.
func (c *cutter) see(e embedded.Event) embedded.Verdict {
	switch {
	case e.Request == embedded.Heartbeat && e.Moment == embedded.Received:
		c.hold()
		return embedded.Pass
	case e.TransactionalID == "":
		return embedded.Pass
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict := embedded.Pass
	if a := c.armed; a != nil {
		dropped := a.takes(&e)
		if dropped {
			verdict = embedded.Drop
		}
		if a.sees(&e, dropped) {
			c.armed = nil
			c.over <- *a
		}
	}
	if e.Request == embedded.TxnOffsetCommit && e.Moment == embedded.Answered && slices.Contains(c.sleeper, e.TransactionalID) {
		c.sleeper = nil
		c.first <- e.Code
	}
	return verdict
}

// cutOf is what a round cuts: each kind once after it was applied, then for as long as the
// client tries before the broker has it, and so on: the least that a drill may do, two
// rounds, has one that is committed of each kind, and one that is not. The ends before
// InitProducerID are applied or not in turn, and in every fourth round its instance is
// killed.
func (d *drill) cutOf(i int) cut {
	round := i / len(kinds()) % 4
	c := cut{kind: kind{request: kinds()[i%len(kinds())]}, lasting: round == 1 || round == 2, outage: d.transaction/2 + time.Second, now: time.Now}
	if round%2 == 0 {
		c.moment = embedded.Answered
	}
	if c.request == embedded.InitProducerID && round != 2 {
		c.end = &kind{request: embedded.EndTxn}
		if round != 1 {
			c.end.moment = embedded.Answered
		}
	}
	return c
}

// timeout lets requests of one transaction time out.
func (d *drill) timeout(ctx context.Context, i int) error {
	next := d.cutOf(i)
	p, err := d.victim(ctx)
	if err != nil {
		return err
	}
	if next.request == embedded.InitProducerID && next.end == nil {
		if p, err = d.killOpen(ctx); err != nil {
			return err
		}
	}
	next.ids = d.ids(p.name)
	over := d.cutter.arm(next)
	if p.ended() {
		if p, err = d.fleet.start(p.name); err != nil {
			return err
		}
	}
	var got cut
	err = d.until(ctx, d.drain, fmt.Sprintf("a transaction has ended whose %v", next.kind), func() bool {
		if d.cutter.waits() {
			d.goOn()
		}
		select {
		case got = <-over:
			return true
		default:
			return false
		}
	})
	if err != nil {
		return err
	}
	of := d.cuts[next.kind]
	of.injected++
	of.lost += got.lost
	how := "aborted"
	if got.committed {
		of.committed++
		how = "committed"
	}
	d.cuts[next.kind] = of
	what := "once"
	if next.lasting {
		what = "until it gave up"
	}
	d.say("timeout %d: %v, of %s, %s (%d requests): turned out %s", i+1, next.kind, p.name, what, got.lost, how)
	return nil
}

// killOpen kills an instance in its open transaction.
func (d *drill) killOpen(ctx context.Context) (*process, error) {
	for range 5 { // one that ends before its instance does is no such one
		p, err := d.victim(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := d.freezeOpen(ctx, p, openWait); err != nil {
			return nil, err
		}
		if err := p.kill(); err != nil {
			return nil, err
		}
		if open, err := d.ongoing(ctx, p); open || err != nil {
			return p, err
		}
		if _, err := d.fleet.start(p.name); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("torture: no instance could be killed in an open transaction")
}

// sayCuts tells what became of the transactions whose requests were cut. A request that
// may come twice is sent again, and its transaction is committed, unless that lasts too
// long. TxnOffsetCommit may only if it was applied (see kafka/wire): else its transaction
// is never committed. One whose EndTxn got no answer is committed if that was applied, and
// only then.
func (d *drill) sayCuts() {
	for _, r := range kinds() {
		committed, aborted := 0, 0
		for _, m := range []embedded.Moment{embedded.Received, embedded.Answered} {
			k := kind{r, m}
			of := d.cuts[k]
			fmt.Fprintf(d.out, "%-36v injected %3d (%4d requests), turned out committed %3d, aborted %3d\n", k, of.injected, of.lost, of.committed, of.injected-of.committed)
			committed += of.committed
			aborted += of.injected - of.committed
			switch decides := r == embedded.EndTxn || r == embedded.TxnOffsetCommit; {
			case decides && m == embedded.Received && of.committed > 0:
				d.no("%v: %d turned out committed, it should be none", k, of.committed)
			case r == embedded.EndTxn && m == embedded.Answered && of.committed < of.injected:
				d.no("%v: %d turned out committed, it should be %d", k, of.committed, of.injected)
			}
		}
		switch {
		case committed == 0:
			d.no("%v: none turned out committed", r)
		case aborted == 0:
			d.no("%v: none turned out aborted", r)
		}
	}
}
