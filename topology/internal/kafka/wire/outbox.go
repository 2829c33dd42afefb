package wire

import (
	"slices"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// An outbox is what is to be written to one partition: the batches that are not
// acknowledged, in order, some of them on the way.
type outbox struct {
	record.TopicPartition
	next    int32    // sequence of the next batch
	queue   []*batch // not acknowledged, by sequence
	sent    int      // queue[:sent] were sent and not taken back
	flying  int      // requests with a batch of this partition that are not answered
	limit   int      // bytes of a batch
	refused bool     // send nothing until all in flight are answered, then send again from the first
	added   bool     // the partition is in the transaction
	last    bool     // the last transaction wrote to it
	known   bool     // the broker has a sequence of this epoch
	first   int64    // offset of the first record acknowledged in the transaction; -1: none
}

// enqueue numbers a batch and puts it behind the others.
func (o *outbox) enqueue(b *batch) {
	b.sequence = o.next
	o.next = after(o.next, b.n)
	o.queue = append(o.queue, b)
}

// ready returns the batch to be sent next, if one may be sent now.
func (o *outbox) ready() *batch {
	if o.refused {
		if o.flying > 0 {
			return nil
		}
		// Everything has been answered: what was not acknowledged goes again, in order.
		o.sent, o.refused = 0, false
	}
	for o.sent < len(o.queue) && o.queue[o.sent].done {
		o.sent++
	}
	if o.sent == len(o.queue) {
		return nil
	}
	// A broker takes any first sequence from a producer that it does not know. Were
	// the second batch in flight too, and the first refused by a leader that is leader
	// again when the second comes, the first would be lost.
	if !o.known && o.flying > 0 {
		return nil
	}
	b := o.queue[o.sent]
	for b.size > o.limit && b.n > 1 && b.deadline.IsZero() { // never sent: nobody knows its numbers
		o.halve(b)
	}
	return b
}

// acknowledge notes that a batch is in the log, at offset (-1: not told), and
// returns the batches that are done with.
func (o *outbox) acknowledge(b *batch, offset int64) []*batch {
	b.done, o.known = true, true
	if offset >= 0 && (o.first < 0 || offset < o.first) {
		o.first = offset
	}
	n := 0
	for n < len(o.queue) && o.queue[n].done {
		n++
	}
	free := slices.Clone(o.queue[:n])
	o.queue = slices.Delete(o.queue, 0, n)
	o.sent = max(o.sent-n, 0)
	return free
}

// split makes two batches of one that its topic takes only in smaller ones; so will
// the next ones be.
func (o *outbox) split(b *batch) {
	second := o.halve(b)
	o.limit = min(o.limit, max(b.size, second.size))
}

// halve makes two batches of one.
func (o *outbox) halve(b *batch) (second *batch) {
	second = b.split()
	o.queue = slices.Insert(o.queue, slices.Index(o.queue, b)+1, second)
	return second
}

// early reports whether a batch in front of b is not acknowledged: then the broker
// must refuse b as out of order, and b goes again behind it.
func (o *outbox) early(b *batch) bool {
	for _, q := range o.queue {
		if q == b {
			return false
		}
		if !q.done {
			return true
		}
	}
	return false
}

// discard drops what is not acknowledged. It reports whether the broker may have
// taken some of it; if not, the sequences of the dropped batches are free again.
func (o *outbox) discard() (maybe bool) {
	for i, b := range o.queue {
		if b.lost {
			maybe = true
		}
		if i == 0 {
			o.next = b.sequence
		}
	}
	o.queue, o.sent, o.refused = nil, 0, false
	return maybe
}
