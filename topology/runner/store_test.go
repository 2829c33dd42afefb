package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// onDisk is a Config that keeps the state in a directory.
func onDisk(dir string) Config { return Config{Instance: "a", Workers: 2, DataDir: dir} }

// restoredTasks returns how each task was restored, the last time that it was.
func (p *process) restoredTasks() map[string]Restored {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]Restored{}
	for _, s := range p.states {
		if s.Restored.Task != "" {
			all[s.Restored.Task] = s.Restored
		}
	}
	return all
}

// copyDir copies a directory as a crash of its process would leave it: at a moment at
// which no file comes or goes.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	for range 1000 {
		to := filepath.Join(t.TempDir(), "copy")
		before, err := copyFiles(to, from)
		if err != nil {
			continue
		}
		if after, err := copyFiles(filepath.Join(t.TempDir(), "copy"), from); err == nil && before == after {
			return to
		}
	}
	t.Errorf("%s does not come to rest", from)
	return from
}

// copyFiles copies a directory, and returns the names of its files and the manifests.
func copyFiles(to, from string) (files string, err error) {
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files += " " + path
		if d.Name() == "MANIFEST" {
			files += string(b)
		}
		return os.WriteFile(at, b, 0o600)
	})
	return files, err
}

// changes returns how many records the changelog has from an offset on, and its end.
func (x *bench) changes(partition int32, from int64) (n, end int64) {
	x.Helper()
	tp := record.TopicPartition{Topic: "app-states-changelog", Partition: partition}
	marks, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{tp})
	x.must(err)
	f, err := x.cluster.Fetcher(kafka.FetchOptions{})
	x.must(err)
	defer f.Close()
	for at := from; at < marks[tp].HighWater; {
		got, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: at}})
		x.must(err)
		for _, g := range got {
			x.must(g.Err)
			n, at = n+int64(len(g.Records)), g.Next
		}
	}
	return n, marks[tp].HighWater
}

// fromCheckpoint fails unless the task was restored from a checkpoint in its directory,
// and, if nothing was committed since, with the records behind it and no other. It
// returns their number.
func (x *bench) fromCheckpoint(p *process, partition int32, since bool) int64 {
	x.Helper()
	r, ok := p.restoredTasks()[fmt.Sprintf("states_%d", partition)]
	if !ok || r.Refused != nil {
		x.Fatalf("partition %d: it was not restored from the directory: %+v", partition, r)
	}
	var at int64
	if _, err := fmt.Sscanf(r.Checkpoint, fmt.Sprintf("app-states-changelog-%d@%%d", partition), &at); err != nil || at == 0 {
		x.Fatalf("partition %d: the checkpoint is %q", partition, r.Checkpoint)
	}
	if want, _ := x.changes(partition, at); !since && r.Records != want {
		x.Errorf("partition %d: %d records restored from offset %d, which has %d behind it", partition, r.Records, at, want)
	}
	return r.Records
}

// fromTopics fails unless all of the task's state was read from the topics, for a
// reason that has the word; no word: there was no directory.
func (x *bench) fromTopics(p *process, partition int32, word string) {
	x.Helper()
	r, ok := p.restoredTasks()[fmt.Sprintf("states_%d", partition)]
	all, _ := x.changes(partition, 0)
	if !ok || r.Checkpoint != "" || r.Records < all-20 { // what was committed since is not restored
		x.Errorf("partition %d: it was restored as %+v, and the changelog has %d records", partition, r, all)
	}
	if word == "" && r.Refused != nil || word != "" && (r.Refused == nil || !strings.Contains(r.Refused.Error(), word)) {
		x.Errorf("partition %d: refused for %v, want %q", partition, r.Refused, word)
	}
}

func TestARestartRestoresOnlyTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		dir := t.TempDir()
		p := x.start(onDisk(dir), nil)
		for range 3 { // changes over changes
			x.feed(200, 20)
			x.drained()
		}
		<-time.After(3 * time.Second) // it is written behind
		written := map[int32]int64{}
		for n := range x.partitions {
			_, written[n] = x.changes(n, 0)
		}
		x.feed(60, 20)
		x.drained()
		crashed := copyDir(t, dir)
		p.kill()

		p = x.start(onDisk(crashed), nil)
		x.eventually("running", p.running(2))
		for n := range x.partitions {
			want, _ := x.changes(n, written[n])
			if got := x.fromCheckpoint(p, n, false); got != want || got == 0 {
				t.Errorf("partition %d: %d records restored, %d were not written", n, got, want)
			}
		}
		x.feed(60, 20)
		x.drained()
		p.stop()

		p = x.start(onDisk(crashed), nil) // after a stop in order there is nothing to read
		x.eventually("running", p.running(2))
		for n := range x.partitions {
			if got := x.fromCheckpoint(p, n, false); got != 0 {
				t.Errorf("partition %d: %d records restored after a stop in order", n, got)
			}
		}
		x.feed(60, 20)
		x.drained()
		p.stop()
		x.check()
	})
}

func TestATaskThatComesBackRestoresWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		first := onDisk(t.TempDir())
		x.feed(200, 20)
		a := x.start(first, nil)
		x.drained()
		second := onDisk(t.TempDir())
		second.Instance = ""
		b := x.start(second, nil)
		x.eventually("each has one", func() bool { return a.running(1)() && b.running(1)() })
		x.feed(60, 20)
		x.drained()
		a.stop()
		x.eventually("b has both", b.running(2))
		x.feed(60, 20)
		x.drained()
		a = x.start(first, nil)
		x.eventually("each has one again", func() bool { return a.running(1)() && b.running(1)() })
		if len(a.restoredTasks()) != 1 {
			t.Errorf("a restored %+v", a.restoredTasks())
		}
		for name := range a.restoredTasks() {
			if n := x.fromCheckpoint(a, int32(name[len(name)-1]-'0'), false); n == 0 {
				t.Error("it missed nothing")
			}
		}
		x.feed(60, 20)
		x.drained()
		a.stop()
		b.stop()
		x.check()
	})
}

// Each of them is found where the task starts, and the other task keeps its directory.
func TestADirectoryThatIsNotWholeIsRebuilt(t *testing.T) {
	largest := func(t *testing.T, pattern string) string {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		return files[0]
	}
	for _, c := range []struct {
		name, word string
		damage     func(t *testing.T, dir string) error
	}{
		{"lost", "", func(_ *testing.T, dir string) error { return os.RemoveAll(dir) }},
		{"flipped", "damaged", func(t *testing.T, dir string) error {
			file := largest(t, filepath.Join(dir, "rows", "*.sst"))
			b, err := os.ReadFile(file)
			b[len(b)/2] ^= 0x10
			return errors.Join(err, os.WriteFile(file, b, 0o600))
		}},
		{"cut", "damaged", func(t *testing.T, dir string) error {
			return os.Truncate(largest(t, filepath.Join(dir, "rows", "*.sst")), 512)
		}},
		{"manifest", "damaged", func(_ *testing.T, dir string) error {
			return os.Remove(filepath.Join(dir, "rows", "MANIFEST"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				dir := t.TempDir()
				x.feed(200, 20)
				p := x.start(onDisk(dir), nil)
				x.drained()
				p.stop()
				x.must(c.damage(t, filepath.Join(dir, "app", "states_1")))
				p = x.start(onDisk(dir), nil)
				x.eventually("running", p.running(2))
				x.fromTopics(p, 1, c.word)
				if n := x.fromCheckpoint(p, 0, true); n != 0 {
					t.Errorf("the other task restored %d records", n)
				}
				x.feed(60, 20)
				x.drained()
				p.stop()
				x.check()
			})
		})
	}
}

func TestADirectoryOfOtherChangelogsIsNotUsed(t *testing.T) {
	for _, c := range []struct {
		name, word string
		fed        int // before the directory is used
		opts       mem.Options
	}{
		{"cluster", "the cluster", 200, mem.Options{ClusterID: "another"}},
		{"cut", "the log was cut", 10, mem.Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				x := newBench(t, 1, mem.Options{})
				x.feed(200, 20)
				p := x.start(onDisk(dir), nil)
				x.drained()
				p.stop()
				x = newBench(t, 1, c.opts)
				x.feed(c.fed, 5)
				p = x.start(Config{Instance: "b"}, nil)
				x.drained()
				p.stop()
				p = x.start(onDisk(dir), nil)
				x.eventually("running", p.running(1))
				x.fromTopics(p, 0, c.word)
				x.feed(60, 20)
				x.drained()
				p.stop()
				x.check()
			})
		})
	}
}

// suspended is a cluster whose group confirms nothing any more from a moment on, as to a
// process that is suspended.
type suspended struct {
	kafka.Cluster
	at atomic.Pointer[time.Time] // the last that it has confirmed; nil: it goes on
}

func (s *suspended) Group(opts kafka.GroupOptions) (kafka.Group, error) {
	g, err := s.Cluster.Group(opts)
	return &suspendedGroup{g, s}, err
}

type suspendedGroup struct {
	kafka.Group
	s *suspended
}

func (g *suspendedGroup) Confirmed() time.Time {
	if at := g.s.at.Load(); at != nil {
		return *at
	}
	return g.Group.Confirmed()
}

// While it was suspended others may have deleted rows, and the deletions may be gone from
// the changelog: its directory is as old as what the group has confirmed, whatever its
// clock says when it wakes.
func TestADirectoryIsNoYoungerThanTheGroupConfirms(t *testing.T) {
	for _, sleeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("sleeps=%v", sleeps), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 1, mem.Options{})
				x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "app-states-changelog", Partitions: 1, Configs: map[string]string{
					"cleanup.policy": "compact", deleteRetention: strconv.Itoa(int((10 * time.Minute).Milliseconds())),
				}}))
				var s *suspended
				x.feed(200, 20)
				p := x.start(onDisk(t.TempDir()), func(c kafka.Cluster) kafka.Cluster { s = &suspended{Cluster: c}; return s })
				x.drained()
				if sleeps {
					now := time.Now()
					s.at.Store(&now)
				}
				<-time.After(12 * time.Minute)
				p.mu.Lock()
				p.states = nil
				p.mu.Unlock()
				if !x.broker.Kick(app, "a-1") {
					t.Fatal("there is no such member")
				}
				x.eventually("the task is back", func() bool { return len(p.restoredTasks()) > 0 })
				x.eventually("running", p.running(1))
				s.at.Store(nil)
				if sleeps {
					x.fromTopics(p, 0, "old")
				} else if n := x.fromCheckpoint(p, 0, true); n != 0 {
					t.Errorf("it restored %d records", n)
				}
				x.feed(60, 20)
				x.drained()
				p.stop()
				x.check()
			})
		})
	}
}

// A row whose bytes change while the directory is open is found when it is read: the
// task is restored from the topics while the other one goes on.
func TestATaskWhoseStateIsDamagedIsRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		dir := t.TempDir()
		x.feed(200, 20)
		p := x.start(onDisk(dir), nil)
		x.drained()
		p.stop()
		p = x.start(onDisk(dir), nil)
		x.eventually("running", p.running(2))
		damageStates(x, filepath.Join(dir, "app", "states_1"))
		x.feed(60, 20)
		x.drained()
		x.fromTopics(p, 1, "checksum")
		if n := x.fromCheckpoint(p, 0, true); n != 0 {
			t.Errorf("the other task restored %d records", n)
		}
		x.feed(60, 20)
		x.drained()
		p.stop()
		x.check()
	})
}

// What stands in the way of one task's directory does not stop the others, and ends
// the instance only when it does not go away.
func TestAStateThatCannotBeOpened(t *testing.T) {
	for _, passes := range []bool{true, false} {
		t.Run(fmt.Sprintf("passes=%v", passes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, 2, mem.Options{})
				dir := t.TempDir()
				file := filepath.Join(dir, "app", "states_1")
				x.must(os.MkdirAll(filepath.Dir(file), 0o755))
				x.must(os.WriteFile(file, nil, 0o600))
				x.feed(200, 20)
				p := x.start(onDisk(dir), nil)
				zero := func() bool {
					c := x.offsets()[record.TopicPartition{Topic: "events", Partition: 0}]
					return c.Offset >= x.input[0]
				}
				x.eventually("the other task is through", zero)
				if p.restoredTasks()["states_1"].Task != "" {
					t.Error("a task without a directory was restored")
				}
				if passes {
					x.must(os.Remove(file))
					x.drained()
					p.stop()
					x.check()
					return
				}
				<-p.done
				if p.err == nil || !strings.Contains(p.err.Error(), "states_1") || !strings.Contains(p.err.Error(), "still after") {
					t.Errorf("it ended with %v", p.err)
				}
			})
		})
	}
}

func TestTheStoreIsCheckedBeforeTheStart(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		word string
	}{
		{Config{Store: "floppy"}, `"memory" and "badger"`},
		{Config{Store: Badger}, "DataDir"},
		{Config{StoreMemory: 100}, "StoreMemory"},
	} {
		c.cfg.Brokers = []string{"localhost:9092"}
		if _, err := New(concat(t), c.cfg); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

// A kill at any call leaves a directory from which the state comes back.
func TestSurvivesAKillAtEveryCallWithADirectory(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at += 3 {
			more := true
			t.Run(fmt.Sprintf("after=%v/call=%d", after, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newBench(t, 2, mem.Options{MarkerDelay: 10 * time.Millisecond, Seed: uint64(at)})
					dir, crashed := t.TempDir(), ""
					cfg := onDisk(dir)
					cfg.Workers = 1
					ticks := time.NewTicker(70 * time.Millisecond)
					cfg.tune = func(o *badgerdb.Options) { o.Ticks = ticks.C }
					var died bool
					p := x.start(cfg, func(c kafka.Cluster) kafka.Cluster {
						return &tap{Cluster: c, at: at, after: after, kill: func() {
							c.Close()
							crashed = copyDir(t, dir)
							died = true
						}}
					})
					for range 4 {
						x.feed(50, 7)
						x.eventually("killed, or through", func() bool { synctest.Wait(); return died || x.allCommitted() })
					}
					more = died
					if died {
						p.kill()
						cfg.DataDir = crashed
						p = x.start(cfg, nil)
						x.drained()
						for _, r := range p.restoredTasks() {
							if r.Refused != nil {
								t.Errorf("a crash is no reason to refuse a directory: %+v", r)
							}
						}
					}
					p.stop()
					x.check()
				})
			})
			if !more || t.Failed() {
				break
			}
		}
	}
}

// late is a cluster to which transactions are on their way for a while.
type late struct {
	kafka.Cluster
	by time.Duration
}

func (l late) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := l.Cluster.Producer(opts)
	return lateProducer{p, l.by}, err
}

type lateProducer struct {
	kafka.Producer
	by time.Duration
}

func (p lateProducer) Produce(ctx context.Context, e kafka.Encoding) error {
	<-time.After(p.by)
	return p.Producer.Produce(ctx, e)
}

// What does not fit into memory is on disk, also what a step changed while the
// transaction before it was in flight.
func TestAStateLargerThanItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		cfg := onDisk(t.TempDir())
		cfg.StoreMemory = minStoreMemory
		p := x.start(cfg, func(c kafka.Cluster) kafka.Cluster { return late{c, 30 * time.Millisecond} })
		for range 4 {
			var outputs []record.Output
			for i := range 8000 {
				x.add(&outputs, fmt.Sprintf("key-%d", i), strings.Repeat(fmt.Sprint(i%10), 100))
				if len(outputs) == 1000 {
					x.write(outputs)
					<-time.After(8 * time.Millisecond)
					outputs = nil
				}
			}
		}
		x.drained()
		p.stop()
		x.check()
	})
}

// forgetful is a cluster that has lost its committed offsets.
type forgetful struct{ kafka.Cluster }

func (f forgetful) Admin() (kafka.Admin, error) {
	a, err := f.Cluster.Admin()
	return forgetfulAdmin{a}, err
}

type forgetfulAdmin struct{ kafka.Admin }

func (forgetfulAdmin) Committed(_ context.Context, _ string, partitions []record.TopicPartition, _ bool) (map[record.TopicPartition]kafka.CommittedOffset, error) {
	all := map[record.TopicPartition]kafka.CommittedOffset{}
	for _, tp := range partitions {
		all[tp] = kafka.CommittedOffset{TopicPartition: tp, Offset: -1}
	}
	return all, nil
}

// A directory is as good as the changelog that it stands for, to see that a task has
// been here before.
func TestAStateWithoutOffsetsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		dir := t.TempDir()
		x.feed(50, 5)
		p := x.start(onDisk(dir), nil)
		x.drained()
		p.stop()
		p = x.start(onDisk(dir), func(c kafka.Cluster) kafka.Cluster { return forgetful{c} })
		<-p.done
		if p.err == nil || !strings.Contains(p.err.Error(), "app-states-changelog") || !strings.Contains(p.err.Error(), "committed records") {
			t.Errorf("it ended with %v", p.err)
		}
	})
}

// The state of a task fails while its transaction is in flight: what is committed then
// is in the state that is restored, and nothing of it is done twice.
func TestAStateIsRebuiltBehindTheTransactionInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		dir := t.TempDir()
		x.feed(100, 5)
		p := x.start(onDisk(dir), nil)
		x.drained()
		p.stop()
		p = x.start(onDisk(dir), func(c kafka.Cluster) kafka.Cluster { return late{c, time.Second} })
		x.eventually("running", p.running(1))
		damageStates(x, filepath.Join(dir, "app", "states_0"))
		var outputs []record.Output
		x.add(&outputs, "new", "1,") // it has no row that could be damaged
		x.write(outputs)
		<-time.After(115 * time.Millisecond) // the commit has begun, and takes its time
		x.feed(5, 5)
		x.drained()
		x.fromTopics(p, 0, "checksum")
		p.stop()
		x.check()
	})
}

// damageStates changes the rows of an open directory.
func damageStates(x *bench, dir string) {
	x.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "rows", "*.sst"))
	x.must(err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		x.must(err)
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		x.must(err)
		for i := range b {
			if b[i] == ',' { // between the values of a state
				_, err := f.WriteAt([]byte{';'}, int64(i))
				x.must(err)
			}
		}
		x.must(f.Close())
	}
}
