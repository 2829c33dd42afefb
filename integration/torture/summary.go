//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// no notes why the judgement is no.
func (d *drill) no(format string, args ...any) {
	d.reasons = append(d.reasons, fmt.Sprintf(format, args...))
}

// maxReasons bounds how many reasons are repeated at the end.
const maxReasons = 20

// verdict prints the judgement, with its reasons in front of it, and returns it.
func (d *drill) verdict() bool {
	word := "OK"
	if len(d.reasons) > 0 {
		word = "NOT OK"
		for _, why := range d.reasons[:min(len(d.reasons), maxReasons)] {
			fmt.Fprintf(d.out, "why not: %s\n", why)
		}
		if more := len(d.reasons) - maxReasons; more > 0 {
			fmt.Fprintf(d.out, "why not: %d reasons more\n", more)
		}
	}
	fmt.Fprintf(d.out, "%s: torture %s on %s, seed %d, %d faults, %d events, %v\n", word, d.verb, d.kafka.what, d.seed, d.kills, d.events, time.Since(d.began).Round(time.Second))
	return len(d.reasons) == 0
}

// summary prints what the faults came to.
func (d *drill) summary(ctx context.Context) error {
	switch d.verb {
	case "kill9":
		d.sayKills()
	case "stop":
		return d.sayAborted(ctx)
	case "timeout":
		d.sayCuts()
	case "disk":
		d.sayDamages()
	}
	return nil
}

// sayKills tells how many kills hit an open transaction, and what was restored.
func (d *drill) sayKills() {
	d.sayRestores()
	fmt.Fprintf(d.out, "kills %d, with an open transaction %d\n", d.kills, d.open)
	if d.open*4 < d.kills*3 {
		d.no("%d of %d kills were in an open transaction, fewer than three in four", d.open, d.kills)
	}
}

// sayAborted tells what producers that were stopped wrote and nobody will ever read.
// That what they committed fits between the commits of the others, the judge says.
func (d *drill) sayAborted(ctx context.Context) error {
	app := judged(d.app(), int32(d.partitions))
	left := 0
	for _, topic := range []string{app.Applied, app.Changelog, app.Journal} {
		ends, err := d.reader.Settled(ctx, topic, app.Partitions)
		if err != nil {
			return err
		}
		for p, end := range ends {
			all, err := d.reader.Uncommitted(ctx, topic, int32(p), end)
			if err != nil {
				return err
			}
			committed, err := d.reader.Log(ctx, topic, int32(p), end)
			if err != nil {
				return err
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
	return nil
}
