package task

import "github.com/streamrun/streamrun/topology/internal/record"

// lookahead is how many slots are touched before the first of them is used.
const lookahead = 64

// line is the size of a line of the cache; of a value so many are touched that the
// processor goes on by itself.
const (
	line         = 64
	touchedLines = 8
)

// ahead knows the slots of the next records of a source. Memory that is not in the
// processor's cache takes as long as all other work on a record, and reads that do not
// wait for each other take hardly longer together than one: so what a row of records
// will need is touched first, and nothing depends on it.
type ahead struct {
	slots [lookahead]*slot
	from  int // index of the record of slots[0]
	to    int
}

// expect looks ahead from a record on, and says which slot the record is expected to
// need.
func (t *Task) expect(source int, records []record.Record, at int) {
	a := &t.ahead[source]
	if at >= a.to {
		a.from, a.to = at, min(at+lookahead, len(records))
		var hashes [lookahead]uint64
		for i := range records[a.from:a.to] {
			hashes[i] = t.slots.index.hash(records[a.from+i].Key)
		}
		for i := range a.to - a.from {
			a.slots[i] = t.slots.index.likely(hashes[i])
		}
		t.touch(a.slots[:a.to-a.from])
	}
	if sl := a.slots[at-a.from]; sl != nil {
		t.slots.last = sl
	}
}

// touch brings slots and what they point to into the cache.
func (t *Task) touch(slots []*slot) {
	sum := 0
	for _, sl := range slots {
		if sl != nil { // the parts of one, a line of the cache each
			sum += len(sl.ID) + sl.size + int(sl.one.timestamp)
		}
	}
	for _, sl := range slots {
		if sl == nil {
			continue
		}
		if t.machine != nil {
			t.machine.Touch(&sl.Entity)
		}
		if len(sl.ID) > 0 {
			sum += int(sl.ID[0])
		}
		for i := range t.slots.stores {
			v := sl.cell(i).value
			for at := 0; at < min(len(v), touchedLines*line); at += line {
				sum += int(v[at])
			}
			if len(v) > 0 {
				sum += int(v[len(v)-1])
			}
		}
	}
	t.touched = sum // so that it is not left out
}
