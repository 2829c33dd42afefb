package mem

import (
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// maxOffsetMetadata is the most metadata that a broker keeps with an offset.
const maxOffsetMetadata = 4096

// offsets is what a group has committed, and what is pending in transactions.
type offsets struct {
	committed map[record.TopicPartition]kafka.CommittedOffset
	pending   map[int64]map[record.TopicPartition]kafka.CommittedOffset // by producer id
	epochs    map[int64]int16                                           // greatest epoch seen by producer id
}

func newOffsets() offsets {
	return offsets{
		committed: map[record.TopicPartition]kafka.CommittedOffset{},
		pending:   map[int64]map[record.TopicPartition]kafka.CommittedOffset{},
		epochs:    map[int64]int16{},
	}
}

// add makes offsets pending.
func (o *offsets) add(pid int64, epoch int16, commits []kafka.CommittedOffset) {
	p := o.pending[pid]
	if p == nil {
		p = map[record.TopicPartition]kafka.CommittedOffset{}
		o.pending[pid] = p
	}
	for _, c := range commits {
		p[c.TopicPartition] = c
	}
	o.epochs[pid] = epoch
}

// mark decides what the producer has pending.
func (o *offsets) mark(pid int64, epoch int16, commit bool) {
	if commit {
		for tp, c := range o.pending[pid] {
			o.committed[tp] = c
		}
	}
	delete(o.pending, pid)
	o.epochs[pid] = epoch
}

// read returns the committed offsets; if stable is set, only when nothing of
// them is pending.
func (o *offsets) read(parts []record.TopicPartition, stable bool) (map[record.TopicPartition]kafka.CommittedOffset, code) {
	got := make(map[record.TopicPartition]kafka.CommittedOffset, len(parts))
	for _, tp := range parts {
		if stable {
			for _, p := range o.pending {
				if _, is := p[tp]; is {
					return nil, unstableOffsetCommit
				}
			}
		}
		c, is := o.committed[tp]
		if !is {
			c = kafka.CommittedOffset{TopicPartition: tp, Offset: -1}
		}
		got[tp] = c
	}
	return got, 0
}

// commitOffsets handles TxnOffsetCommit.
func (b *Broker) commitOffsets(id string, pid int64, epoch int16, name string, member kafka.Member, commits []kafka.CommittedOffset) code {
	g := b.group(name)
	_, open := g.offsets.pending[pid]
	if c := b.mayWrite(id, pid, epoch, open, g.offsets.epochs[pid], func(t *txn) bool { return t.groups[name] }); c != 0 {
		return c
	}
	if c := b.mayKeep(g, member, commits); c != 0 {
		return c
	}
	g.offsets.add(pid, epoch, commits)
	b.notify()
	return 0
}

// commitPlain handles OffsetCommit.
func (b *Broker) commitPlain(name string, member kafka.Member, commits []kafka.CommittedOffset) code {
	g := b.group(name)
	if c := b.mayKeep(g, member, commits); c != 0 {
		return c
	}
	for _, o := range commits {
		g.offsets.committed[o.TopicPartition] = o
	}
	b.notify()
	return 0
}

// mayKeep checks who commits offsets, and what they are.
func (b *Broker) mayKeep(g *group, member kafka.Member, commits []kafka.CommittedOffset) code {
	if c := g.mayCommit(member); c != 0 {
		return c
	}
	for _, o := range commits {
		if len(o.Metadata) > maxOffsetMetadata {
			return offsetMetadataTooLarge
		}
		if b.partition(o.TopicPartition) == nil {
			return unknownTopicOrPartition
		}
	}
	return 0
}
