//go:build linux

package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/embedded"
)

// Every row that writes totals writes one for each event, in the order of its key, the
// floor too: it is no floor if it leaves work out.
func TestRowsDoTheWholeJob(t *testing.T) {
	t.Parallel()
	const keys, records = 50, 2000
	events := newStream(keys, 1, true)
	b, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	addr := b.Addrs()[0]
	admin, err := sarama.NewClusterAdmin([]string{addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	if err := createTopic(addr, admin, "input", partitions, nil); err != nil {
		t.Fatal(err)
	}
	if err := fill(addr, "input", newStream(keys, 1, true), records); err != nil {
		t.Fatal(err)
	}
	want := map[string]total{}
	for range records {
		key, e := events.next()
		t := want[string(appendKey(nil, key))].add(e)
		t.created = 0
		want[string(appendKey(nil, key))] = t
	}
	for _, r := range rows() {
		if r.other {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			j := job{broker: addr, input: "input", prefix: r.name, workers: 1, interval: 10 * time.Millisecond, fail: func(err error) { t.Error(err) }}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- r.run(ctx, j, newMeter(0, records)) }()
			got, n := map[string]total{}, 0
			if err := readCommitted(ctx, addr, j.output(), func(key, value []byte, _ time.Time) bool {
				v, err := decodeTotal(value)
				v.created = 0
				if before := got[string(key)]; err != nil || v.count != before.count+1 || v.last != v.count {
					t.Errorf("%s: %+v after %+v, %v", key, v, before, err)
				}
				got[string(key)] = v
				n++
				return n < records
			}); err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(total{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTheTableSaysWhichBarsWereMissed(t *testing.T) {
	t.Parallel()
	o := &options{records: 1, rounds: 3, interval: time.Second}
	results := func(ours ...float64) (all []result) {
		for _, cpu := range ours {
			all = append(all, result{row: "floor", measure: measure{CPU: 1000}}, result{row: "streamrun", measure: measure{CPU: cpu, Mallocs: 0.4, Waiting: -1}})
		}
		return all
	}
	for _, c := range []struct {
		results []result
		missed  bool
		line    string
	}{
		{results(1500, 9000, 1600), false, "kept    streamrun / floor: 1.600 (1.500 to 9.000), at most 1.600"},
		{results(1500, 9000, 1601), true, "MISSED  streamrun / floor: 1.601 (1.500 to 9.000), at most 1.600"},
	} {
		var out bytes.Buffer
		table := newTable(&out, o)
		table.add(c.results)
		if table.missed != c.missed || !slices.Contains(strings.Split(out.String(), "\n"), c.line) {
			t.Errorf("missed %v, want %v with %q in\n%s", table.missed, c.missed, c.line, out.String())
		}
	}
	var out bytes.Buffer
	table := newTable(&out, &options{rounds: 1, interval: 100 * time.Millisecond, latency: true})
	at := func(row string, p99 time.Duration) result {
		return result{row: row, latency: latency{events: 1, p50: p99 / 2, p99: p99}}
	}
	table.add([]result{at("floor", 100*time.Millisecond), at("streamrun", 130*time.Millisecond)})
	if table.missed {
		t.Errorf("the bar of latency is missed in\n%s", out.String())
	}
	if table.add([]result{at("floor", 100*time.Millisecond), at("streamrun", 131*time.Millisecond)}); !table.missed {
		t.Errorf("the bar of latency is kept in\n%s", out.String())
	}
	auto := func(p50, p99 time.Duration) bool {
		out.Reset()
		table := newTable(&out, &options{rounds: 3, interval: 100 * time.Millisecond, latency: true})
		var results []result
		for _, slow := range []time.Duration{1, 3, 2} { // the machine, round by round
			floor := latency{events: 1, p50: 30 * slow * time.Millisecond, p99: 60 * slow * time.Millisecond}
			results = append(results, result{row: "floor-auto", latency: floor}, result{row: "streamrun-auto", latency: latency{events: 1, p50: p50 * slow, p99: p99 * slow}})
		}
		table.add(results)
		return table.missed
	}
	for _, c := range []struct {
		p50, p99 time.Duration
		missed   bool
	}{{33, 66, false}, {34, 66, true}, {33, 67, true}} {
		if missed := auto(c.p50*time.Millisecond, c.p99*time.Millisecond); missed != c.missed {
			t.Errorf("p50 %d ms, p99 %d ms: missed %v in\n%s", c.p50, c.p99, missed, out.String())
		}
	}
}
