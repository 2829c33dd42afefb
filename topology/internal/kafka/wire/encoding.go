package wire

import (
	"sync"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

const (
	// turnRecords is how many outputs of each slice are put into batches at once: enough
	// that the batches of one partition are in few requests with those of others, since a
	// broker sees to the requests of a connection one after the other.
	turnRecords = 4 * batchRecords
	// poolBytes bounds what is kept of batches that were acknowledged, aheadBytes what is
	// encoded ahead: about what the largest transaction of small records has.
	poolBytes  = 64 << 20
	aheadBytes = 64 << 20
)

// An encoding implements kafka.Encoding: batches that are filled from each slice of
// outputs in turn, so that a request has something for many partitions.
type encoding struct {
	pool    *pool
	outputs [][]record.Output
	from    int // of each slice, all before it is in batches
	longest int
	trays   []*tray // in the order of first use
	of      map[record.TopicPartition]*tray
	ahead   int // bytes of the batches that are full
}

// A tray has the batches of a partition that were not produced yet.
type tray struct {
	record.TopicPartition
	open   *batch
	sealed []*batch
	then   *tray // what was written to behind it, when last looked at
}

func (s *tray) is(o *record.Output) bool { return s.Partition == o.Partition && s.Topic == o.Topic }

// Encode implements kafka.Producer.
func (p *producer) Encode(outputs ...[]record.Output) kafka.Encoding {
	e := &encoding{pool: &p.free, outputs: outputs, of: map[record.TopicPartition]*tray{}}
	for _, slice := range outputs {
		e.longest = max(e.longest, len(slice))
		var s *tray
		for i := range slice {
			s = e.trayOf(&slice[i], s)
		}
	}
	return e
}

// More implements kafka.Encoding. It stops where encoding ahead would take more memory
// than batches that are sent as soon as they are full.
func (e *encoding) More() bool { return e.turn() && e.ahead < aheadBytes }

// turn puts some of each slice into batches; false: everything is in them.
func (e *encoding) turn() bool {
	for _, slice := range e.outputs {
		e.fill(slice[min(e.from, len(slice)):min(e.from+turnRecords, len(slice))])
	}
	if e.from += turnRecords; e.from < e.longest {
		return true
	}
	for _, s := range e.trays {
		e.seal(s)
	}
	e.outputs = nil
	return false
}

// fill puts outputs into the batches of their partitions.
func (e *encoding) fill(outputs []record.Output) {
	var s *tray
	for i := range outputs {
		o := &outputs[i]
		s = e.trayOf(o, s)
		if s.open != nil && !s.open.takes(o) {
			e.seal(s)
		}
		if s.open == nil {
			s.open = e.pool.get()
		}
		if s.open.add(o); s.open.n == batchRecords {
			e.seal(s)
		}
	}
}

// seal ends the batch that is being filled.
func (e *encoding) seal(s *tray) {
	if s.open != nil {
		e.ahead += len(s.open.raw)
		s.sealed, s.open = append(s.sealed, s.open), nil
	}
}

// trayOf returns the tray of an output. What is written in turn to the same few
// partitions is found behind the last one, without a lookup.
func (e *encoding) trayOf(o *record.Output, last *tray) *tray {
	if last == nil {
		return e.tray(o)
	}
	if last.is(o) {
		return last
	}
	if last.then == nil || !last.then.is(o) {
		last.then = e.tray(o)
	}
	return last.then
}

func (e *encoding) tray(o *record.Output) *tray {
	s := e.of[o.TopicPartition]
	if s == nil {
		s = &tray{TopicPartition: o.TopicPartition}
		e.of[o.TopicPartition] = s
		e.trays = append(e.trays, s)
	}
	return s
}

// A pool keeps batches for other records. It is safe for concurrent use.
type pool struct {
	mu    sync.Mutex
	free  []*batch
	bytes int
}

// get returns an empty batch.
func (p *pool) get() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return &batch{}
	}
	b := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	p.bytes -= cap(b.raw)
	return b
}

// put gives batches back, unless there are enough or they have grown large.
func (p *pool) put(batches []*batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range batches {
		if cap(b.raw) <= 2*batchBytes && p.bytes+cap(b.raw) <= poolBytes {
			b.clear()
			p.free = append(p.free, b)
			p.bytes += cap(b.raw)
		}
	}
}
