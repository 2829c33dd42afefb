package badgerdb

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

func TestPeekTellsWhereADirectoryStands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := new(clock)
	o := Options{Ticks: make(chan time.Time), Now: c.now, Origin: sampleOrigin()}
	peek := func(what string, want ...int64) {
		t.Helper()
		var got []int64
		for _, p := range Peek(dir, o.Origin, c.now()) {
			got = append(got, p.Offset)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	peek("no directory")
	db := mustOpen(t, dir, o)
	peek("nothing written")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.Apply([]statestore.Put{{Key: []byte("k"), Row: []byte("r")}}, []statestore.Position{{Topic: "u", Partition: 2, Offset: 7}}))
	must(db.Flush())
	peek("open", 0, 7)
	must(db.Close())
	peek("closed", 0, 7)

	whole, err := os.ReadFile(filepath.Join(dir, rowsName, standName))
	must(err)
	for n := range whole {
		must(os.WriteFile(filepath.Join(dir, rowsName, standName), whole[:n], 0o600))
		peek("cut")
	}
	must(os.WriteFile(filepath.Join(dir, rowsName, standName), whole, 0o600))
	o.Origin.Cluster = "c2"
	peek("another cluster")
	o.Origin = sampleOrigin()
	c.advance(9 * time.Hour)
	peek("too old")
	c.advance(-9 * time.Hour)
	db = mustOpen(t, dir, o)
	if err := db.Refused(); err != nil || len(db.Positions()) != 1 {
		t.Errorf("refused %v, positions %v", err, db.Positions())
	}
	must(db.Condemn(os.ErrInvalid))
	peek("condemned")
	db = mustOpen(t, dir, o)
	peek("emptied")
	must(db.Close())
}

// A standby follows its changelogs: it is on disk as what is live is, and as old as the
// last time that it had caught up.
func TestAStandbyIsAsOldAsItHasCaughtUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ticks := make(chan time.Time)
	c := new(clock)
	o := Options{Ticks: ticks, Now: c.now, Origin: sampleOrigin()}
	var last *stand
	o.wrap = func(d disk) disk { return recorder{d, &last} }
	db := mustOpen(t, dir, o)
	c.advance(time.Hour)
	apply := func(offset int64) {
		t.Helper()
		if err := db.Apply(nil, []statestore.Position{{Topic: "t", Partition: 2, Offset: offset}}); err != nil {
			t.Fatal(err)
		}
	}
	tick := func(what string, offset int64, wall time.Duration) {
		t.Helper()
		ticks <- time.Time{}
		ticks <- time.Time{} // the first is dealt with
		if last == nil {
			if offset > 0 {
				t.Errorf("%s: nothing is written", what)
			}
			return
		}
		if got := last.checkpoint; got.Changelogs[0].Offset != offset || got.Wall != wall.Milliseconds() {
			t.Errorf("%s: offset %d of %s, want %d of %s", what, got.Changelogs[0].Offset, time.Duration(got.Wall)*time.Millisecond, offset, wall)
		}
	}
	apply(1)
	tick("before it has caught up", 0, 0)
	db.CaughtUp(c.now().Add(-time.Minute))
	tick("caught up", 1, 59*time.Minute)
	c.advance(time.Hour)
	apply(2)
	tick("it falls behind", 2, 59*time.Minute)
	db.CaughtUp(c.now().Add(-2 * time.Hour))
	apply(3)
	tick("a clock was ahead", 3, 0)
	db.CaughtUp(c.now())
	tick("nothing new for more than an eighth of the limit", 3, 2*time.Hour)
	c.advance(time.Hour)
	db.CaughtUp(c.now())
	tick("nothing new for less", 3, 2*time.Hour)
	c.advance(time.Hour)
	db.CaughtUp(c.now())
	tick("nothing new for more again", 3, 4*time.Hour)
	c.advance(time.Minute)
	db.CaughtUp(c.now())
	c.advance(time.Minute)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := last.checkpoint.Wall; got != (4*time.Hour + time.Minute).Milliseconds() {
		t.Errorf("closed: the checkpoint is of %s", time.Duration(got)*time.Millisecond)
	}
}
