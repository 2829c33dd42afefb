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

// cutter is the broker's tap: it cuts one request off at a time and sees how its
// transaction ends. It is safe for concurrent use.
type cutter struct {
	mu    sync.Mutex // guards the rest
	armed *cut
	id    string // of the transaction that was cut; empty: none is watched
	ended chan bool
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
	if e.TransactionalID == "" {
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
