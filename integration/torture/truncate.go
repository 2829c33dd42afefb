//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamrun/streamrun/integration/history"
)

// truncate takes records away that the app has not read: it must say so and stop,
// and pass over nothing. The app stays down, so this is a drill of its own.
func (d *drill) truncate(ctx context.Context) (bool, error) {
	input, partitions := inputOf(d.app()), int32(d.partitions)
	if err := d.share(ctx, 2); err != nil {
		return false, err
	}
	// A task that has committed nothing begins where the topic does, and misses nothing.
	if err := d.until(ctx, d.drain, "every partition has a committed offset", func() bool {
		got, err := d.reader.Committed(ctx, d.app(), input, partitions)
		return err == nil && !slices.ContainsFunc(got, func(c history.Committed) bool { return c.Offset < 1 })
	}); err != nil {
		return false, err
	}
	for _, p := range d.fleet.alive {
		if err := p.kill(); err != nil {
			return false, err
		}
	}
	if err := d.share(ctx, 1); err != nil { // what nobody reads
		return false, err
	}
	before, err := d.reader.Committed(ctx, d.app(), input, partitions)
	if err != nil {
		return false, err
	}
	ends, err := d.reader.Ends(ctx, input, partitions)
	if err != nil {
		return false, err
	}
	victim := 0
	for p := range ends {
		if ends[p]-before[p].Offset > ends[victim]-before[victim].Offset {
			victim = p
		}
	}
	next := before[victim].Offset
	begin := next + (ends[victim]-next+1)/2
	if err := d.kafka.deleteRecords(ctx, input, int32(victim), begin); err != nil {
		return false, err
	}
	d.say("truncate: %s-%d begins at %d and ends at %d now, %d is next", input, victim, begin, ends[victim], next)
	for i := range d.instances {
		p, err := d.fleet.start(fmt.Sprintf("i%d", i))
		if err != nil {
			return false, err
		}
		p.expect()
	}
	var ended *process
	if err := d.until(ctx, d.session+time.Minute, "an instance refuses", func() bool {
		for _, p := range d.fleet.alive {
			if p.ended() {
				ended = p
			}
		}
		return ended != nil
	}); err != nil {
		return false, err
	}
	d.fleet.end()
	after, err := d.reader.Committed(ctx, d.app(), input, partitions)
	if err != nil {
		return false, err
	}
	place := fmt.Sprintf("%s-%d@%d", input, victim, next)
	// What waited may be let go and committed without any input, which changes the
	// metadata, but not how many events were delivered.
	had, err := history.ParseMetadata(before[victim].Metadata)
	if err != nil {
		return false, err
	}
	has, err := history.ParseMetadata(after[victim].Metadata)
	if err != nil {
		return false, err
	}
	named := strings.Contains(ended.log.String(), place)
	stays := after[victim].Offset == next && has.Counts.Delivered() == had.Counts.Delivered()
	code := ended.cmd.ProcessState.ExitCode()
	fmt.Fprintf(d.out, "%s ended with %d, named %s: %v; its committed offset stayed: %v. It said last:\n%s\n", ended.name, code, place, named, stays, ended.log)
	if !named || !stays || code != exitFailed {
		d.no("%s ended with %d and should with %d, named %s: %v, its committed offset is %d with %d events delivered, which were %d", ended.name, code, exitFailed, place, named, after[victim].Offset, has.Counts.Delivered(), had.Counts.Delivered())
	}
	return d.verdict(), nil
}

// deleteRecords takes the records of a partition below an offset away.
func (k *kafka) deleteRecords(ctx context.Context, topic string, partition int32, below int64) error {
	q := kmsg.NewPtrDeleteRecordsRequest()
	t := kmsg.NewDeleteRecordsRequestTopic()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, below
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	q.Topics, q.TimeoutMillis = append(q.Topics, t), 30_000
	for _, shard := range k.client.RequestSharded(ctx, q) {
		err := shard.Err
		if err == nil {
			err = kerr.ErrorForCode(shard.Resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("torture: deleting records of %s-%d below %d: %w", topic, partition, below, err)
		}
	}
	return nil
}
