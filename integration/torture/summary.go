//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/streamrun/streamrun/topology/embedded"
)

// summary prints what the faults came to; false: they were not what they should be.
func (d *drill) summary(ctx context.Context) (bool, error) {
	switch d.verb {
	case "kill9":
		return d.sayKills(), nil
	case "stop":
		return d.sayAborted(ctx)
	case "timeout":
		return d.sayCuts(), nil
	case "disk":
		return d.sayDamages(), nil
	default:
		return true, nil
	}
}

// sayKills tells how many kills hit an open transaction, and what was restored.
func (d *drill) sayKills() bool {
	within := d.sayRestores()
	fmt.Fprintf(d.out, "kills %d, with an open transaction %d\n", d.kills, d.open)
	return within && d.open*4 >= d.kills*3
}

// sayAborted tells what producers that were stopped wrote and nobody will ever read.
// That what they committed fits between the commits of the others, the judge says.
func (d *drill) sayAborted(ctx context.Context) (bool, error) {
	app := judged(d.app(), int32(d.partitions))
	left := 0
	for _, topic := range []string{app.Applied, app.Changelog, app.Journal} {
		ends, err := d.reader.Settled(ctx, topic, app.Partitions)
		if err != nil {
			return false, err
		}
		for p, end := range ends {
			all, err := d.reader.Uncommitted(ctx, topic, int32(p), end)
			if err != nil {
				return false, err
			}
			committed, err := d.reader.Log(ctx, topic, int32(p), end)
			if err != nil {
				return false, err
			}
			for i := range all.Records {
				if d.frozen[all.Records[i].ProducerID] {
					left++
				}
			}
			for i := range committed.Records {
				if d.frozen[committed.Records[i].ProducerID] {
					left--
				}
			}
		}
	}
	fmt.Fprintf(d.out, "of the instances that were stopped, %d records were written and appear nowhere; refused when they woke: %d commits\n", left, d.refused)
	return true, nil
}

// sayCuts tells what became of the transactions whose requests were cut.
func (d *drill) sayCuts() bool {
	committed, aborted := 0, 0
	for _, m := range []embedded.Moment{embedded.Received, embedded.Answered} {
		for _, r := range kinds() {
			k := kind{r, m}
			of := d.cuts[k]
			fmt.Fprintf(d.out, "%-36v injected %3d, turned out committed %3d, aborted %3d\n", k, of.injected, of.committed, of.injected-of.committed)
			committed += of.committed
			aborted += of.injected - of.committed
		}
	}
	return committed > 0 && aborted > 0
}
