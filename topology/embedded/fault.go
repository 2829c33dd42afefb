package embedded

import (
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Loss says which half of a request is lost.
type Loss int

// The losses.
const (
	LoseNothing Loss = iota // the request is answered, with Code
	LoseRequest             // the connection is closed before the broker handles it
	LoseAnswer              // the broker handles it; the connection is closed before the answer
)

// A Fault makes matching requests fail. What is left zero matches everything; a
// field that a request does not carry does not match it.
type Fault struct {
	Request         Request
	TransactionalID string
	Group           string
	Topic           string  // only where a Code is answered
	Partitions      []int32 // only where a Code is answered
	Count           int     // requests that fail; 0: one; -1: until Remove

	// Code is answered instead of the request being handled; 0: it is handled, and
	// only counted. 7 (REQUEST_TIMED_OUT)
	// on Produce and TxnOffsetCommit, and 20 (NOT_ENOUGH_REPLICAS_AFTER_APPEND) on
	// Produce, are answered although it was handled, as a broker may.
	Code int16
	// Lose closes the connection instead of answering a Code.
	Lose Loss
}

// Injected is a fault that is in force.
type Injected struct {
	handle *kfake.FaultHandle // of a fault that answers a code; nil: a loss
	tap    *tap
	fault  Fault
	left   int // guarded by tap.mu; -1: until Remove
	hits   atomic.Int64
}

// Fault puts a fault into force. Faults are asked in the order of adding.
func (b *Broker) Fault(f Fault) *Injected {
	if f.Lose != LoseNothing {
		in := &Injected{tap: b.tap, fault: f, left: f.Count}
		if f.Count == 0 {
			in.left = 1
		}
		b.tap.mu.Lock()
		b.tap.losses = append(b.tap.losses, in)
		b.tap.mu.Unlock()
		return in
	}
	return &Injected{handle: b.cluster.Fault(kfake.Fault{
		Keys:       []kmsg.Key{kmsg.Key(f.Request)},
		Topic:      f.Topic,
		Partitions: f.Partitions,
		Group:      f.Group,
		TxnID:      f.TransactionalID,
		Err:        kerr.TypedErrorForCode(f.Code),
		Count:      f.Count,
		Observe:    f.Code == 0,
	})}
}

// Hits returns how many requests have failed by it.
func (in *Injected) Hits() int {
	if in.handle != nil {
		return in.handle.Hits()
	}
	return int(in.hits.Load())
}

// Remove ends the fault.
func (in *Injected) Remove() {
	if in.handle != nil {
		in.handle.Remove()
		return
	}
	in.tap.mu.Lock()
	in.left = 0
	in.tap.mu.Unlock()
}

// lose reports whether a loss matches, and takes one from its count.
func (t *tap) lose(e Event, r *request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losses = slices.DeleteFunc(t.losses, func(in *Injected) bool { return in.left == 0 })
	for _, in := range t.losses {
		f := in.fault
		if f.Request != e.Request || (f.Lose == LoseRequest) != (e.Moment == Received) ||
			f.TransactionalID != "" && f.TransactionalID != r.transactionalID ||
			f.Group != "" && !slices.Contains(r.groups, f.Group) {
			continue
		}
		if in.left > 0 {
			in.left--
		}
		in.hits.Add(1)
		return true
	}
	return false
}
