//go:build linux

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTheTableSaysWhetherARestoreIsTooSlow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		memory, badger float64
		began          float64
		missed         bool
		line           string
	}{
		{600, 300, 1, false, "kept    rate of restore-memory / floor: 0.600 (0.600 to 0.600), at least 0.600"},
		{599, 300, 1, true, "MISSED  rate of restore-memory / floor: 0.599 (0.599 to 0.599), at least 0.600"},
		{600, 299, 1, true, "MISSED  rate of restore-badger / floor: 0.299 (0.299 to 0.299), at least 0.300"},
		{600, 300, 1, false, "kept    restore-memory began 1.000 (1.000 to 1.000) s after its start, at most 1.000"},
		{600, 300, 1.001, true, "MISSED  restore-badger began 1.001 (1.001 to 1.001) s after its start, at most 1.000"},
	} {
		at := func(row string, rate float64) result {
			return result{row: row, measure: measure{Rate: rate, CPU: 1, Before: c.began}}
		}
		var out bytes.Buffer
		table := newTable(&out, &options{rounds: 1})
		table.restores([]result{at(restoreFloor, 1000), at(restoreMemory, c.memory), at(restoreBadger, c.badger)})
		if table.missed != c.missed || !slices.Contains(strings.Split(out.String(), "\n"), c.line) {
			t.Errorf("missed %v, want %v with %q in\n%s", table.missed, c.missed, c.line, out.String())
		}
	}
}

func TestAChangelogIsReadBack(t *testing.T) {
	var lines []string
	for _, row := range []string{restoreMemory, restoreBadger} {
		lines = append(lines, row+` began \d+\.\d+ \(\d+\.\d+ to \d+\.\d+\) s after its start, at most 1\.000\n`)
	}
	inSmall(t, "-restore -rounds 2 -records 2000 -keys 100", lines...)
}
