//go:build linux

package main

import (
	"context"
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

// cut is a kind of an instance.
type cut struct {
	kind
	ids []string // transactional ids of the instance
}

// cutter is the tap of an embedded broker: it cuts one request off at a time and sees
// how its transaction ends; and it holds heartbeats. It is safe for concurrent use.
type cutter struct {
	mu    sync.Mutex // guards the rest
	armed *cut
	id    string // of the transaction that was cut; empty: none is watched
	ended chan bool

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
type outcomes struct{ injected, committed int }

// arm cuts the next request that fits. The channel tells whether its transaction
// turned out committed.
func (c *cutter) arm(next cut) <-chan bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.ended = &next, make(chan bool, 1)
	return c.ended
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
	if c.armed != nil && c.armed.matches(e) {
		verdict, c.id, c.armed = embedded.Drop, e.TransactionalID, nil
	}
	if c.id == e.TransactionalID && e.Moment == embedded.Answered && e.Code == 0 {
		switch {
		case e.Request == embedded.EndTxn && e.Commit:
			c.ended <- true
			c.id = ""
		case e.Request == embedded.EndTxn || e.Request == embedded.InitProducerID:
			c.ended <- false
			c.id = ""
		}
	}
	if e.Request == embedded.TxnOffsetCommit && e.Moment == embedded.Answered && slices.Contains(c.sleeper, e.TransactionalID) {
		c.sleeper = nil
		c.first <- e.Code
	}
	return verdict
}

// matches reports whether the request is to be cut. One that failed was not applied.
func (c *cut) matches(e embedded.Event) bool {
	if e.Request != c.request || e.Moment != c.moment || e.Moment == embedded.Answered && e.Code != 0 {
		return false
	}
	return slices.Contains(c.ids, e.TransactionalID)
}

// timeout lets a request of a transaction time out: even rounds before the broker
// has it, odd ones after it was applied.
func (d *drill) timeout(ctx context.Context, i int) error {
	k := kind{request: kinds()[i%len(kinds())]}
	if i/len(kinds())%2 == 1 {
		k.moment = embedded.Answered
	}
	p, err := d.victim(ctx)
	if err != nil {
		return err
	}
	ended := d.cutter.arm(cut{k, d.ids(p.name)})
	if k.request == embedded.InitProducerID { // which only a start sends
		if err := p.kill(); err != nil {
			return err
		}
		if _, err := d.fleet.start(p.name); err != nil {
			return err
		}
	}
	var committed bool
	err = d.until(ctx, time.Minute, fmt.Sprintf("a transaction has ended whose %v", k), func() bool {
		select {
		case committed = <-ended:
			return true
		default:
			return false
		}
	})
	if err != nil {
		return err
	}
	of := d.cuts[k]
	of.injected++
	how := "aborted"
	if committed {
		of.committed++
		how = "committed"
	}
	d.cuts[k] = of
	d.say("timeout %d: %v, of %s: turned out %s", i+1, k, p.name, how)
	return nil
}
