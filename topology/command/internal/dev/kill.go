package dev

import (
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/streamrun/streamrun/topology/embedded"
)

// A Point is where in its transaction the app is killed.
type Point struct {
	request embedded.Request
	moment  embedded.Moment
	text    string
}

// The points. Apart from them stands afterEnd: there the transaction is over, and
// only the app does not know.
func points() []Point {
	return []Point{
		{embedded.AddPartitionsToTxn, embedded.Answered, "after AddPartitionsToTxn"},
		{embedded.Produce, embedded.Answered, "after Produce"},
		{embedded.TxnOffsetCommit, embedded.Answered, "after TxnOffsetCommit"},
		{embedded.EndTxn, embedded.Received, "at EndTxn, before it is handled"},
	}
}

func afterEnd() Point {
	return Point{embedded.EndTxn, embedded.Answered, "after EndTxn is handled, before its answer"}
}

// String returns the point in words.
func (p Point) String() string { return p.text }

// matches reports whether the request is at the point. A commit that failed is no
// commit.
func (p Point) matches(e embedded.Event) bool {
	return e.Request == p.request && e.Moment == p.moment && (p.moment == embedded.Received || e.Code == 0) &&
		(p.request != embedded.EndTxn || e.Commit)
}

// A planned kill happens at a point, when it has been passed so many times.
type planned struct {
	at   Point
	pass int
}

// planKills draws n kills inside an open transaction and one behind a commit.
func planKills(n int, seed uint64) []planned {
	if n == 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 0x6b696c6c)) // a stream of its own: a seed means the same delivery whatever is killed
	kills := make([]planned, 0, n+1)
	for range n {
		all := points()
		kills = append(kills, planned{all[rng.IntN(len(all))], rng.IntN(killChunks)})
	}
	return append(kills, planned{afterEnd(), rng.IntN(killChunks)})
}

// A Kill is one that happened.
type Kill struct {
	At              Point
	TransactionalID string
	Open            bool // the transaction was open at the broker
}

// killer is the broker's tap: it kills the app at the armed point. A request at
// that point is held up until the process is gone, and then its connection is cut.
type killer struct {
	prefix string // of the app's transactional ids
	kill   func() // returns when the process is gone

	mu    sync.Mutex // guards the rest
	armed *planned
	open  map[string]bool // transactional ids with a transaction open at the broker
	done  chan Kill       // has room for the armed kill
}

func newKiller(prefix string, kill func()) *killer {
	return &killer{prefix: prefix, kill: kill, open: map[string]bool{}}
}

// arm makes the next kill happen; it comes through the channel.
func (k *killer) arm(p planned) <-chan Kill {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed, k.done = &p, make(chan Kill, 1)
	return k.done
}

// see implements embedded.Tap.
func (k *killer) see(e embedded.Event) embedded.Verdict {
	if !strings.HasPrefix(e.TransactionalID, k.prefix) {
		return embedded.Pass
	}
	now, done := k.meet(e)
	if done == nil {
		return embedded.Pass
	}
	k.kill()
	done <- now
	return embedded.Drop
}

// meet keeps track of what is open, and returns the channel of the kill that is to
// happen now, if one is.
func (k *killer) meet(e embedded.Event) (Kill, chan<- Kill) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.Moment == embedded.Answered && e.Code == 0 {
		switch e.Request {
		case embedded.AddPartitionsToTxn, embedded.AddOffsetsToTxn:
			k.open[e.TransactionalID] = true
		case embedded.EndTxn, embedded.InitProducerID:
			k.open[e.TransactionalID] = false
		default: // the others neither open nor end one
		}
	}
	switch {
	case k.armed == nil || !k.armed.at.matches(e):
		return Kill{}, nil
	case k.armed.pass > 0:
		k.armed.pass--
		return Kill{}, nil
	}
	at := k.armed.at
	k.armed = nil
	return Kill{At: at, TransactionalID: e.TransactionalID, Open: k.open[e.TransactionalID]}, k.done
}
