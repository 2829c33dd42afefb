package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// An instance that was away for longer than its session gets those tasks back whose
// state its directory has most of, and reads what it missed.
func TestAnInstanceThatComesBackGetsTheTasksThatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
		conf := func(name string) Config {
			return Config{Instance: name, Workers: 2, DataDir: dirs[name], SessionTimeout: 10 * time.Second}
		}
		x.feed(200, 40)
		a := x.start(conf("a"), nil)
		x.drained()
		b := x.start(conf("b"), nil)
		x.eventually("each has two", func() bool { return a.running(2)() && b.running(2)() })
		x.feed(200, 40)
		x.drained()
		had := slices.Sorted(maps.Keys(b.restoredTasks()))
		b.stop()
		x.eventually("a has all", a.running(4))
		x.feed(200, 40)
		x.drained()
		b = x.start(conf("b"), nil) // a must give two up: not the two with the largest numbers, but these
		x.eventually("each has two again", func() bool { return a.running(2)() && b.running(2)() })
		x.feed(200, 40)
		x.drained()
		if got := slices.Sorted(maps.Keys(b.restoredTasks())); !slices.Equal(got, had) {
			t.Errorf("b had %v, and got %v", had, got)
		}
		a.stop()
		x.eventually("b has all", b.running(4))
		a = x.start(conf("a"), nil)
		x.eventually("each has two at last", func() bool { return a.running(2)() && b.running(2)() })
		want := []string{"states_0", "states_1", "states_2", "states_3"}
		want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(had, name) })
		if got := slices.Sorted(maps.Keys(a.restoredTasks())); !slices.Equal(got, want) {
			t.Errorf("a had %v, and got %v", want, got)
		}
		for name := range a.restoredTasks() {
			if n := x.fromCheckpoint(a, int32(name[len(name)-1]-'0'), false); n != 0 {
				t.Errorf("%s: %d records were read that nobody wrote while a was away", name, n)
			}
		}
		a.stop()
		b.stop()
		x.check()
	})
}

// standing waits until each process has so many standbys that have read what there is.
func (x *bench) standing(standbys int, processes ...*process) {
	x.Helper()
	x.eventually("standbys are there", func() bool {
		return !slices.ContainsFunc(processes, func(p *process) bool { return p.last().Standbys != standbys })
	})
	<-time.After(2 * standbyWait) // by then they have heard of it
	x.eventually("standbys have read all", func() bool {
		return !slices.ContainsFunc(processes, func(p *process) bool { return p.lag() != 0 })
	})
}

// eachHas waits until each process runs so many tasks.
func (x *bench) eachHas(tasks int, processes ...*process) {
	x.Helper()
	x.eventually(fmt.Sprintf("each has %d", tasks), func() bool {
		return !slices.ContainsFunc(processes, func(p *process) bool { return !p.running(tasks)() })
	})
}

// lag returns how many offsets the standbys of a process are behind together.
func (p *process) lag() (n int64) {
	for task := range 8 {
		var one int64
		if _, err := fmt.Sscan(metric(p.x, p.runner, fmt.Sprintf(`standby_lag_records{app="app",task="states_%d"}`, task)), &one); err == nil {
			n += one
		}
	}
	return n
}

// standbyRecords returns how many records the standbys of a process have read.
func (p *process) standbyRecords() (n int64) {
	_, err := fmt.Sscan(metric(p.x, p.runner, `standby_records_total{app="app"}`), &n)
	p.x.must(err)
	return n
}

// heard returns how many states a process has told of.
func (p *process) heard() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.states)
}

// restoredSince returns the tasks that were restored after so many states.
func (p *process) restoredSince(heard int) (all []Restored) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := Restored{}
	if heard > 0 {
		last = p.states[heard-1].Restored
	}
	for _, s := range p.states[heard:] {
		if s.Restored != last {
			all = append(all, s.Restored)
		}
		last = s.Restored
	}
	return all
}

// changesOf returns how many records the changelogs of tasks have.
func (x *bench) changesOf(restored []Restored) (n int64) {
	x.Helper()
	for _, r := range restored {
		n += int64(len(x.read(record.TopicPartition{Topic: "app-states-changelog", Partition: int32(r.Task[len(r.Task)-1] - '0')})))
	}
	return n
}

// cold reports whether some of the tasks had nothing to begin with, and how many records
// were read for all of them.
func cold(all []Restored) (cold bool, records int64) {
	for _, r := range all {
		cold = cold || r.Checkpoint == ""
		records += r.Records
	}
	return cold, records
}

// When the owner is gone its standby goes on with what it has: nothing is read that it
// read already. Without a standby all of it is read.
func TestAStandbyTakesOverAndRestoresOnlyTheTail(t *testing.T) {
	for _, c := range []struct {
		store    Store
		standbys int
		end      string
	}{
		{Memory, 0, "kill"},
		{Memory, 1, "kill"},
		{Memory, 1, "stop"},
		{Badger, 0, "kill"},
		{Badger, 1, "kill"},
		{Badger, 1, "stop"},
	} {
		t.Run(fmt.Sprintf("%s/standbys=%d/%s", c.store, c.standbys, c.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 4, mem.Options{MarkerDelay: 30 * time.Millisecond, Seed: 3})
				conf := func(dir string) Config {
					cfg := Config{Workers: 2, SessionTimeout: 10 * time.Second, Standbys: c.standbys, Store: c.store}
					if c.store == Badger {
						cfg.DataDir = dir
					}
					return cfg
				}
				a, b := x.start(conf(t.TempDir()), nil), x.start(conf(t.TempDir()), nil)
				x.eachHas(2, a, b)
				for range 5 {
					x.feed(200, 40)
					x.drained()
				}
				if c.standbys > 0 {
					x.standing(2, a, b)
				}
				heard := b.heard()
				x.feed(60, 40)
				x.drained()
				if c.end == "kill" {
					a.kill()
				} else {
					a.stop()
				}
				x.eventually("b has all", b.running(4))
				restored := b.restoredSince(heard)
				all := x.changesOf(restored)
				cold, records := cold(restored)
				switch most := int64(40); { // what was fed last
				case len(restored) != 2 || all <= 2*most:
					t.Errorf("%d tasks moved, whose changelogs have %d records", len(restored), all)
				case c.standbys == 0 && (records != all || !cold):
					t.Errorf("without standbys %d records were read of %d", records, all)
				case c.standbys > 0 && (records > most || cold):
					t.Errorf("with a standby %d records were read of %d: %+v", records, all, restored)
				case c.standbys > 0 && c.end == "kill" && records != 0: // it had all of a session to read on
					t.Errorf("the standby had not read %d records", records)
				}
				t.Logf("%d records read of %d", records, all)
				if n := b.last().Standbys; n != 0 {
					t.Errorf("alone it stands by for %d tasks", n)
				}
				x.feed(200, 40)
				x.drained()
				b.stop()
				x.check()
			})
		})
	}
}

// An instance that gives a task up stands by for it with the state that it has, and gets
// it back so.
func TestWhatIsGivenUpStaysWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		cfg := Config{Workers: 2, SessionTimeout: 10 * time.Second, Standbys: 1}
		x.feed(400, 40)
		a := x.start(cfg, nil)
		x.drained()
		b := x.start(cfg, nil)
		x.eachHas(2, a, b)
		x.standing(2, a, b)
		if n := a.standbyRecords(); n != 0 {
			t.Errorf("a read %d records of what it had", n)
		}
		if n := b.standbyRecords(); n == 0 {
			t.Error("b has read nothing")
		}
		x.feed(60, 40)
		x.drained()
		x.standing(2, a)
		if n := a.standbyRecords(); n == 0 || n > 40 {
			t.Errorf("a's standbys read %d records", n)
		}
		heard := a.heard()
		b.stop()
		x.eachHas(4, a)
		restored := a.restoredSince(heard)
		all := x.changesOf(restored)
		if cold, records := cold(restored); len(restored) != 2 || cold || records > 10 || all <= 20 {
			t.Errorf("a restored %+v of %d records", restored, all)
		}
		x.feed(60, 40)
		x.drained()
		a.stop()
		x.check()
	})
}

// The directory of a standby stays: started again it reads what it missed.
func TestAStandbyGoesOnWithItsDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 4, mem.Options{})
		dirs := []string{t.TempDir(), t.TempDir()}
		conf := func(i int) Config {
			return Config{Workers: 2, SessionTimeout: 10 * time.Second, Standbys: 1, DataDir: dirs[i]}
		}
		a, b := x.start(conf(0), nil), x.start(conf(1), nil)
		x.eachHas(2, a, b)
		for range 3 {
			x.feed(200, 40)
			x.drained()
		}
		x.standing(2, b)
		all := b.standbyRecords()
		<-time.After(3 * time.Second) // it is written behind
		crashed := copyDir(t, dirs[1])
		b.kill()
		x.feed(40, 40)
		x.eventually("a has all", a.running(4))
		x.drained()
		dirs[1] = crashed
		b = x.start(conf(1), nil)
		x.eachHas(2, a, b)
		x.standing(2, b)
		if n := b.standbyRecords(); n > 40 || all < 40 {
			t.Errorf("its standbys read %d records again, %d at first", n, all)
		}
		a.stop()
		x.eventually("b has all", b.running(4))
		x.feed(60, 40)
		x.drained()
		b.stop()
		x.check()
	})
}

// stalled is a cluster whose standbys read nothing for as long as it is shut.
type stalledReads struct {
	kafka.Cluster
	how  string     // what they read meanwhile fails, is silent (nobody answers), or waits
	mu   sync.Mutex // guards shut
	shut chan struct{}
}

func (s *stalledReads) stall() { s.mu.Lock(); s.shut = make(chan struct{}); s.mu.Unlock() }
func (s *stalledReads) goOn()  { close(s.shut) }

func (s *stalledReads) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := s.Cluster.Fetcher(opts)
	if opts.MaxBytes == standbyBytes {
		f = &stalledFetcher{Fetcher: f, s: s}
	}
	return f, err
}

type stalledFetcher struct {
	kafka.Fetcher
	s          *stalledReads
	unanswered []record.TopicPartition
}

func (f *stalledFetcher) Unanswered() []record.TopicPartition { return f.unanswered }

func (f *stalledFetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	f.s.mu.Lock()
	shut := f.s.shut
	f.s.mu.Unlock()
	f.unanswered = nil
	var failed <-chan time.Time
	if f.s.how != "" {
		failed = time.After(10 * time.Millisecond)
	}
	if shut != nil {
		select {
		case <-shut:
		case <-failed:
			if f.s.how == "fails" {
				return nil, errors.New("nobody answers")
			}
			for _, p := range positions {
				f.unanswered = append(f.unanswered, p.TopicPartition)
			}
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f.Fetcher.Fetch(ctx, positions)
}

// What a standby has is not gone on with where its changelog is another, or where what it
// missed may not be there any more.
func TestAStandbyStartsOver(t *testing.T) {
	const changelog = "app-states-changelog"
	for _, c := range []struct {
		name    string
		happens func(x *bench)
		seen    bool // by the standby, as it reads on: it starts over, and takes over with that
	}{
		{"truncated", func(x *bench) {
			for p := range x.partitions {
				tp := record.TopicPartition{Topic: changelog, Partition: p}
				marks, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{tp})
				x.must(err)
				x.broker.Truncate(tp, marks[tp].HighWater)
			}
		}, true},
		{"made again", func(x *bench) {
			x.broker.Remake(changelog)
			for range 3 { // so much that the offset of the standby is one of the new topic
				x.feed(200, 40)
				x.drained()
			}
		}, false},
		{"cut", func(x *bench) { x.broker.Remake(changelog) }, true},
		{"behind for long", func(*bench) { <-time.After(20 * time.Second) }, false},
	} {
		for _, store := range []Store{Memory, Badger} {
			t.Run(fmt.Sprintf("%s/%s", c.name, store), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newBench(t, 2, mem.Options{})
					x.must(x.admin.Create(x.ctx, kafka.Topic{Name: changelog, Partitions: 2, Configs: map[string]string{
						"cleanup.policy": "compact", "delete.retention.ms": "15000",
					}}))
					conf := func() Config {
						cfg := Config{Workers: 1, SessionTimeout: 10 * time.Second, Standbys: 1, Store: store}
						if store == Badger {
							cfg.DataDir = t.TempDir()
						}
						return cfg
					}
					a := x.start(conf(), nil)
					r := &stalledReads{}
					b := x.start(conf(), func(c kafka.Cluster) kafka.Cluster { r.Cluster = c; return r })
					x.eachHas(1, a, b)
					x.feed(200, 40)
					x.drained()
					x.standing(1, b)
					heard, read := b.heard(), b.standbyRecords()
					r.stall()
					<-time.After(2 * standbyWait) // what it was reading has come
					x.feed(60, 40)
					x.drained()
					c.happens(x)
					if c.seen {
						r.goOn()
						x.feed(60, 40)
						x.drained()
						x.eventually("b has read on", func() bool { return b.standbyRecords() > read })
						x.standing(1, b)
					}
					a.stop()
					x.eventually("b has all", b.running(2))
					restored := b.restoredSince(heard)
					all := x.changesOf(restored)
					switch cold, records := cold(restored); {
					case len(restored) != 1:
						t.Errorf("%d tasks moved", len(restored))
					case c.seen && cold:
						t.Errorf("the standby did not read on: %+v", restored)
					case !c.seen && (!cold || records != all):
						t.Errorf("it was restored with %d records of %d: %+v", records, all, restored)
					}
					b.stop()
				})
			})
		}
	}
}

// A standby that could not read for longer than deletions are kept may lack some of them,
// also when it reads on up to the end at once.
func TestAStandbyThatWasAwayForLongStartsOver(t *testing.T) {
	for _, c := range []struct {
		store Store
		how   string
	}{{Memory, "fails"}, {Memory, "silent"}, {Badger, "fails"}, {Badger, "silent"}} {
		t.Run(fmt.Sprintf("%s/%s", c.store, c.how), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "app-states-changelog", Partitions: 2, Configs: map[string]string{
					"cleanup.policy": "compact", "delete.retention.ms": "15000",
				}}))
				conf := func() Config {
					cfg := Config{Workers: 1, SessionTimeout: 10 * time.Second, Standbys: 1, Store: c.store}
					if c.store == Badger {
						cfg.DataDir = t.TempDir()
					}
					return cfg
				}
				a := x.start(conf(), nil)
				r := &stalledReads{how: c.how}
				b := x.start(conf(), func(c kafka.Cluster) kafka.Cluster { r.Cluster = c; return r })
				x.eachHas(1, a, b)
				x.feed(400, 40)
				x.drained()
				x.standing(1, b)
				r.stall()
				<-time.After(20 * time.Second)
				read := b.standbyRecords()
				x.feed(20, 40)
				x.drained()
				r.goOn()
				x.feed(20, 40)
				x.drained()
				all := int64(math.MaxInt64)
				for p := range x.partitions {
					n, _ := x.changes(p, 0)
					all = min(all, n)
				}
				x.eventually("b has read on", func() bool { return b.standbyRecords() > read })
				x.standing(1, b)
				if again := b.standbyRecords() - read; again < all {
					t.Errorf("it read on with %d records of %d", again, all)
				}
				a.stop()
				x.eventually("b has all", b.running(2))
				b.stop()
				x.check()
			})
		})
	}
}
