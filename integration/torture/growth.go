//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamrun/streamrun/integration/history"
	"github.com/streamrun/streamrun/topology/runner"
)

const (
	// writeBehind is how long an instance may have a committed row in memory alone.
	writeBehind = time.Second
	// writing is how long the write itself may take, on a machine that is busy with the
	// drill.
	writing = 500 * time.Millisecond
	// growthEvery is how often growth looks.
	growthEvery = 50 * time.Millisecond
)

// growth knows how the topics of which state is restored grew. It is safe for
// concurrent use.
type growth struct {
	mu    sync.Mutex // guards looks
	looks []look
}

// look is the sum of the ends of these topics, per partition.
type look struct {
	at   time.Time
	ends []int64
}

// watch looks until ctx ends; wait returns when it has ended.
func (g *growth) watch(ctx context.Context, brokers []string, app history.App) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		r, err := history.Open(brokers)
		if err != nil {
			return // there are no looks then, and the summary says so
		}
		defer r.Close()
		for ctx.Err() == nil {
			at, ends := time.Now(), make([]int64, app.Partitions)
			missing := false
			for _, topic := range []string{app.Changelog, app.Order} {
				got, err := r.Ends(ctx, topic, app.Partitions)
				if missing = missing || err != nil; err != nil {
					break
				}
				for p := range got {
					ends[p] += got[p]
				}
			}
			if !missing {
				g.mu.Lock()
				g.looks = append(g.looks, look{at, ends})
				g.mu.Unlock()
			}
			_ = pause(ctx, growthEvery) // the loop sees the end
		}
	})
	return all.Wait
}

// between returns by how much a partition grew, at most; false: it was not looked at.
func (g *growth) between(partition int, from, to time.Time) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var before int64
	for _, l := range g.looks {
		if !l.at.After(from) {
			before = l.ends[partition]
		}
		if l.at.After(to) {
			return l.ends[partition] - before, true
		}
	}
	return 0, false
}

// had returns what a partition had at a time, at least.
func (g *growth) had(partition int, at time.Time) (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.looks {
		if l.at.After(at) {
			break
		}
		n = l.ends[partition]
	}
	return n
}

// partitionOf returns the partition of a task, by its name.
func partitionOf(task string) int {
	n, err := strconv.Atoi(task[strings.LastIndexByte(task, '_')+1:])
	if err != nil {
		panic(fmt.Sprintf("torture: %q is no name of a task", task))
	}
	return n
}

// sayRestores tells what was restored after each kill, and what the topics grew by
// while the one that was killed had it in memory alone. false: a task whose directory
// was there restored more, a directory was not used, or there was none.
func (d *drill) sayRestores() bool {
	ok, wiped, tails, most := true, 0, 0, int64(0)
	for _, l := range d.lives {
		all, ran := l.restored()
		if ran.IsZero() {
			fmt.Fprintf(d.out, "after kill %d, %s: ran no task\n", l.fault, l.name)
			continue
		}
		for _, r := range all {
			if r.at.After(ran) { // it came later, from somebody else
				continue
			}
			written := l.frozen.Add(-writeBehind - writing) // what was committed by then
			verdict := ""
			if r.Checkpoint == "" {
				// Of nothing there is no checkpoint.
				if d.store == string(runner.Badger) && l.before.had(r.Task, written) && d.growth.had(partitionOf(r.Task), written) > 0 {
					ok, verdict = false, ": IT SHOULD HAVE ONE"
				}
				fmt.Fprintf(d.out, "after kill %d, %s: %s had no directory, %d records restored%s\n", l.fault, l.name, r.Task, r.Records, verdict)
				continue
			}
			grown, looked := d.growth.between(partitionOf(r.Task), written, l.killed)
			if !looked || r.Records > grown {
				ok, verdict = false, ": TOO MUCH"
			}
			tails++
			most = max(most, r.Records)
			fmt.Fprintf(d.out, "after kill %d, %s: %s restored %d records, %d were written in the %v before%s\n",
				l.fault, l.name, r.Task, r.Records, grown, l.killed.Sub(written).Round(time.Millisecond), verdict)
		}
	}
	returned := map[*process]bool{}
	for _, l := range d.lives {
		returned[l.process] = true
	}
	for _, p := range d.fleet.all {
		all, ran := p.restored()
		for _, r := range all {
			if r.Refused != "" {
				wiped++
				fmt.Fprintf(d.out, "%s: the directory of %s was emptied: %s\n", p.name, r.Task, r.Refused)
			}
			if r.at.After(ran) && !ran.IsZero() {
				fmt.Fprintf(d.out, "moved to %s: %s restored %d records (checkpoint %q)\n", p.name, r.Task, r.Records, r.Checkpoint)
			}
		}
	}
	fmt.Fprintf(d.out, "wiped %d; %d tasks of killed instances started from their directories, with %d records at most\n", wiped, tails, most)
	return ok && wiped == 0 && (tails > 0 || d.store != string(runner.Badger))
}
