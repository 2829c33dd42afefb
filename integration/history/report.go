package history

import (
	"context"
	"fmt"
	"strings"
)

// A Report is what was found of an app.
type Report struct{ Verdicts []Verdict }

// Read reads all topics of an app, a partition at a time, and judges them. The app
// has stopped, or does nothing; a transaction that it left open is waited for.
func Read(ctx context.Context, brokers []string, app App) (Report, error) {
	r, err := Open(brokers)
	if err != nil {
		return Report{}, err
	}
	defer r.Close()
	committed, err := r.Committed(ctx, app.Group, app.Input, app.Partitions)
	if err != nil {
		return Report{}, err
	}
	ends := map[string][]int64{}
	for _, topic := range app.topics() {
		if ends[topic], err = r.Settled(ctx, topic, app.Partitions); err != nil {
			return Report{}, err
		}
	}
	var report Report
	for p := range app.Partitions {
		logs := &Logs{Committed: committed[p]}
		for i, l := range []*Log{&logs.Input, &logs.Applied, &logs.Changelog, &logs.Table, &logs.Order, &logs.Journal, &logs.Letters} {
			topic := app.topics()[i]
			if *l, err = r.Log(ctx, topic, p, ends[topic][p]); err != nil {
				return Report{}, err
			}
		}
		report.Verdicts = append(report.Verdicts, Judge(&app, p, logs))
	}
	return report, nil
}

// topics returns the topics in the order of Logs.
func (a *App) topics() []string {
	return []string{a.Input, a.Applied, a.Changelog, a.Table, a.Order, a.Journal, a.Letters}
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool {
	for i := range r.Verdicts {
		if len(r.Verdicts[i].Differences) > 0 {
			return false
		}
	}
	return len(r.Verdicts) > 0
}

// String returns the table, and what is wrong below it.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9s %8s %9s %7s %8s %7s %5s  %-16s %-16s %-16s %-16s %s\n", "partition", "entities", "events", "copies", "commits", "writers", "held",
		"expected", "applied", "store", "table", "in order")
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		order := "yes"
		if !v.InOrder {
			order = "NO"
		}
		fmt.Fprintf(&b, "%9d %8d %9d %7d %8d %7d %5d  %016x %16s %16s %16s %s\n", v.Partition, v.Entities, v.Events, v.Copies, v.Commits, v.Writers, v.MaxHeld,
			v.Want, same(v.Applied, v.Want), same(v.Store, v.Want), same(v.Table, v.Want), order)
	}
	for i := range r.Verdicts {
		for _, d := range r.Verdicts[i].Differences {
			fmt.Fprintf(&b, "  partition %d: %s\n", r.Verdicts[i].Partition, d)
		}
	}
	return b.String()
}

func same(got, want uint64) string {
	if got == want {
		return "equal"
	}
	return fmt.Sprintf("%016x", got)
}
