package mem

import (
	"sort"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// partition is one log. A control record takes an offset and nothing else.
type partition struct {
	start, end int64
	records    []record.Record // data records in offset order; append only
	runs       []run           // what was appended at once, in offset order
	open       map[int64][]int // undecided runs by producer id
	epochs     map[int64]int16 // greatest epoch seen by producer id
}

func newPartition() *partition {
	return &partition{open: map[int64][]int{}, epochs: map[int64]int16{}}
}

// run is records that one producer appended at once. Their offsets have no gaps.
type run struct {
	first   int64
	lo, hi  int // in partition.records
	aborted bool
}

// next returns the offset behind the run.
func (r run) next() int64 { return r.first + int64(r.hi-r.lo) }

// behind returns the offset behind the run that an offset is in, or 0.
func (p *partition) behind(at int64) int64 {
	i := sort.Search(len(p.runs), func(i int) bool { return p.runs[i].next() > at })
	if i < len(p.runs) && p.runs[i].first <= at {
		return p.runs[i].next()
	}
	return 0
}

// appendOpen adds records of a transaction and returns the offset of the first.
func (p *partition) appendOpen(pid int64, epoch int16, records []record.Record) int64 {
	p.open[pid] = append(p.open[pid], len(p.runs))
	p.epochs[pid] = epoch
	return p.append(records)
}

// append adds records and returns the offset of the first.
func (p *partition) append(records []record.Record) int64 {
	first := p.end
	r := run{first: first, lo: len(p.records)}
	for _, rec := range records {
		rec.Offset = p.end
		p.end++
		p.records = append(p.records, rec)
	}
	r.hi = len(p.records)
	p.runs = append(p.runs, r)
	return first
}

// mark appends the control record that decides the producer's open runs.
func (p *partition) mark(pid int64, epoch int16, commit bool) {
	for _, i := range p.open[pid] {
		p.runs[i].aborted = !commit
	}
	delete(p.open, pid)
	p.epochs[pid] = epoch
	p.end++
}

// lastStable returns the first undecided offset, or the end.
func (p *partition) lastStable() int64 {
	stable := p.end
	for _, runs := range p.open {
		stable = min(stable, p.runs[runs[0]].first)
	}
	return stable
}

// read returns the records from an offset on that lie together in the log, up
// to a number of bytes but at least one, and the position behind them.
func (p *partition) read(at int64, uncommitted bool, budget int) (records []record.Record, next int64, bytes int) {
	limit := p.end
	if !uncommitted {
		limit = p.lastStable()
	}
	i := sort.Search(len(p.runs), func(i int) bool { return p.runs[i].next() > at })
	// Runs below the limit lie below it whole, since a limit is where a run starts.
	seen := func(i int) bool { return i < len(p.runs) && p.runs[i].first < limit }
	skip := func() {
		for seen(i) && p.runs[i].aborted && !uncommitted {
			i++
		}
	}
	skip()
	lo, hi := 0, 0
	for first := true; seen(i) && (first || p.runs[i].lo == hi); i++ {
		r := p.runs[i]
		if r.aborted && !uncommitted {
			break // what follows it does not lie together with what was read
		}
		if first {
			lo = r.lo + int(max(at-r.first, 0))
			hi = lo
			first = false
		}
		for ; hi < r.hi; hi++ {
			size := len(p.records[hi].Key) + len(p.records[hi].Value)
			if hi > lo && bytes+size > budget {
				return p.records[lo:hi:hi], p.records[hi-1].Offset + 1, bytes
			}
			bytes += size
		}
	}
	skip()
	next = max(limit, at)
	if seen(i) {
		next = p.runs[i].first
	}
	return p.records[lo:hi:hi], next, bytes
}
