//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestWorkloadDeliversEveryEvent(t *testing.T) {
	t.Parallel()
	const events = 20_000
	deliveries := func(seed uint64) (all []event) {
		w := newWorkload(seed, events)
		for e, ok := w.next(); ok; e, ok = w.next() {
			all = append(all, e)
		}
		return all
	}
	all := deliveries(3)
	seen, last, swapped := map[string]map[int64]bool{}, map[string]int64{}, 0
	for _, e := range all {
		n, err := sequenceOf(e.value)
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.entity] == nil {
			seen[e.entity] = map[int64]bool{}
		}
		if n < last[e.entity] {
			swapped++
		}
		seen[e.entity][n], last[e.entity] = true, n
	}
	different := 0
	for entity, of := range seen {
		different += len(of)
		for n := range int64(len(of)) {
			if !of[n+1] {
				t.Errorf("%s has %d events, but not number %d", entity, len(of), n+1)
			}
		}
	}
	if copies := len(all) - different; different != events || copies < events/40 || copies > events/10 || swapped < events/20 {
		t.Errorf("%d different events, %d copies, %d out of order", different, copies, swapped)
	}
	same := func(a, b event) bool { return a.entity == b.entity && string(a.value) == string(b.value) }
	if !slices.EqualFunc(all, deliveries(3), same) {
		t.Error("a seed gives other deliveries the second time")
	}
	if slices.EqualFunc(all, deliveries(4), same) {
		t.Error("another seed gives the same deliveries")
	}
}
