package task

import (
	"testing"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func TestStraysAreCountedOnce(t *testing.T) {
	t.Parallel()
	const partitions = 4
	home := topology.Partition([]byte("order-7"), partitions, 0)
	for name, c := range map[string]struct {
		partition, known int32
		key              string
		want             Strays
	}{
		"at home":                 {home, partitions, "order-7", Strays{}},
		"another key":             {home, partitions, "order-8", Strays{WrongKey: 2}},
		"another partition":       {(home + 1) % partitions, partitions, "order-7", Strays{WrongPartition: 2}},
		"both":                    {(home + 1) % partitions, partitions, "", Strays{WrongKey: 2, WrongPartition: 2}},
		"nobody knows the number": {(home + 1) % partitions, 0, "order-7", Strays{}},
	} {
		x := &Task{
			plan: &Plan{Sources: []string{"orders"}}, partition: c.partition, looked: make([]int64, 1),
			options: Options{Partitions: func(string) int32 { return c.known }},
		}
		sl := &slot{Entity: topology.Entity{ID: "order-7"}}
		for _, offset := range []int64{5, 5, 6} { // the first one did not fit
			x.raw = &record.Record{Offset: offset, Key: []byte(c.key)}
			x.stray(sl)
		}
		if x.strays != c.want {
			t.Errorf("%s: %+v, want %+v", name, x.strays, c.want)
		}
	}
}
