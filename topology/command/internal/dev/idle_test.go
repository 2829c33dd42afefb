package dev

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	sequence := policies.Contract{MaxWait: 5 * time.Second, Retry: policies.Retry{Max: 3, Delay: time.Second}}
	hold := sequence
	hold.OnTimeout = policies.OnTimeoutHold
	volatile := sequence
	volatile.Buffer = policies.BufferVolatile
	eventTime := policies.Contract{OrderBy: policies.ByEventTime, MaxWait: 5 * time.Second, Retry: policies.Retry{Max: -1}}
	all := policies.Counts{Delivered: 10, Applied: 10}
	held := policies.Counts{Delivered: 10, Applied: 7, Held: 3}
	short := policies.Counts{Delivered: 9, Applied: 9}
	for _, c := range []struct {
		name      string
		counts    policies.Counts
		unchanged time.Duration
		contract  policies.Contract
		want      outcome
	}{
		{"all applied", all, 0, sequence, idle},
		{"held events have a timer", held, 10 * time.Second, sequence, goOn},
		{"held events whose timer did not fire", held, 28 * time.Second, sequence, stands},
		{"held for ever", held, 11 * time.Second, hold, waits},
		{"not yet for ever", held, 10 * time.Second, hold, goOn},
		{"not all consumed", short, 11 * time.Second, hold, stands},
		{"not all consumed yet", short, 0, hold, goOn},
		{"nothing moves the watermark any more", held, 3 * time.Second, eventTime, waits},
		{"in retry", policies.Counts{Delivered: 10, Applied: 9, Retrying: 1}, 0, sequence, goOn},
		{"counted twice after a kill", policies.Counts{Delivered: 14, Applied: 10, Duplicate: 2, Lost: 2}, 2 * time.Second, volatile, idle},
		{"perhaps not all consumed", all, 0, volatile, goOn},
		{"lost ones came again", policies.Counts{Delivered: 12, Applied: 10, Lost: 2}, 0, sequence, idle},
	} {
		if got := judge(progress{10, c.counts}, c.unchanged, c.contract); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	p := progress{records: 9, counts: policies.Counts{Delivered: 8, Held: 3, Lost: 1}}
	for want, c := range map[string]policies.Contract{
		"consumed=7 of=9 held=3 retrying=0 unchanged_for=1.2s until=\"the missing events come\" max_wait=2s on_timeout=skip": {MaxWait: 2 * time.Second, OnTimeout: policies.OnTimeoutSkip},
		"consumed=7 of=9 held=3 retrying=0 unchanged_for=1.2s until=\"later events move the watermark\"":                     {OrderBy: policies.ByEventTime},
	} {
		var out strings.Builder
		at := time.Unix(100, 0)
		x := teller{slog.New(slog.NewTextHandler(&out, nil)), at}
		for range 4 {
			x.tell(at, p, 1230*time.Millisecond, c)
			at = at.Add(4 * time.Second)
		}
		if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1 || !strings.HasSuffix(lines[0], "msg=waiting "+want) {
			t.Errorf("got %q, want %q once", lines, want)
		}
	}
}
