package dev

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
)

func mainReport() *Report {
	open := Kill{At: points()[1], TransactionalID: "permits-dev-0", Open: true}
	return &Report{
		Seed: 1, In: 8577, Copies: 858, Entities: 1434, Partitions: 8,
		Counts: policies.Counts{Delivered: 9435, Applied: 8577, Duplicate: 858},
		Kills:  []Kill{open, open, open, {At: afterEnd(), TransactionalID: "permits-dev-1"}},
		Checks: []Check{
			{Name: "in-order fold", Answer: "yes", OK: true},
			{Name: "table read back read_committed", Answer: "equal", OK: true},
			{Name: "folded again from inputs and journal", Answer: "equal", OK: true},
			{Name: "counts", Answer: "exact", OK: true},
		},
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	const tail = " | killed 3, in an open transaction 3 | 1434 entities = in-order fold: yes | table read back read_committed: equal | folded again from inputs and journal: equal"
	for _, c := range []struct {
		name   string
		change func(*Report)
		want   string
	}{
		{"the main job", func(*Report) {}, "in 8577 + 858 copies | applied 8577 | duplicate 858 | held 0 | dead-lettered 0" + tail},
		{"fed again", func(r *Report) {
			r.Known = 8577
			r.Counts = policies.Counts{Delivered: 9435, Duplicate: 9435}
		}, "in 8577 + 858 copies | applied 0 | duplicate 8577 + 858 | held 0 | dead-lettered 0" + tail},
		{"what is rare is named only where it is", func(r *Report) {
			r.Counts = policies.Counts{Delivered: 9435, Applied: 8000, Duplicate: 800, DuplicateOfDLQ: 58, DeadLettered: 500, Held: 70, Retrying: 7}
			r.Left = 4
		}, "in 8577 + 858 copies | applied 8000 | duplicate 800 | held 70 | dead-lettered 500 | of a letter 58 | retrying 7 | left by an earlier run 4" + tail},
		{
			"a kill that missed its transaction", func(r *Report) { r.Kills[2].Open = false },
			"in 8577 + 858 copies | applied 8577 | duplicate 858 | held 0 | dead-lettered 0" + strings.Replace(tail, "transaction 3", "transaction 2", 1),
		},
		{"checks that say no", func(r *Report) {
			r.Checks[0] = Check{Name: "in-order fold", Answer: "NO"}
			r.Checks[3] = Check{Name: "counts", Answer: "NO"}
		}, "in 8577 + 858 copies | applied 8577 | duplicate 858 | held 0 | dead-lettered 0" + strings.Replace(tail, "fold: yes", "fold: NO", 1) + " | counts: NO"},
	} {
		r := mainReport()
		c.change(r)
		if got := r.Summary(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(b.String(), "\n"+c.want+"\n") {
			t.Errorf("%s: the text does not end with the summary:\n%s", c.name, b.String())
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	t.Parallel()
	r := mainReport()
	r.Checks[3].OK = false
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Schema       string
		OK           bool
		In, Copies   int
		Dispositions map[string]int64
		Killed       int `json:"killed_in_open_transaction"`
		Behind       int `json:"killed_behind_commit"`
		Summary      string
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != "streamrun/v1" || got.OK || got.In != 8577 || got.Copies != 858 || got.Dispositions["duplicate"] != 858 ||
		got.Killed != 3 || got.Behind != 1 || got.Summary != r.Summary() {
		t.Errorf("%+v", got)
	}
}
