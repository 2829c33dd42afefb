package badgerdb

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

func sampleOrigin() Origin {
	return Origin{
		Cluster: "c1", Layout: "totals", DeleteRetention: 10 * time.Hour,
		Changelogs: []Changelog{{"t", 2, [16]byte{1}}, {"u", 2, [16]byte{2}}},
	}
}

func TestOriginCheck(t *testing.T) {
	t.Parallel()
	wall := time.UnixMilli(1_700_000_000_000)
	o := sampleOrigin()
	c := o.checkpoint([]statestore.Position{{Topic: "u", Partition: 2, Offset: 7}}, wall)
	want := []statestore.ChangelogPosition{
		{Position: statestore.Position{Topic: "t", Partition: 2}, TopicID: [16]byte{1}},
		{Position: statestore.Position{Topic: "u", Partition: 2, Offset: 7}, TopicID: [16]byte{2}},
	}
	if d := cmp.Diff(want, c.Changelogs); d != "" {
		t.Fatalf("a checkpoint names every changelog of the origin: %s", d)
	}
	for _, test := range []struct {
		name    string
		change  func(o *Origin)
		after   time.Duration
		refused string // "": used
	}{
		{"the same", func(*Origin) {}, time.Hour, ""},
		{"generation 1 is the first life", func(o *Origin) { o.Generation = 1 }, 0, ""},
		{"another cluster", func(o *Origin) { o.Cluster = "c2" }, 0, "cluster"},
		{"another generation", func(o *Origin) { o.Generation = 2 }, 0, "generation"},
		{"another layout", func(o *Origin) { o.Layout = "counts,totals" }, 0, "laid out"},
		{"a topic made again", func(o *Origin) { o.Changelogs[1].ID[0] = 9 }, 0, "topic id"},
		{"a changelog more", func(o *Origin) { o.Changelogs = append(o.Changelogs, Changelog{"v", 2, [16]byte{3}}) }, 0, "nothing of the changelog v-2"},
		{"a changelog less", func(o *Origin) { o.Changelogs = o.Changelogs[:1] }, 0, "topic id"},
		{"another partition", func(o *Origin) { o.Changelogs[0].Partition = 3 }, 0, "t-2"},
		{"just young enough", func(*Origin) {}, 9*time.Hour - time.Millisecond, ""},
		{"too old", func(*Origin) {}, 9 * time.Hour, "old"},
		{"from a clock that was ahead", func(*Origin) {}, -9 * time.Hour, "old"},
		{"no limit", func(o *Origin) { o.DeleteRetention = 0 }, 9000 * time.Hour, ""},
	} {
		o := sampleOrigin()
		test.change(&o)
		err := o.Check(c, "totals", wall.Add(test.after))
		if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
