package runner

import (
	"cmp"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/simulation"
)

// A verdict is how a simulation ended.
type simVerdict struct {
	script simulation.Script // as it went
	fired  map[string]int    // how often each kind of fault took effect
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
	draws     *rand.PCG
	rnd       *rand.Rand // on draws
	turns     *rand.PCG
	order     *rand.Rand // on turns: whose turn it is
	planned   simulation.Step
	verbose   bool
	preferred [2]requestFault
	steady    bool // instances seldom end, so that they get to commit
	verdict   *simVerdict
	trace     hash.Hash64
	began     time.Time
	world     *world
	instances []*instance // nil: not running
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

func (simTB) Helper() {} // nobody asks for the line

// simulate runs a script.
func simulate(t *testing.T, plan simulation.Script, verbose bool) (v simVerdict) {
	v.fired = map[string]int{}
	v.script = simulation.Script{Seed: plan.Seed, Settings: plan.Settings}
	set := plan.Settings
	synctest.Test(t, func(t *testing.T) {
		s := &sim{
			bench: newBench(simTB{t}, int32(set.Partitions), mem.Options{Seed: plan.Seed, MarkerDelay: set.MarkerDelay}),
			gate:  newGate(), draws: rand.NewPCG(0, 0), turns: rand.NewPCG(0, 0), verbose: verbose, verdict: &v, trace: fnv.New64a(), began: time.Now(),
			world: newWorld(set), instances: make([]*instance, set.Instances),
		}
		s.rnd, s.order = rand.New(s.draws), rand.New(s.turns)
		s.reseed(0)
		s.preferred, s.steady = prefer(s.rnd), s.rnd.IntN(3) > 0
		defer s.end()
		topo, err := s.world.topology()
		s.must(err)
		s.topology = topo
		s.reader, err = s.cluster.Fetcher(kafka.FetchOptions{MaxWait: 1})
		s.must(err)
		s.start(0)
		for _, step := range plan.Steps {
			s.step(step)
		}
		s.calm()
		s.judge()
	})
	return v
}

// reseed makes what is drawn from here on a matter of the seed and of the step alone.
func (s *sim) reseed(step int) {
	s.draws.Seed(s.verdict.script.Seed, uint64(2*step))
	s.turns.Seed(s.verdict.script.Seed, uint64(2*step+1))
}

// end kills what is left, and keeps the verdict.
func (s *sim) end() {
	if broken := recover(); broken != nil {
		failed, ok := broken.(simFailed)
		if !ok {
			panic(broken)
		}
		s.verdict.script.Seen = string(failed)
		s.verdict.script.Breaks, _, _ = strings.Cut(string(failed), ":")
		s.say("FAILED: %s", failed)
	}
	s.settleFaults()
	for id := range s.instances {
		s.kill(id)
	}
	s.verdict.script.Trace = s.trace.Sum64()
}

// say tells what happens.
func (s *sim) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	at := time.Since(s.began)
	_, _ = fmt.Fprintf(s.trace, "%v %s\n", at, line) // a hash does not fail
	if s.verbose {
		_, _ = fmt.Fprintf(os.Stdout, "%v %s\n", at, line)
	}
	if s.planned.Number > 0 && !strings.HasPrefix(line, "fault: ") && !strings.Contains(s.went().Note, ": ") {
		s.went().Note += ": " + strings.TrimSpace(strings.ReplaceAll(line, "\u00b5s", "us"))
	}
}

// went is the step of the moment, as it goes.
func (s *sim) went() *simulation.Step {
	return &s.verdict.script.Steps[len(s.verdict.script.Steps)-1]
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
		Workers: 1 + s.rnd.IntN(2), CommitInterval: cmp.Or(s.verdict.script.Settings.CommitInterval, AutoInterval), TransactionTimeout: 2 * time.Second, SessionTimeout: 6 * time.Second, Standbys: s.verdict.script.Settings.Standbys, full: s.verdict.script.Settings.Batch,
		now:  func() time.Time { return time.Now().Add(time.Duration(i.skew.Load())) },
		name: func() string { return name },
	}
	if !s.verbose {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if s.verdict.script.Settings.Static {
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

// step lets one thing happen, drawn by the seed.
func (s *sim) step(planned simulation.Step) {
	s.rest()
	s.ended()
	s.observe()
	s.rest() // for what was due when the broker was looked at
	s.planned = planned
	s.verdict.script.Steps = append(s.verdict.script.Steps, simulation.Step{Number: planned.Number, Note: time.Since(s.began).Round(time.Millisecond).String()})
	s.reseed(planned.Number)
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
		s.say("up to %v pass", d)
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
	s.planned = simulation.Step{}
	s.reseed(-1) // after all steps
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
