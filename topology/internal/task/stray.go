package task

import "github.com/streamrun/streamrun/topology"

// Strays are records that are applied like others and are not where they belong:
// another record of their entity may be somewhere else, and no order is kept between
// tasks.
type Strays struct {
	WrongKey       int64 // the record's key is not its entity
	WrongPartition int64 // the entity does not belong to the partition, as the default partitioner sees it
}

// place says whether an entity belongs to the task's partition.
type place uint8

const (
	notLooked place = iota
	atHome
	astray
)

// stray looks at the record in hand, whose entity has the slot. A record that does
// not fit is offered again and again; it is looked at once.
func (t *Task) stray(sl *slot) {
	if t.raw.Offset < t.looked[t.source] {
		return
	}
	t.looked[t.source] = t.raw.Offset + 1
	if string(t.raw.Key) != sl.ID {
		t.strays.WrongKey++
	}
	if sl.place == notLooked {
		sl.place = atHome
		n := t.options.Partitions(t.plan.Sources[t.source])
		if n > 0 && topology.Partition([]byte(sl.ID), n, t.partition) != t.partition {
			sl.place = astray
		}
	}
	if sl.place == astray {
		t.strays.WrongPartition++
	}
}
