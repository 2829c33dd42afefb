//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// A result is one measurement.
type result struct {
	broker  string
	keys    int
	row     string
	measure measure
	latency latency
}

// String says it in one line.
func (r result) String() string {
	if r.latency.events > 0 {
		return fmt.Sprintf("%-16s p50 %v p99 %v max %v, %d events", r.row, r.latency.p50, r.latency.p99, r.latency.max, r.latency.events)
	}
	return fmt.Sprintf("%-16s %7.0f records/s  %6.0f ns  %5.2f allocs", r.row, r.measure.Rate, r.measure.CPU, r.measure.Mallocs)
}

// A table prints what was measured, and which bars were missed.
type table struct {
	out    io.Writer
	o      *options
	missed bool
}

func newTable(out io.Writer, o *options) *table { return &table{out: out, o: o} }

// A bar is what a ratio, or a number, must not exceed.
type bar struct {
	row, against string // against "": the number itself
	what         string // cpu, mallocs, waiting
	at           func(keys int) float64
}

func bars() []bar {
	always := func(limit float64) func(int) float64 { return func(int) float64 { return limit } }
	return []bar{
		{"streamrun", "floor", "cpu", func(keys int) float64 {
			if keys > 100_000 {
				return 1.7
			}
			return 1.6
		}},
		{"streamrun", "streamrun-least", "cpu", always(1.15)},
		{"streamrun", "goka-leveldb", "cpu", always(1.0 / 6)},
		{"streamrun", "", "mallocs", always(0.5)},
		{"streamrun", "", "waiting", always(0.05)},
		{"streamrun-badger", "floor", "cpu", always(2.2)},
		{"streamrun-copy", "floor-copy", "cpu", always(1.3)},
		{"streamrun-copy", "", "mallocs", always(0.5)},
	}
}

// add prints the results of one broker and number of keys.
func (t *table) add(results []result) {
	if len(results) == 0 {
		return
	}
	first := results[0]
	if t.o.latency {
		t.latencies(results)
		return
	}
	fmt.Fprintf(t.out, "\n%s broker, %d keys, %s, %d records of %d bytes, %d partitions, commits each %v, %d rounds\n",
		first.broker, first.keys, drawn(t.o.zipf), t.o.records, valueBytes, partitions, t.o.interval, t.o.rounds)
	fmt.Fprintf(t.out, "%-16s %9s %9s %8s %8s %8s  %s\n", "row", "records/s", "CPU ns", "allocs", "B alloc", "B sent", "CPU / floor (spread)")
	for _, r := range rows() {
		some := of(results, r.name)
		if len(some) == 0 {
			continue
		}
		floor := "floor"
		if r.name == "streamrun-copy" || r.name == "floor-copy" {
			floor = "floor-copy"
		}
		fmt.Fprintf(t.out, "%-16s %9.0f %9.0f %8.3f %8.0f %8.0f  %s\n", r.name,
			middle(some, func(m measure) float64 { return m.Rate }), middle(some, func(m measure) float64 { return m.CPU }),
			middle(some, func(m measure) float64 { return m.Mallocs }), middle(some, func(m measure) float64 { return m.Alloc }),
			middle(some, func(m measure) float64 { return m.Written }), spread(ratios(some, of(results, floor))))
	}
	for _, b := range bars() {
		t.judge(b, results)
	}
}

// drawn says how keys are drawn.
func drawn(zipf bool) string {
	if zipf {
		return "by Zipf's law"
	}
	return "all alike"
}

// judge prints whether a bar was kept.
func (t *table) judge(b bar, results []result) {
	some := of(results, b.row)
	limit := b.at(results[0].keys)
	var values []float64
	name := b.what + " of " + b.row
	switch {
	case len(some) == 0:
		return
	case b.against != "":
		values = ratios(some, of(results, b.against))
		name = b.row + " / " + b.against
	case b.what == "mallocs":
		values = each(some, func(m measure) float64 { return m.Mallocs })
	default:
		values = each(some, func(m measure) float64 { return m.Waiting })
	}
	if len(values) == 0 || values[0] < 0 {
		return
	}
	fmt.Fprintf(t.out, "%-7s %s: %s, at most %.3f\n", t.verdict(median(values), limit), name, spread(values), limit)
}

// verdict notes whether a bar was kept.
func (t *table) verdict(value, limit float64) string {
	if value > limit {
		t.missed = true
		return "MISSED"
	}
	return "kept"
}

func of(results []result, row string) (some []result) {
	for _, r := range results {
		if r.row == row {
			some = append(some, r)
		}
	}
	return some
}

func each(results []result, f func(measure) float64) (values []float64) {
	for _, r := range results {
		values = append(values, f(r.measure))
	}
	return values
}

func middle(results []result, f func(measure) float64) float64 { return median(each(results, f)) }

// ratios returns the ratios of CPU, round by round.
func ratios(some, against []result) []float64 {
	cpu := func(m measure) float64 { return m.CPU }
	return quotients(each(some, cpu), each(against, cpu))
}

// quotients divides values by others, round by round.
func quotients(some, by []float64) (values []float64) {
	for i := range min(len(some), len(by)) {
		values = append(values, some[i]/by[i])
	}
	return values
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// spread prints the median, the least and the greatest of values.
func spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", median(values), slices.Min(values), slices.Max(values))
}

// latencies prints what an event waited for its output to be committed.
func (t *table) latencies(results []result) {
	fmt.Fprintf(t.out, "\n%s broker, %d keys, %d events/s for %d s, commits each %v, %d rounds\n",
		results[0].broker, results[0].keys, t.o.rate, t.o.seconds, t.o.interval, t.o.rounds)
	fmt.Fprintf(t.out, "%-16s %9s %6s  %s\n", "row", "CPU ns", "idle", "p50 ms (spread), p99 ms (spread)")
	for _, r := range rows() {
		if some := of(results, r.name); len(some) > 0 {
			var idle []float64
			for _, r := range some {
				idle = append(idle, r.latency.idle)
			}
			fmt.Fprintf(t.out, "%-16s %9.0f %5.0f%%  %s, %s\n", r.name, middle(some, func(m measure) float64 { return m.CPU }), 100*median(idle),
				spread(milliseconds(some, p50)), spread(milliseconds(some, p99)))
		}
	}
	if ours, floor := milliseconds(of(results, "streamrun"), p99), milliseconds(of(results, "floor"), p99); len(ours) > 0 && len(floor) > 0 {
		limit := max(float64(t.o.interval.Milliseconds()+30), 1.1*median(floor))
		fmt.Fprintf(t.out, "%-7s p99 of streamrun: %.1f ms, at most %.1f\n", t.verdict(median(ours), limit), median(ours), limit)
	}
	for _, b := range bars() {
		if b.what == "waiting" {
			t.judge(b, results)
		}
	}
	ours, floor := of(results, "streamrun-auto"), of(results, "floor-auto")
	for _, q := range []struct {
		name string
		of   func(latency) time.Duration
	}{{"p50", p50}, {"p99", p99}} {
		if of := quotients(milliseconds(ours, q.of), milliseconds(floor, q.of)); len(of) > 0 {
			fmt.Fprintf(t.out, "%-7s %s of streamrun-auto / floor-auto: %s, at most %.3f\n", t.verdict(median(of), 1.1), q.name, spread(of), 1.1)
		}
	}
}

func p50(l latency) time.Duration { return l.p50 }
func p99(l latency) time.Duration { return l.p99 }

func milliseconds(some []result, f func(latency) time.Duration) (values []float64) {
	for _, r := range some {
		values = append(values, float64(f(r.latency).Microseconds())/1000)
	}
	return values
}
