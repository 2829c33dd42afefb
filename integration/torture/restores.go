//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

// partitionOf returns the partition of a task, by its name.
func partitionOf(task string) int {
	n, err := strconv.Atoi(task[strings.LastIndexByte(task, '_')+1:])
	if err != nil {
		panic(fmt.Sprintf("torture: %q is no name of a task", task))
	}
	return n
}

// sayRestores tells what was restored after each kill, and what the topics grew by
// while the one that was killed had it in memory alone. It is wrong if a task whose
// directory was there restored more, a directory was not used, or there was none.
func (d *drill) sayRestores() {
	tails, most := 0, int64(0)
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
			said, fits := d.judgeRestore(&l, &r)
			line := fmt.Sprintf("after kill %d, %s: %s %s", l.fault, l.name, r.Task, said)
			if fmt.Fprintln(d.out, line); !fits {
				d.no("%s", line)
			}
			if r.Checkpoint != "" {
				tails++
				most = max(most, r.Records)
			}
		}
	}
	wiped := d.sayOthers()
	fmt.Fprintf(d.out, "wiped %d; %d tasks of killed instances started from their directories, with %d records at most\n", wiped, tails, most)
	if wiped > 0 {
		d.no("%d directories were emptied because of a kill", wiped)
	}
	if tails == 0 && d.store == string(runner.Badger) {
		d.no("no task of a killed instance started from its directory")
	}
}

// judgeRestore judges what a life restored of a task that the life before it had: what
// came into the topics since the last write that must have ended, and, if that one had
// not restored the task by then, what it restored, which need not be on disk either.
// That goes for a task without a directory too: it had no time for one.
func (d *drill) judgeRestore(l *life, r *restore) (said string, fits bool) {
	written := d.growth.committed(l.frozen)
	grown, looked := d.growth.between(partitionOf(r.Task), written, l.killed)
	again := l.before.since(r.Task, written)
	said = fmt.Sprintf("restored %d records; %d were written in the %v before", r.Records, grown, l.killed.Sub(written).Round(time.Millisecond))
	if again > 0 {
		said += fmt.Sprintf(", and %d restored", again)
	}
	if r.Checkpoint == "" {
		said = "had no directory and " + said
	}
	if d.store == string(runner.Badger) && (!looked || r.Records > grown+again) {
		return said + ": TOO MUCH", false
	}
	return said, true
}

// sayOthers tells of the tasks that moved, and how many directories were emptied.
func (d *drill) sayOthers() (wiped int) {
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
	return wiped
}
