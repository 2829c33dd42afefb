package mem

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// maxTxnTimeout is the longest transaction timeout that a broker accepts.
const maxTxnTimeout = 15 * time.Minute

type txnState uint8

const (
	idle      txnState = iota // nothing open; the producer is initialised
	ongoing                   // partitions or groups were added
	ending                    // decided; markers are to land
	committed                 // the last transaction was committed, its markers have landed
	aborted                   // ... aborted
)

// txn is what the transaction coordinator knows of one transactional id.
type txn struct {
	id         string
	pid        int64
	epoch      int16
	timeout    time.Duration
	state      txnState
	commit     bool // the decision, while ending
	started    time.Time
	partitions map[record.TopicPartition]bool
	groups     map[string]bool
	landing    int // markers that have not landed
}

// A Marker is the decision of one transaction on its way to one partition, or to
// the offsets of one group.
type Marker struct {
	TransactionalID string
	Commit          bool
	Partition       record.TopicPartition // if Group is empty
	Group           string
}

// marker is a Marker that has not landed.
type marker struct {
	Marker
	txn *txn
	due time.Time
}

// Markers returns the markers that have not landed, in the order in which they
// were decided, partitions before groups.
func (b *Broker) Markers() []Marker {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	var all []Marker
	for _, m := range b.markers {
		all = append(all, m.Marker)
	}
	return all
}

// Deliver lets one marker land now, held or not. It reports whether there was
// such a marker.
func (b *Broker) Deliver(want Marker) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	i := slices.IndexFunc(b.markers, func(m *marker) bool { return m.Marker == want })
	if i < 0 {
		return false
	}
	b.land(b.markers[i])
	b.notify()
	return true
}

// HoldMarkers keeps markers from landing by themselves until release is called;
// Deliver lands them. What was due meanwhile lands on release. Calling release
// again does nothing.
func (b *Broker) HoldMarkers() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	b.held++
	once := false
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if once {
			return
		}
		once = true
		b.held--
		b.advance(b.opts.Clock.Now())
		b.notify()
	}
}

// initProducer handles InitProducerId. The answer is in pid and epoch.
func (b *Broker) initProducer(id string, timeout time.Duration, now time.Time) (pid int64, epoch int16, c code) {
	if timeout > maxTxnTimeout {
		return 0, 0, invalidTxnTimeout
	}
	t := b.txns[id]
	switch {
	case t == nil:
		t = &txn{id: id, epoch: -1}
		t.pid = b.newPID()
		b.txns[id] = t
	case t.state == ongoing:
		t.epoch++ // fences the owner; a second epoch is taken when the markers have landed
		b.decide(t, false, now)
		return 0, 0, concurrentTransactions
	case t.state == ending:
		return 0, 0, concurrentTransactions
	}
	if t.epoch >= math.MaxInt16-2 {
		t.epoch = -1
		t.pid = b.newPID()
	}
	t.epoch++
	t.timeout = timeout
	t.state = idle
	return t.pid, t.epoch, 0
}

func (b *Broker) newPID() int64 {
	b.nextPID++
	return b.nextPID - 1
}

// known checks who sends a request to the coordinator.
func (b *Broker) known(id string, pid int64, epoch int16) (*txn, code) {
	t := b.txns[id]
	switch {
	case t == nil || t.pid != pid:
		return nil, invalidProducerIDMapping
	case t.epoch != epoch:
		return nil, producerFenced
	}
	return t, 0
}

// addToTxn handles AddPartitionsToTxn and AddOffsetsToTxn.
func (b *Broker) addToTxn(id string, pid int64, epoch int16, parts []record.TopicPartition, group string, now time.Time) code {
	t, c := b.known(id, pid, epoch)
	if c != 0 {
		return c
	}
	if t.state == ending {
		return concurrentTransactions
	}
	for _, tp := range parts {
		if b.partition(tp) == nil {
			return unknownTopicOrPartition
		}
	}
	if t.state != ongoing {
		t.state, t.started = ongoing, now
		b.ongoing = append(b.ongoing, t)
		t.partitions, t.groups = map[record.TopicPartition]bool{}, map[string]bool{}
	}
	for _, tp := range parts {
		t.partitions[tp] = true
	}
	if group != "" {
		t.groups[group] = true
	}
	return 0
}

// endTxn handles EndTxn.
func (b *Broker) endTxn(id string, pid int64, epoch int16, commit bool, now time.Time) code {
	t, c := b.known(id, pid, epoch)
	switch {
	case c != 0:
		return c
	case t.state == ongoing:
		b.decide(t, commit, now)
		return 0
	case t.state == ending && t.commit == commit:
		return concurrentTransactions
	case t.state == committed && commit, t.state == aborted && !commit:
		return 0
	}
	return invalidTxnState
}

// timeOut aborts a transaction that is older than its timeout, and fences its
// producer.
func (b *Broker) timeOut(t *txn, at time.Time) {
	t.epoch++
	b.decide(t, false, at)
}

// decide ends the transaction and sends its markers on their way.
func (b *Broker) decide(t *txn, commit bool, now time.Time) {
	b.ongoing = slices.DeleteFunc(b.ongoing, func(o *txn) bool { return o == t })
	t.state, t.commit = ending, commit
	send := func(m Marker) {
		m.TransactionalID, m.Commit = t.id, commit
		due := now
		if d := b.opts.MarkerDelay; d > 0 {
			due = now.Add(b.delay(t, m, d))
		}
		b.markers = append(b.markers, &marker{m, t, due})
		t.landing++
	}
	for _, tp := range sorted(slices.Collect(maps.Keys(t.partitions))) {
		send(Marker{Partition: tp})
	}
	for _, g := range slices.Sorted(maps.Keys(t.groups)) {
		send(Marker{Group: g})
	}
	b.notify()
}

// delay draws the time from the decision to a marker. It depends on nothing but the
// seed and the marker, so it is the same whichever of several transactions that end
// at one time comes first.
func (b *Broker) delay(t *txn, m Marker, longest time.Duration) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, t.pid, t.epoch, m.Partition, m.Group)
	return time.Duration(rand.New(rand.NewPCG(b.opts.Seed, h.Sum64())).Int64N(int64(longest) + 1))
}

// land lets a marker take effect where it belongs.
func (b *Broker) land(m *marker) {
	b.markers = slices.DeleteFunc(b.markers, func(o *marker) bool { return o == m })
	t := m.txn
	if m.Group != "" {
		b.group(m.Group).offsets.mark(t.pid, t.epoch, m.Commit)
	} else {
		b.partition(m.Partition).mark(t.pid, t.epoch, m.Commit)
	}
	t.landing--
	if t.landing == 0 {
		t.state = aborted
		if m.Commit {
			t.state = committed
		}
	}
}

// mayWrite is what a partition, or a group's offsets, asks before it takes
// something of a transaction: open says whether it holds something of the
// producer that is not decided, last is the greatest epoch it has seen of it.
func (b *Broker) mayWrite(id string, pid int64, epoch int16, open bool, last int16, added func(t *txn) bool) code {
	if open {
		// It does not ask the coordinator again; a marker is still to come.
		if epoch < last {
			return invalidProducerEpoch
		}
		return 0
	}
	t := b.txns[id]
	switch {
	case t == nil || t.pid != pid:
		return invalidProducerIDMapping
	case epoch < t.epoch:
		return invalidProducerEpoch
	case t.state != ongoing || !added(t):
		return invalidTxnState
	}
	return 0
}

// sorted returns the partitions by topic and number.
func sorted(parts []record.TopicPartition) []record.TopicPartition {
	slices.SortFunc(parts, func(a, b record.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return parts
}
