package dev

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/embedded"
)

func TestKillsAreDrawnBySeed(t *testing.T) {
	t.Parallel()
	text := func(kills []planned) string {
		var words []string
		for _, k := range kills {
			words = append(words, k.at.String())
		}
		return strings.Join(words, ", ")
	}
	seen := map[string]bool{}
	passes := map[int]bool{}
	for seed := range uint64(100) {
		kills := planKills(3, seed)
		if again := planKills(3, seed); text(again) != text(kills) {
			t.Fatalf("seed %d: %s, then %s", seed, text(kills), text(again))
		}
		if len(kills) != 4 || kills[3].at != afterEnd() {
			t.Fatalf("seed %d: %s", seed, text(kills))
		}
		for _, k := range kills[:3] {
			seen[k.at.String()] = true
			passes[k.pass] = true
			if k.at == afterEnd() {
				t.Fatalf("seed %d: a kill behind a commit among the others", seed)
			}
		}
	}
	if len(seen) != 4 || len(passes) != killChunks {
		t.Errorf("points %v, passes %v", seen, passes)
	}
	if kills := planKills(0, 1); len(kills) != 0 {
		t.Errorf("without kills: %s", text(kills))
	}
}

func TestKillerKillsAtItsPointAndKnowsWhatIsOpen(t *testing.T) {
	t.Parallel()
	request := func(r embedded.Request, m embedded.Moment) embedded.Event {
		return embedded.Event{Request: r, Moment: m, TransactionalID: "app-dev-0", Commit: true}
	}
	add := request(embedded.AddPartitionsToTxn, embedded.Answered)
	failed := request(embedded.Produce, embedded.Answered)
	failed.Code = 47
	others := request(embedded.Produce, embedded.Answered)
	others.TransactionalID = "feed"
	abort := request(embedded.EndTxn, embedded.Received)
	abort.Commit = false
	answered := request(embedded.EndTxn, embedded.Answered)
	for _, c := range []struct {
		name   string
		kill   planned
		events []embedded.Event
		want   []string // verdicts and kills
	}{
		{
			"at the second produce that succeeds",
			planned{points()[1], 1},
			[]embedded.Event{add, request(embedded.Produce, embedded.Received), request(embedded.Produce, embedded.Answered), others, failed, request(embedded.Produce, embedded.Answered), request(embedded.Produce, embedded.Answered)},
			[]string{"pass", "pass", "pass", "pass", "pass", "after Produce open=true", "pass"},
		},
		{
			"before a commit is handled",
			planned{points()[3], 0},
			[]embedded.Event{add, abort, request(embedded.EndTxn, embedded.Received)},
			[]string{"pass", "pass", "at EndTxn, before it is handled open=true"},
		},
		{
			"after a commit nothing is open",
			planned{afterEnd(), 0},
			[]embedded.Event{add, request(embedded.EndTxn, embedded.Received), answered},
			[]string{"pass", "pass", "after EndTxn is handled, before its answer open=false"},
		},
		{
			"a produce behind a commit is in no transaction",
			planned{points()[1], 0},
			[]embedded.Event{add, answered, request(embedded.Produce, embedded.Answered)},
			[]string{"pass", "pass", "after Produce open=false"},
		},
	} {
		gone := false
		k := newKiller("app-dev-", func() { gone = true })
		done := k.arm(c.kill)
		var got []string
		for _, e := range c.events {
			if k.see(e) == embedded.Pass {
				got = append(got, "pass")
				continue
			}
			if !gone {
				t.Errorf("%s: the connection is cut before the process is gone", c.name)
			}
			happened := <-done
			text := happened.At.String() + " open=false"
			if happened.Open {
				text = happened.At.String() + " open=true"
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
