//go:build linux

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTheTableSaysWhetherAnIdleInstanceWorks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		memory, badger float64 // nanoseconds a second
		missed         bool
		line           string
	}{
		{1e7, 1e7, false, "kept    CPU of idle-badger: 0.010 (0.010 to 0.010) of a core, at most 0.010"},
		{1e7, 1.1e7, true, "MISSED  CPU of idle-badger: 0.011 (0.011 to 0.011) of a core, at most 0.010"},
		{1.1e7, 1e7, true, "MISSED  CPU of idle-memory: 0.011 (0.011 to 0.011) of a core, at most 0.010"},
	} {
		at := func(row string, used float64) result {
			return result{row: row, measure: measure{Rate: 20, CPU: used / 20}}
		}
		var out bytes.Buffer
		table := newTable(&out, &options{rounds: 1})
		table.idles([]result{at(idleMemory, c.memory), at(idleBadger, c.badger)})
		if table.missed != c.missed || !slices.Contains(strings.Split(out.String(), "\n"), c.line) {
			t.Errorf("missed %v, want %v with %q in\n%s", table.missed, c.missed, c.line, out.String())
		}
	}
}

func TestAnInstanceIsIdle(t *testing.T) {
	inSmall(t, "-idle -rounds 1 -seconds 1 -keys 100", `CPU of idle-memory: \d\.\d+ \(`, `CPU of idle-badger: \d\.\d+ \(`)
}
