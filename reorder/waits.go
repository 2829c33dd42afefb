package reorder

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/streamrun/streamrun/policies"
)

// waits estimates how long a hole is worth waiting for, from how long the holes of
// the past took to fill: the wait with the smallest expected cost, where a
// millisecond costs one and an event that is given up costs waitPrice times the
// longest wait. The survival of holes is the estimate of Kaplan and Meier, to which a
// hole that was given up says that it was open for so long, and not that it was
// filled then; counting the filled ones alone would bias the wait down exactly when
// events are lost. An event that comes for a hole that was given up says that the
// wait is too short: as in RACK (RFC 8985, 6.2) it multiplies the wait, once until the
// multiplied one fails too, and for waitClean holes in a row that are filled in time.
//
// It is state of the task and decides in whole numbers only, so that a replay waits
// as long on any machine. Nothing known: the longest wait.
type waits struct {
	least, most int64 // bounds, ms

	filled, open [waitBuckets]int32 // weights by the time that a hole was open
	total        int32
	factor       int32 // of the wait
	clean        int32 // holes filled in time since the factor grew; until one is given up by it, less waitClean

	wait    int64 // as it follows from the above
	changed bool  // since it was stored
}

const (
	waitWeight  = 256              // of one hole
	waitMemory  = 128 * waitWeight // at which all weights are halved
	waitFew     = 16 * waitWeight  // below which nothing is concluded
	waitPrice   = 4                // longest waits that an event is worth
	waitFactors = 1 << 20          // greatest factor: from 1 ms to any bound
	waitClean   = 16               // holes that end a factor
	waitOctave  = 8                // buckets for each doubling
	waitBuckets = waitOctave * 26  // to above 36 hours
)

// newWaits returns the estimator for a contract that asks for one, else nil.
func newWaits(c *policies.Contract) *waits {
	if !c.AutoWait || c.OrderBy != policies.BySequence {
		return nil
	}
	w := &waits{least: c.MinWait.Milliseconds(), most: min(c.MaxWait, waitLimit).Milliseconds(), factor: 1}
	w.estimate()
	w.changed = false
	return w
}

// waitLimit bounds the longest wait so that costs stay within 64 bits.
const waitLimit = 36 * time.Hour

// waitBound is the longest time, in ms, that a bucket stands for.
func waitBound(i int) int64 {
	if i < waitOctave {
		return int64(i)
	}
	return int64(waitOctave+i%waitOctave) << (i/waitOctave - 1)
}

// waitBucket is the first bucket whose bound is not below ms.
func waitBucket(ms int64) int {
	if ms < waitOctave {
		return int(max(ms, 0))
	}
	e := bits.Len64(uint64(ms)) - bits.Len(waitOctave)
	i := (e+1)*waitOctave + int(ms>>e) - waitOctave
	if waitBound(min(i, waitBuckets-1)) < ms {
		i++
	}
	return min(i, waitBuckets-1)
}

// holeWait is how long a hole is waited for that opens now.
func (s *Sequencer) holeWait() int64 {
	if s.auto == nil {
		return s.wait
	}
	return s.auto.wait
}

// filled tells the estimator of a head hole that is one no longer, since next has
// passed it or its event is tried again.
func (s *Sequencer) filled(next int64) {
	x := s.row.rare
	if s.auto == nil || x == nil || !x.hole.set {
		return
	}
	if x.hole.number != next || s.row.trying(next) != nil {
		s.auto.fill(minus(s.now, x.opened))
		x.hole = timer{}
	}
}

// gaveUp tells the estimator of the head hole that it is given up.
func (s *Sequencer) gaveUp() {
	x := s.row.rare
	if s.auto == nil || x == nil || !x.hole.set {
		return
	}
	s.auto.giveUp(minus(s.now, x.opened))
	x.hole = timer{}
}

// fill notes that a hole was filled in time, after ms.
func (w *waits) fill(ms int64) {
	if w.clean++; w.clean == 0 || w.clean >= waitClean {
		w.factor, w.clean = 1, 0
	}
	w.note(&w.filled[waitBucket(ms)])
}

// giveUp notes that a hole was given up after ms.
func (w *waits) giveUp(ms int64) {
	w.clean = max(w.clean, 0)
	w.note(&w.open[waitBucket(ms)])
}

// late notes an event that came for a hole that was given up.
func (w *waits) late() {
	if w.clean < 0 {
		return // it was given up by the wait that was multiplied already
	}
	w.factor, w.clean = min(2*w.factor, waitFactors), -waitClean
	w.estimate()
}

func (w *waits) note(weight *int32) {
	*weight += waitWeight
	if w.total += waitWeight; w.total > waitMemory {
		w.forget()
	}
	w.estimate()
}

// forget halves what is known, so that what was once true ends to count.
func (w *waits) forget() {
	w.total = 0
	for i := range w.filled {
		w.filled[i] /= 2
		w.open[i] /= 2
		w.total += w.filled[i] + w.open[i]
	}
}

// append appends the value of the row of waits.
func (w *waits) append(b []byte) []byte {
	b = append(b, formatVersion, byte(bits.TrailingZeros32(uint32(w.factor))), byte(int8(w.clean)))
	n := 0
	for i := range w.filled {
		if w.filled[i]+w.open[i] > 0 {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for i, before := 0, -1; i < waitBuckets; i++ {
		if w.filled[i]+w.open[i] > 0 {
			b = binary.AppendUvarint(b, uint64(i-before))
			b = binary.AppendUvarint(b, uint64(w.filled[i]))
			b = binary.AppendUvarint(b, uint64(w.open[i]))
			before = i
		}
	}
	return b
}

// read takes over what a row says; the bounds stay.
func (w *waits) read(in *reader) {
	in.version()
	factor, clean := in.byte(), int8(in.byte())
	in.check(int(factor) < bits.Len(waitFactors) && clean >= -waitClean && clean < waitClean)
	w.factor, w.clean = 1<<factor, int32(clean)
	n := in.uint()
	for i := -1; n > 0 && in.err == nil; n-- {
		step, filled, open := in.uint(), in.uint(), in.uint()
		in.check(step > 0 && step < uint64(waitBuckets-i) && filled+open > 0 && max(filled, open) <= waitMemory)
		if in.err != nil {
			return
		}
		i += int(step)
		w.filled[i], w.open[i] = int32(filled), int32(open)
		w.total += int32(filled + open)
		in.check(w.total <= waitMemory)
	}
	w.estimate()
	w.changed = false
}

// estimate sees to wait.
func (w *waits) estimate() {
	w.changed = true
	best := w.most
	if w.total >= waitFew {
		best = w.cheapest()
	}
	w.wait = min(max(best*int64(w.factor), w.least), w.most)
}

// cheapest returns the wait with the smallest expected cost.
func (w *waits) cheapest() int64 {
	const one = 1 << 20 // survival is a fraction of it
	var (
		price    = waitPrice * max(w.most, 1)
		survival = int64(one)
		atRisk   = int64(w.total)
		waited   int64 // expected, times one
		before   int64
		best     = w.most
		least    = int64(1<<63 - 1)
	)
	for i := range w.filled {
		bound := waitBound(i)
		if bound > w.most {
			break
		}
		waited += survival * (bound - before)
		before = bound
		filled := int64(w.filled[i])
		if filled > 0 || i == 0 {
			survival -= survival * filled / atRisk
			if cost := waited + price*survival; cost < least {
				best, least = bound, cost
			}
		}
		if atRisk -= filled + int64(w.open[i]); atRisk <= 0 {
			break
		}
	}
	return best
}
