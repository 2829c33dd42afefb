package mem

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// Options configures a Broker. The zero value is a broker on the machine's clock
// whose markers land before EndTxn answers.
type Options struct {
	// ClusterID is what Cluster.ID answers; empty: "mem".
	ClusterID string
	// Clock is where time comes from; nil: the machine's (which is virtual inside
	// testing/synctest).
	Clock Clock
	// Seed draws the delays of markers.
	Seed uint64
	// MarkerDelay is the longest time from the answer of EndTxn to a marker of it.
	MarkerDelay time.Duration
	// MaxRecordBytes is the largest key and value together; 0: 1 MiB.
	MaxRecordBytes int
}

func (o Options) withDefaults() Options {
	o.ClusterID = cmp.Or(o.ClusterID, "mem")
	o.MaxRecordBytes = cmp.Or(o.MaxRecordBytes, 1<<20)
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	return o
}

// A Broker is topics, transactions and groups in memory. Its methods may be
// called from several goroutines.
type Broker struct {
	opts Options

	mu      sync.Mutex    // guards everything below
	changed chan struct{} // closed and replaced when something happened that a wait may be for
	topics  map[string][]*partition
	configs map[string]map[string]string // of topics, as they were created
	ids     map[string][16]byte          // of topics: counted from 1
	made    uint64                       // topics, so far
	txns    map[string]*txn              // by transactional id
	ongoing []*txn                       // those of them whose transaction is open
	nextPID int64
	groups  map[string]*group
	markers []*marker // decided, not landed, in the order of their decisions
	held    int       // HoldMarkers that are not released
	faults  []*fault
}

// New returns a broker without topics.
func New(opts Options) *Broker {
	return &Broker{
		opts:    opts.withDefaults(),
		changed: make(chan struct{}),
		topics:  map[string][]*partition{},
		configs: map[string]map[string]string{},
		ids:     map[string][16]byte{},
		txns:    map[string]*txn{},
		groups:  map[string]*group{},
	}
}

// notify wakes everybody who waits.
func (b *Broker) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// event is something that happens at a time, by itself.
type event struct {
	at   time.Time
	name string // decides among events of one time
	do   func(at time.Time)
}

// advance lets everything happen that is due, and returns when the next event
// is; zero: none is known.
func (b *Broker) advance(now time.Time) time.Time {
	for {
		next, ok := b.nextEvent()
		if !ok {
			return time.Time{}
		}
		if next.at.After(now) {
			return next.at
		}
		next.do(next.at)
		b.notify()
	}
}

func (b *Broker) nextEvent() (next event, ok bool) {
	offer := func(at time.Time, name string, do func(at time.Time)) {
		if !ok || at.Before(next.at) || at.Equal(next.at) && name < next.name {
			next, ok = event{at, name, do}, true
		}
	}
	if b.held == 0 {
		for _, m := range b.markers {
			// Among equals the first decided stays: its name is not less.
			offer(m.due, "0", func(time.Time) { b.land(m) })
		}
	}
	for _, t := range b.ongoing {
		offer(t.started.Add(t.timeout), "1"+t.id, func(at time.Time) { b.timeOut(t, at) })
	}
	for name, g := range b.groups {
		if g.joining {
			offer(g.deadline, "2"+name, func(at time.Time) { g.endJoin(at) })
		}
		for _, m := range g.members {
			if !m.present {
				offer(m.expires, "3"+name+" "+m.id, func(at time.Time) { g.remove(m, at) })
			}
		}
	}
	return next, ok
}

// errClosed is what a handle says that was closed, or whose cluster was.
var errClosed = errors.New("mem: closed")

// await waits until ready, which is called under the lock when all that is due
// has happened; or until the time limit, if there is one. It fails when the
// context ends or the handle is closed.
func (b *Broker) await(ctx context.Context, h *handle, limit time.Time, ready func(now time.Time) bool) error {
	for {
		h.lock(ctx)
		if h.closed() {
			b.mu.Unlock()
			return errClosed
		}
		if err := ctx.Err(); err != nil {
			b.mu.Unlock()
			return err
		}
		now := b.opts.Clock.Now()
		next := b.advance(now)
		before := b.changed
		if ready(now) || !limit.IsZero() && !now.Before(limit) {
			b.mu.Unlock()
			return nil
		}
		changed := b.changed
		b.mu.Unlock()
		if changed != before {
			continue // by ready itself: next may be another
		}
		if next.IsZero() || !limit.IsZero() && limit.Before(next) {
			next = limit
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = b.opts.Clock.After(next.Sub(now))
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer:
		}
	}
}

// Truncate deletes the records of a partition before an offset, as retention
// does. An offset beyond the end is the end.
func (b *Broker) Truncate(tp record.TopicPartition, before int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.partition(tp); p != nil {
		p.start = min(max(p.start, before), p.end)
		b.notify()
	}
}

// Remake makes a topic again, empty and with another id, as somebody who deletes and
// creates it does.
func (b *Broker) Remake(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	for i := range b.topics[topic] {
		b.topics[topic][i] = newPartition()
	}
	b.ids[topic] = b.newID()
	b.notify()
}

// Grow gives a topic more partitions. The groups that read it notice at once.
func (b *Broker) Grow(topic string, partitions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opts.Clock.Now()
	b.advance(now)
	for len(b.topics[topic]) < partitions {
		b.topics[topic] = append(b.topics[topic], newPartition())
	}
	for _, name := range slices.Sorted(maps.Keys(b.groups)) {
		if g := b.groups[name]; slices.Contains(g.topics, topic) && len(g.members) > 0 && !g.joining {
			g.startJoin(now)
		}
	}
	b.notify()
}

// Delete deletes a topic, as somebody does who takes it for a left-over.
func (b *Broker) Delete(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	delete(b.topics, topic)
	delete(b.ids, topic)
	b.notify()
}

// newID returns the id of a topic that is made.
func (b *Broker) newID() (id [16]byte) {
	b.made++
	binary.BigEndian.PutUint64(id[8:], b.made)
	return id
}

// partition returns a partition, nil if it does not exist.
func (b *Broker) partition(tp record.TopicPartition) *partition {
	t := b.topics[tp.Topic]
	if tp.Partition < 0 || int(tp.Partition) >= len(t) {
		return nil
	}
	return t[tp.Partition]
}
