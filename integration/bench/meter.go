//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A meter measures its process from the record after the warm-up to the last one. It
// is safe for concurrent use.
type meter struct {
	warm, last int64 // records
	seen       atomic.Int64
	begin, end sample
	began      chan struct{} // closed when the warm-up is over
	done       chan struct{} // closed at the last record
	made       time.Time     // just before the row was started

	waits func() time.Duration // how long commits have kept workers waiting; nil: nobody tells
}

// A sample is what the process has used.
type sample struct {
	at      time.Time
	cpu     time.Duration
	mallocs uint64
	bytes   uint64 // allocated
	written int64
	waited  time.Duration
}

func newMeter(warm, records int) *meter {
	return &meter{warm: int64(warm), last: int64(warm + records), began: make(chan struct{}), done: make(chan struct{}), made: time.Now()}
}

// add says that so many more records were taken.
func (m *meter) add(n int) {
	after := m.seen.Add(int64(n))
	before := after - int64(n)
	if before < m.warm && after >= m.warm {
		m.start()
	}
	if before < m.last && after >= m.last {
		m.end = m.take()
		close(m.done)
	}
}

// start begins a measurement that ends with finish, not with a number of records.
func (m *meter) start() {
	m.begin = m.take()
	close(m.began)
}

// finish ends the measurement of so many records.
func (m *meter) finish(records int64) {
	m.warm, m.last, m.end = 0, records, m.take()
	close(m.done)
}

func (m *meter) take() sample {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other fault than wrong arguments
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	waited := time.Duration(-1)
	if m.waits != nil {
		waited = m.waits()
	}
	return sample{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano()), s.Mallocs, s.TotalAlloc, written(), waited}
}

// written returns the bytes that the process has written to sockets and files.
func written() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	var read, wrote int64
	if _, err := fmt.Sscanf(string(b), "rchar: %d\nwchar: %d", &read, &wrote); err != nil {
		return 0
	}
	return wrote
}

// A measure is what one record cost.
type measure struct {
	Records int64   `json:"records"`
	Rate    float64 `json:"rate"`    // records a second
	CPU     float64 `json:"cpu"`     // nanoseconds
	Mallocs float64 `json:"mallocs"` // a record
	Alloc   float64 `json:"alloc"`   // bytes allocated
	Written float64 `json:"written"` // bytes written
	Waiting float64 `json:"waiting"` // share of the wall time in which a commit kept a worker waiting; -1: not told
	Before  float64 `json:"before"`  // seconds from the start of the row to the measurement
}

func (m *meter) measure(workers int) measure {
	n := float64(max(m.last-m.warm, 1))
	wall := m.end.at.Sub(m.begin.at).Seconds()
	out := measure{
		Records: m.last - m.warm,
		Rate:    n / wall, CPU: float64(m.end.cpu-m.begin.cpu) / n,
		Mallocs: float64(m.end.mallocs-m.begin.mallocs) / n, Alloc: float64(m.end.bytes-m.begin.bytes) / n,
		Written: float64(m.end.written-m.begin.written) / n, Waiting: -1,
		Before: m.begin.at.Sub(m.made).Seconds(),
	}
	if m.waits != nil {
		out.Waiting = (m.end.waited - m.begin.waited).Seconds() / wall / float64(workers)
	}
	return out
}
