package badgerdb

import (
	"fmt"
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// An Origin says where rows come from. A directory whose rows come from elsewhere,
// or are too old to be brought up to date, is not used.
type Origin struct {
	// Cluster is the id of the Kafka cluster.
	Cluster string
	// Generation is that of the rebuild; 0 and 1 are the first life.
	Generation int
	// Layout tells how rows are made up, such as the stores in the order in which
	// their values stand in a row. It is compared and not read.
	Layout string
	// Changelogs are the changelog partitions of the task.
	Changelogs []Changelog
	// DeleteRetention is the shortest delete.retention.ms of the changelogs: what a
	// directory missed for longer may lack its tombstones. 0 means that rows never
	// get too old.
	DeleteRetention time.Duration
}

// A Changelog is one changelog partition, and the id that tells its topic from one
// of the same name that was made again.
type Changelog struct {
	Topic     string
	Partition int32
	ID        [16]byte
}

// Limit is the age from which on rows are too old; 0: they never are.
func (o Origin) Limit() time.Duration { return o.DeleteRetention - o.DeleteRetention/10 }

// id returns the topic id of a changelog, or zeros.
func (o Origin) id(topic string, partition int32) [16]byte {
	for _, c := range o.Changelogs {
		if c.Topic == topic && c.Partition == partition {
			return c.ID
		}
	}
	return [16]byte{}
}

// Check says why rows of the checkpoint and layout cannot be used at the time now,
// or returns nil.
func (o Origin) Check(c statestore.Checkpoint, layout string, now time.Time) error {
	if c.Cluster != o.Cluster {
		return fmt.Errorf("its rows are of the cluster %q, not of %q", c.Cluster, o.Cluster)
	}
	if max(c.Generation, 1) != max(o.Generation, 1) {
		return fmt.Errorf("its rows are of generation %d, not of %d", max(c.Generation, 1), max(o.Generation, 1))
	}
	if layout != o.Layout {
		return fmt.Errorf("its rows are laid out as %q, not as %q", layout, o.Layout)
	}
	held := make(map[Changelog]bool, len(c.Changelogs))
	for _, p := range c.Changelogs {
		if p.TopicID != o.id(p.Topic, p.Partition) {
			return fmt.Errorf("its rows are of %s-%d with the topic id %x, which is not the id of that changelog now", p.Topic, p.Partition, p.TopicID)
		}
		held[Changelog{p.Topic, p.Partition, p.TopicID}] = true
	}
	for _, w := range o.Changelogs {
		if !held[w] {
			return fmt.Errorf("it knows nothing of the changelog %s-%d", w.Topic, w.Partition)
		}
	}
	age := now.Sub(time.UnixMilli(c.Wall))
	limit := o.Limit()
	if limit > 0 && -age > o.DeleteRetention-limit { // as much as may be wrong with an age
		return fmt.Errorf("its rows are of %s from now on: a clock was wrong, and how old they are is not known", -age.Round(time.Second))
	}
	if limit > 0 && age >= limit {
		return fmt.Errorf("its rows are %s old, and deletions are sure to be in the changelog for %s only", age.Round(time.Second), limit)
	}
	return nil
}

// checkpoint is what is written with rows that are complete up to the positions.
func (o Origin) checkpoint(positions []statestore.Position, wall time.Time) statestore.Checkpoint {
	c := statestore.Checkpoint{Cluster: o.Cluster, Generation: o.Generation, Wall: wall.UnixMilli()}
	for _, w := range o.Changelogs { // one without a position is complete up to 0
		p := statestore.Position{Topic: w.Topic, Partition: w.Partition}
		c.Changelogs = append(c.Changelogs, statestore.ChangelogPosition{Position: p, TopicID: w.ID})
	}
	for _, p := range positions {
		at := -1
		for i := range c.Changelogs {
			if c.Changelogs[i].Topic == p.Topic && c.Changelogs[i].Partition == p.Partition {
				at = i
			}
		}
		if at < 0 {
			at = len(c.Changelogs)
			c.Changelogs = append(c.Changelogs, statestore.ChangelogPosition{Position: p})
		}
		c.Changelogs[at].Offset = p.Offset
	}
	return c
}
