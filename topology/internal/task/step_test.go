package task

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/serde"
)

// What is cut off may be older than what another source has.
func TestAStepEndsWhereAnInputIsCut(t *testing.T) {
	t.Parallel()
	b := topology.New("app")
	str := serde.Of(serde.String(), serde.String())
	topology.Sink(topology.Source(b, "events", str, "left", "right"), "out", str)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	x, err := Open(Plans(topo)[0], 0, statestore.NewMemory(), Options{Partitions: func(string) int32 { return 1 }}, []Start{{None: true}, {None: true}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(first int64, times ...int64) (records []record.Record) {
		for i, time := range times {
			records = append(records, record.Record{Offset: first + int64(i), Timestamp: time, Key: []byte("k"), Value: []byte("v")})
		}
		return records
	}
	for _, c := range []struct {
		left, right Input
		consumed    []int
		more        bool
		positions   []int64
		out         []int64
	}{
		{Input{Records: at(0, 1, 5), Next: 3, Cut: true}, Input{Records: at(0, 2, 6, 9), Next: 4}, []int{2, 1}, true, []int64{3, 1}, []int64{1, 2, 5}},
		{Input{Records: at(3, 7), Next: 4}, Input{Records: at(1, 6, 9), Next: 4}, []int{1, 2}, false, []int64{4, 4}, []int64{6, 7, 9}},
	} {
		res, err := x.Step(Step{Kind: StepRecords, Clock: 1, Budget: 100, Inputs: []Input{c.left, c.right}})
		if err != nil {
			t.Fatal(err)
		}
		var out []int64
		for _, o := range x.Take().Output {
			out = append(out, o.Timestamp)
		}
		if d := cmp.Diff(c.consumed, res.Consumed) + cmp.Diff(c.positions, x.Positions()) + cmp.Diff(c.out, out); d != "" || res.More != c.more {
			t.Errorf("more %v, want %v\n%s", res.More, c.more, d)
		}
	}
}
