package runner

import (
	"errors"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

var (
	simSeeds = flag.Int("sim.seeds", 60, "how many seeds TestSimulation runs")
	simSeed  = flag.Int64("sim.seed", -1, "run this seed alone")
	simDrop  = flag.String("sim.drop", "", "leave these faults of the seed out: numbers and ranges, as a report prints them")
	simTrace = flag.Bool("sim.trace", false, "print what happens")
)

// A script says what a simulation does: everything is drawn from the seed, but the
// faults in drop do not happen.
type simScript struct {
	seed  uint64
	drop  map[int]bool
	trace bool
}

// A verdict is how a simulation ended.
type simVerdict struct {
	failure string         // empty: every promise was kept
	hash    uint64         // of everything that happened
	faults  int            // that happened or were dropped
	fired   map[string]int // how often each kind of fault took effect
}

// An instance is one process of the app.
type instance struct {
	*gate
	id      int
	process *process
	dead    chan struct{}
	member  atomic.Pointer[string] // id in the group, told last
	asleep  time.Time              // nothing of it moves before
	skew    atomic.Int64           // of its clock, nanoseconds
	calls   atomic.Int64           // through the gate so far
	jumped  bool                   // its clock: a patience may have ended before its time
	stopped bool                   // it was told to end
}

// sim is one simulation.
type sim struct {
	*bench
	*gate
	rnd       *rand.Rand
	order     *rand.Rand // draws whose turn it is
	script    simScript
	preferred [2]requestFault
	steady    bool // instances seldom end, so that they get to commit
	verdict   *simVerdict
	trace     hash.Hash64
	began     time.Time
	world     *world
	instances []*instance // nil: not running
	static    bool
	standbys  int           // of each task
	interval  time.Duration // of commits
	writers   int
	starts    int
	reader    kafka.Fetcher
	removers  []func() // of requests that are on the wire still
	release   func()   // of markers; nil: none is held
	ahead     int64    // the greatest skew of all
	calmed    bool     // no more faults; all clocks agree
}

// simFailed is panicked with when a promise is broken.
type simFailed string

// simTB makes failures of the bench verdicts of the simulation.
type simTB struct{ testing.TB }

func (t simTB) Fatal(args ...any)                 { panic(simFailed(fmt.Sprint(args...))) }
func (t simTB) Fatalf(format string, args ...any) { panic(simFailed(fmt.Sprintf(format, args...))) }
func (t simTB) Errorf(format string, args ...any) { panic(simFailed(fmt.Sprintf(format, args...))) }

// simulate runs a script.
func simulate(t *testing.T, script simScript) (v simVerdict) {
	v.fired = map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(script.seed, 4))
		partitions := int32(1 + rnd.IntN(3))
		delay := []time.Duration{0, 20 * time.Millisecond, 2 * time.Second}[rnd.IntN(3)]
		s := &sim{
			bench: newBench(simTB{t}, partitions, mem.Options{Seed: script.seed, MarkerDelay: delay}),
			gate:  newGate(), rnd: rnd, order: rand.New(rand.NewPCG(script.seed, 5)), script: script, preferred: prefer(rnd), steady: rnd.IntN(3) > 0, verdict: &v, trace: fnv.New64a(), began: time.Now(),
			world: newWorld(rnd), instances: make([]*instance, 1+rnd.IntN(3)), static: rnd.IntN(2) == 0, standbys: rnd.IntN(3),
		}
		s.interval = []time.Duration{AutoInterval, 200 * time.Millisecond, 200 * time.Millisecond}[script.seed%3]
		defer s.end()
		topo, err := s.world.topology()
		s.must(err)
		s.topology = topo
		s.reader, err = s.cluster.Fetcher(kafka.FetchOptions{MaxWait: 1})
		s.must(err)
		s.chaos()
		s.calm()
		s.judge()
	})
	return v
}

// end kills what is left, and keeps the verdict.
func (s *sim) end() {
	if broken := recover(); broken != nil {
		failed, ok := broken.(simFailed)
		if !ok {
			panic(broken)
		}
		s.verdict.failure = string(failed)
		s.say("FAILED: %s", failed)
	}
	s.settleFaults()
	for id := range s.instances {
		s.kill(id)
	}
	s.verdict.hash = s.trace.Sum64()
}

func (s *sim) say(format string, args ...any) {
	line := fmt.Sprintf("%v "+format+"\n", append([]any{time.Since(s.began)}, args...)...)
	_, _ = s.trace.Write([]byte(line)) // a hash does not fail
	if s.script.trace {
		_, _ = os.Stdout.WriteString(line)
	}
}

// start starts an instance.
func (s *sim) start(id int) {
	i := &instance{gate: s.gate, id: id, dead: make(chan struct{})}
	i.skew.Store(int64(time.Duration(s.rnd.IntN(20)) * time.Second))
	if s.calmed {
		i.skew.Store(s.ahead)
	}
	s.ahead = max(s.ahead, i.skew.Load())
	s.starts++
	name := fmt.Sprintf("start-%d", s.starts)
	cfg := Config{
		Workers: 1 + s.rnd.IntN(2), CommitInterval: s.interval, TransactionTimeout: 2 * time.Second, SessionTimeout: 6 * time.Second, Standbys: s.standbys,
		now:  func() time.Time { return time.Now().Add(time.Duration(i.skew.Load())) },
		name: func() string { return name },
	}
	if !s.script.trace {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if s.static {
		cfg.Instance = fmt.Sprintf("i%d", id)
	}
	s.say("start %d", id)
	s.instances[id] = i
	s.connect = func() kafka.Cluster { return s.broker.ConnectInTurn(i.turn) }
	i.process = s.bench.start(cfg, func(c kafka.Cluster) kafka.Cluster { return &gated{c, i} })
}

// kill ends an instance as a kill does.
func (s *sim) kill(id int) {
	i := s.instances[id]
	if i == nil {
		return
	}
	s.instances[id] = nil
	close(i.dead)
	i.process.kill()
	for _, r := range i.process.restoredSince(0) {
		if r.Checkpoint != "" {
			s.note("standby takes over")
		}
	}
}

// chaos lets things happen, one at a time, drawn by the seed.
func (s *sim) chaos() {
	s.start(0)
	steps := 240 + s.rnd.IntN(200)
	for range steps {
		s.rest()
		s.ended()
		s.observe()
		s.rest() // for what was due when the broker was looked at
		roll := s.rnd.IntN(1000)
		switch {
		case roll < 60:
			events := s.world.feed(s.rnd, 1+s.rnd.IntN(8), s.note)
			s.say("write %v", events)
			s.write(events)
		case roll < 85:
			s.happen()
		case roll < 92 && s.release == nil:
			if s.fault("markers held") {
				s.release = s.holdMarkers()
			}
		case roll < 105 && s.release != nil:
			s.say("markers released")
			s.release()
			s.release = nil
		case roll < 120 && len(s.removers) > 0:
			s.say("a late request arrives")
			s.removers[0]()
			s.removers = s.removers[1:]
		default:
			s.pass()
		}
	}
}

// rest waits until nothing moves any more without the simulation, and nobody stands at
// the broker's door.
func (s *sim) rest() {
	for {
		synctest.Wait()
		p := s.gate.turn(s.order)
		if p == nil {
			return
		}
		close(p.open)
	}
}

// happen makes something happen to an instance.
func (s *sim) happen() {
	id := s.rnd.IntN(len(s.instances))
	i := s.instances[id]
	if i == nil {
		s.note("instance joins")
		s.start(id)
		return
	}
	what := s.rnd.IntN(6)
	if s.steady && what < 3 && s.rnd.IntN(4) > 0 {
		return
	}
	switch what {
	case 0, 1:
		at := "idle"
		if all := s.list(); len(all) > 0 {
			at = "before a request"
			for _, p := range all {
				if p.who == i && p.call != "Fetch" {
					at = "before " + p.call
					if p.answer {
						at = "after " + p.call
					}
				}
			}
		}
		if s.fault("kill") {
			s.note("kill")
			s.say("kill %d %s", id, at)
			s.kill(id)
		}
	case 2:
		if !i.stopped && s.fault("stop") {
			s.note("stop")
			i.stopped = true
			i.process.cancel() // it commits, leaves and ends by itself
		}
	case 3:
		if m := i.member.Load(); m != nil && s.fault("kicked out of the group") && s.broker.Kick(app, *m) {
			s.note("kicked out of the group")
		}
	case 4:
		if s.fault("zombie") {
			s.note("zombie")
			if m := i.member.Load(); m != nil {
				s.broker.Kick(app, *m) // it sleeps past its session
			}
			i.asleep = time.Now().Add(time.Duration(1+s.rnd.IntN(8000)) * time.Millisecond)
		}
	case 5:
		if s.fault("clock jumps") {
			s.note("clock jumps")
			i.skew.Add(int64(time.Duration(1+s.rnd.IntN(7200)) * time.Second))
			i.jumped = true
			s.ahead = max(s.ahead, i.skew.Load())
		}
	}
}

// ended takes note of instances that have ended by themselves: told to, or because
// the group has another in their place.
func (s *sim) ended() {
	for id, i := range s.instances {
		if i == nil {
			continue
		}
		select {
		case <-i.process.done:
			s.say("%d ended: %v", id, i.process.err)
			if err := i.process.err; err != nil && !errors.Is(err, kafka.ErrUnknownMember) && !(i.jumped && strings.Contains(err.Error(), "still after")) {
				s.Fatalf("an instance gave up: %v", err)
			}
			s.kill(id)
		default:
		}
	}
}

// moving returns what waits in the gate and may pass.
func (s *sim) moving() []*passage {
	return slices.DeleteFunc(s.list(), func(p *passage) bool { return time.Now().Before(p.who.asleep) })
}

// pass lets one thing pass the gate, or time.
func (s *sim) pass() {
	all := s.moving()
	if len(all) == 0 || s.rnd.IntN(4) == 0 {
		d := time.Duration(1 + s.rnd.Int64N(int64([]time.Duration{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, 3 * time.Second}[min(3, s.rnd.IntN(12)/3)])))
		s.forArrival(d, len(all) == 0)
		return
	}
	p := all[s.rnd.IntN(len(all))]
	if time.Since(p.since) > 100*time.Millisecond {
		s.note("delay")
	}
	f, struck := s.draw(p)
	s.say("%v", p)
	if struck {
		s.strike(p, f)
	} else {
		s.let(p)
	}
}

// forArrival lets time pass, until something arrives if early is set.
func (s *sim) forArrival(d time.Duration, early bool) {
	select {
	case <-s.arrived:
	default:
	}
	var arrived <-chan struct{}
	if early {
		arrived = s.arrived
	}
	over := time.After(d)
	for {
		select {
		case <-arrived:
			s.rest() // of two cases that are ready any is taken, so all end alike
			return
		case <-over:
			s.rest()
			return
		case <-s.knocked:
			s.rest()
		}
	}
}

// calm is the end of all faults: everything must come through in a bounded time.
func (s *sim) calm() {
	s.rest()
	s.say("calm")
	s.settleFaults()
	s.calmed = true
	for _, i := range s.instances {
		if i != nil { // a task clock never goes back, so the one ahead of all stays right
			i.jumped = i.jumped || i.skew.Load() < s.ahead
			i.skew.Store(s.ahead)
		}
	}
	s.write(s.world.feed(s.rnd, 3, s.note))
	limit := time.Now().Add(5 * time.Minute)
	for quiet := 0; quiet < 3; {
		s.rest()
		s.ended()
		s.observe()
		s.rest()
		if !slices.ContainsFunc(s.instances, func(i *instance) bool { return i != nil }) {
			s.start(0)
			continue
		}
		if time.Now().After(limit) {
			s.Fatalf("I8: not through after 5 minutes: %v, %v", s.committed(), s.list())
		}
		if all := s.list(); len(all) > 0 {
			s.say("%v", all[0])
			s.let(all[0])
			continue
		}
		if s.through() {
			quiet++
		} else {
			quiet = 0
		}
		s.forArrival(200*time.Millisecond, true)
	}
}

// parseDrop reads numbers and ranges.
func parseDrop(text string) (map[int]bool, error) {
	drop := map[int]bool{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		var from, to int
		if n, _ := fmt.Sscanf(part, "%d-%d", &from, &to); n == 1 {
			to = from
		} else if n != 2 {
			return nil, fmt.Errorf("faults to drop: %q is no number and no range", part)
		}
		for f := from; f <= to; f++ {
			drop[f] = true
		}
	}
	return drop, nil
}

func printDrop(drop map[int]bool) string {
	var parts []string
	all := slices.Sorted(maps.Keys(drop))
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(all[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", all[i], all[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// shrink drops faults as long as the simulation still fails.
func shrink(t *testing.T, script simScript, v simVerdict) (simScript, simVerdict) {
	for size := v.faults; size > 0; size /= 2 {
		for from := 1; from <= v.faults; from += size {
			try := simScript{seed: script.seed, drop: maps.Clone(script.drop)}
			if try.drop == nil {
				try.drop = map[int]bool{}
			}
			for f := from; f < from+size; f++ {
				try.drop[f] = true
			}
			if len(try.drop) == len(script.drop) {
				continue
			}
			if got := simulate(t, try); got.failure != "" {
				script, v = try, got
			}
		}
	}
	return script, v
}

func (s simScript) String() string {
	line := fmt.Sprintf("go run ./integration/sim -seed %d", s.seed)
	if len(s.drop) > 0 {
		line += " -drop " + printDrop(s.drop)
	}
	return line
}

// One seed draws everything that happens to a few instances and their broker; every
// promise is checked after every step. A seed that fails is shrunk and printed.
func TestSimulation(t *testing.T) {
	drop, err := parseDrop(*simDrop)
	if err != nil {
		t.Fatal(err)
	}
	if *simSeed >= 0 {
		script := simScript{uint64(*simSeed), drop, *simTrace}
		v := simulate(t, script)
		t.Logf("seed %d: trace %016x, %d faults", script.seed, v.hash, v.faults)
		if v.failure != "" {
			t.Errorf("%v: %s", script, v.failure)
		}
		return
	}
	began := time.Now()
	var mu sync.Mutex // guards what follows
	fired, hashes := map[string]int{}, map[uint64]bool{}
	t.Run("seeds", func(t *testing.T) {
		shards := runtime.GOMAXPROCS(0)
		for shard := range shards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := shard; seed < *simSeeds && !t.Failed(); seed += shards {
					script := simScript{seed: uint64(seed)}
					v := simulate(t, script)
					if seed%20 == 0 {
						if again := simulate(t, script); again.hash != v.hash {
							t.Errorf("I13: %v: trace %016x, then %016x", script, v.hash, again.hash)
						}
					}
					mu.Lock()
					hashes[v.hash] = true
					for kind, n := range v.fired {
						fired[kind] += n
					}
					mu.Unlock()
					if v.failure != "" {
						script, v = shrink(t, script, v)
						t.Errorf("%v: trace %016x: %s", script, v.hash, v.failure)
					}
				}
			})
		}
	})
	for _, kind := range simKinds() {
		t.Logf("%7d %s", fired[kind], kind)
	}
	t.Logf("%d seeds, %d distinct traces, %v", *simSeeds, len(hashes), time.Since(began).Round(time.Millisecond))
	if t.Failed() {
		return // seeds were left out
	}
	for _, problem := range tooFew(*simSeeds, fired, len(hashes)) {
		t.Error(problem)
	}
}
