package mem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// A Request is a kind of request, by its number in the Kafka protocol.
type Request int16

// The requests.
const (
	Produce         Request = 0
	Fetch           Request = 1
	ListOffsets     Request = 2
	Metadata        Request = 3
	OffsetCommit    Request = 8
	OffsetFetch     Request = 9
	JoinGroup       Request = 11
	CreateTopics    Request = 19
	InitProducerID  Request = 22
	AddPartitions   Request = 24
	AddOffsets      Request = 25
	EndTxn          Request = 26
	TxnOffsetCommit Request = 28
	DescribeConfigs Request = 32
)

// String returns the name of the request.
func (r Request) String() string {
	switch r {
	case Produce:
		return "Produce"
	case Fetch:
		return "Fetch"
	case ListOffsets:
		return "ListOffsets"
	case Metadata:
		return "Metadata"
	case OffsetCommit:
		return "OffsetCommit"
	case OffsetFetch:
		return "OffsetFetch"
	case JoinGroup:
		return "JoinGroup"
	case CreateTopics:
		return "CreateTopics"
	case InitProducerID:
		return "InitProducerId"
	case AddPartitions:
		return "AddPartitionsToTxn"
	case AddOffsets:
		return "AddOffsetsToTxn"
	case EndTxn:
		return "EndTxn"
	case TxnOffsetCommit:
		return "TxnOffsetCommit"
	case DescribeConfigs:
		return "DescribeConfigs"
	default:
		return fmt.Sprintf("request %d", int16(r))
	}
}

// An Outcome says what becomes of a request that meets a fault.
type Outcome uint8

// The outcomes.
const (
	Answered    Outcome = iota // answered with the fault's code, not handled
	LostNever                  // no answer, never handled
	LostApplied                // no answer, handled at once
	LostLater                  // no answer, handled when the fault is removed
)

// A Fault is a misbehaviour towards requests of one kind, whoever sends them.
//
// Code 1 on a Fetch is ErrOffsetOutOfRange, code 2 an UndecodableError, both of
// the first position asked for.
type Fault struct {
	Request Request
	Code    int16 // for Answered
	Outcome Outcome
	Times   int    // so many requests meet it; 0: 1
	Met     func() // called for each that does, under the broker's lock; nil: nobody asks
}

// fault is an injected Fault that is not removed.
type fault struct {
	Fault
	wire []func(now time.Time) // LostLater: requests not handled yet
}

// Inject puts a fault in place. Of several that fit a request, the one injected
// first counts. remove takes the fault away, if it is not used up, and lets the
// broker handle what was LostLater, in order; calling it again does nothing.
func (b *Broker) Inject(f Fault) (remove func()) {
	f.Times = max(f.Times, 1)
	in := &fault{Fault: f}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, in)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		in.Times = 0
		now := b.opts.Clock.Now()
		b.advance(now)
		for _, handle := range in.wire {
			handle(now)
			b.advance(now)
		}
		in.wire = nil
		b.faults = slices.DeleteFunc(b.faults, func(f *fault) bool { return f == in })
		b.notify()
	}
}

// answer is what a client learns of one request.
type answer struct {
	code     code
	injected bool
	lost     bool
}

// answer lets a request meet the faults, or else the broker. It is called under
// the lock, when all that is due has happened.
func (b *Broker) answer(req Request, now time.Time, handle func(now time.Time) code) answer {
	for _, f := range b.faults {
		if f.Request != req || f.Times == 0 {
			continue
		}
		f.Times--
		if f.Met != nil {
			f.Met()
		}
		switch f.Outcome {
		case Answered:
			return answer{code: code(f.Code), injected: true}
		case LostApplied:
			handle(now)
			b.advance(now)
		case LostLater:
			f.wire = append(f.wire, func(now time.Time) { handle(now) })
		case LostNever:
		}
		return answer{lost: true}
	}
	a := answer{code: handle(now)}
	b.advance(now) // markers without delay land before the answer
	return a
}

// backoff is the wait between a passing answer that was injected and the next
// attempt. For others there is something that happens when they have passed.
const backoff = time.Millisecond

// send sends a request until the broker answers something that does not pass.
func (b *Broker) send(ctx context.Context, h *handle, req Request, handle func(now time.Time) code) (lost bool, err error) {
	for {
		var a answer
		var again time.Time
		err := b.await(ctx, h, time.Time{}, func(now time.Time) bool {
			a = b.answer(req, now, handle)
			again = now.Add(backoff)
			return a.lost || a.injected || !a.code.passes()
		})
		if err == nil && !a.lost && a.code.passes() {
			err = b.await(ctx, h, again, never)
		} else if err == nil {
			return a.lost, a.code.err(req)
		}
		if err != nil {
			return false, fmt.Errorf("mem: %s: %w", req, err)
		}
	}
}

func never(time.Time) bool { return false }

// write sends a request that changes something. Without an answer it gives up
// after a time, and does not know.
func (b *Broker) write(ctx context.Context, h *handle, req Request, timeout time.Duration, handle func(now time.Time) code) error {
	lost, err := b.send(ctx, h, req, handle)
	if !lost {
		return err
	}
	if err := b.await(ctx, h, b.opts.Clock.Now().Add(timeout), never); err != nil {
		return fmt.Errorf("mem: %s: %w: %w", req, kafka.ErrIndefinite, err)
	}
	return fmt.Errorf("mem: %s: no answer after %v: %w", req, timeout, kafka.ErrIndefinite)
}

// readTimeout is how long a request that only reads waits for its answer before
// it is sent again.
const readTimeout = time.Second

// ask sends a request that changes nothing, until it is answered.
func (b *Broker) ask(ctx context.Context, h *handle, req Request, handle func(now time.Time) code) error {
	for {
		lost, err := b.send(ctx, h, req, handle)
		if !lost {
			return err
		}
		if err := b.await(ctx, h, b.opts.Clock.Now().Add(readTimeout), never); err != nil {
			return fmt.Errorf("mem: %s: %w", req, err)
		}
	}
}
