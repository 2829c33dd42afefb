package twin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder/scenario"
)

// Generate makes a random valid case out of a seed, without expectations: a
// contract with random policies, and records that arrive out of order, twice,
// renumbered, under a taken number, of another epoch, failing, poisonous or
// malformed, among ticks, crashes, new owners, fixes and re-drives. After a crash
// records are delivered again from the commit offset, as a consumer would read
// them; the case therefore depends on the twin's commits. The same seed makes the
// same case.
func Generate(seed uint64) scenario.Case {
	g := &generator{
		bias:     usual(),
		Rand:     rand.New(rand.NewPCG(seed, 0x5eed)),
		entities: map[string]*producer{},
		logs:     map[int][]scenario.Event{},
		position: map[int]int64{},
	}
	g.contract = g.randomContract()
	g.contract.Because = fmt.Sprintf("seed %d says so", seed)
	g.twin = newFaulty(g.contract, noFault)
	g.faulty = !g.small && g.chance(g.failing)
	for range 10 + g.IntN(40) {
		g.step()
	}
	g.finish()
	return scenario.Case{ID: fmt.Sprintf("seed-%d", seed), From: "twin.Generate", Contract: g.contract, Steps: g.steps}
}

type generator struct {
	*rand.Rand
	bias
	contract policies.Contract
	twin     *Twin
	steps    []scenario.Step
	now      int64

	entities map[string]*producer
	logs     map[int][]scenario.Event // what each partition holds
	position map[int]int64            // the offset to read next
	small    bool                     // the queues of letters are small
	faulty   bool                     // handlers fail in this case
	poisons  []string                 // ids
}

// A producer numbers the events of one entity.
type producer struct {
	epoch, next int64
	sent        []scenario.Event
	missing     []int64 // numbers it left out and may still send
	old         []int64 // missing numbers of the epoch before
}

// chance is true in so many of a hundred.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, options ...T) T { return options[g.IntN(len(options))] }

func (g *generator) randomContract() policies.Contract {
	c := policies.Contract{
		EventsFor: "an entity", Shape: policies.Delta, OnVersionBackward: policies.VersionCount,
		OrderBy:    policies.BySequence,
		Start:      pick(g, policies.StartAt(1), policies.StartAt(1), policies.StartAt(0), policies.StartAt(5), policies.StartFirstSeen()),
		Reset:      pick(g, policies.ResetForbid, policies.ResetEpoch),
		Gap:        pick(g, policies.GapBuffer, policies.GapBuffer, policies.GapBuffer, policies.GapReject, policies.GapRetry, policies.GapRebuild, policies.GapApply),
		OnTimeout:  pick(g, policies.OnTimeoutPark, policies.OnTimeoutSkip, policies.OnTimeoutSkip, policies.OnTimeoutRebuild, policies.OnTimeoutHold),
		OnOverflow: pick(g, policies.OnOverflowPause, policies.OnOverflowSkip, policies.OnOverflowPark),
		MaxWait:    time.Duration(pick(g, 1, 20, 100, 1000)) * time.Millisecond,
		MaxHeld:    pick(g, 1, 2, 3, 100),
		IDMemory:   pick(g, 1, 2, 4, 1000, 1000),
		MaxHoles:   policies.DefaultMaxHoles,
		MaxDLQ:     1000,
		MaxJump:    int64(pick(g, 4, 20, 1_000_000)),
		Retry:      policies.Retry{Max: pick(g, -1, 1, 2, 3), Delay: time.Duration(pick(g, 1, 10, 40)) * time.Millisecond},
		Buffer:     pick(g, policies.BufferDurable, policies.BufferVolatile),
		Slack:      time.Duration(pick(g, 0, 5, 50)) * time.Millisecond,
		MaxFuture:  time.Duration(pick(g, 40, 60_000)) * time.Millisecond,
		MaxDepth:   pick(g, 1, 2, 20),
		Class:      g.randomClass(),
	}
	c.Class.Early = policies.EarlyWait
	switch n := g.IntN(100); {
	case n < 14:
		c.OrderBy = policies.ByVersion
	case n < 24:
		c.OrderBy = policies.ByEventTime
		c.OnOverflow = pick(g, policies.OnOverflowPause, policies.OnOverflowPark) // no hole to skip
	case n < 45:
		c.Causal = true
	}
	g.lean(&c)
	if g.small = g.chance(25); g.small {
		// A full queue of letters (R19) is met by events in hand only: nothing is held,
		// tried again or moved out of an old epoch.
		c.MaxDLQ, c.Causal = pick(g, 1, 2, 4), false
		c.Gap, c.Reset = pick(g, policies.GapReject, policies.GapApply), policies.ResetForbid
		if g.chance(75) { // a stop is met again by the next owner, and ended by a re-drive
			c.MaxDLQ, g.owners, g.redrives, g.spoilt = 1, 80, 40, 60
		}
	}
	if g.chance(60) {
		c.Classes = map[string]policies.Class{"view": g.randomClass(), "pay": g.randomClass()}
	}
	return c
}

func (g *generator) randomClass() policies.Class {
	return policies.Class{
		Early:     pick(g, policies.EarlyWait, policies.EarlyApply),
		Late:      pick(g, policies.LateReject, policies.LateDrop, policies.LateRebuild, policies.LateCompensate),
		Duplicate: policies.DuplicateDrop, Conflict: policies.ConflictReject, Effects: policies.EffectsInOrder,
		Poison: pick(g, policies.PoisonPark, policies.PoisonSkip),
	}
}

// step makes one step of the case.
func (g *generator) step() {
	g.now += int64(pick(g, 0, 0, 1, 1, 1, 5, 30))
	switch n := g.IntN(100 + g.owners + g.redrives); {
	case n < 76:
		g.deliver()
	case n < 82:
		g.do(scenario.Step{Kind: scenario.Tick, At: g.now + int64(pick(g, 10, 100, 1000))})
	case n < 86:
		g.do(scenario.Step{Kind: scenario.Crash, At: g.now})
		g.rewind()
	case n < 88+g.owners:
		g.do(scenario.Step{Kind: scenario.Assign, At: g.now, Generation: g.twin.generation + 1})
		g.rewind()
	case n < 91+g.owners && len(g.poisons) > 0:
		g.do(scenario.Step{Kind: scenario.Fix, At: g.now, ID: pick(g, g.poisons...)})
	default:
		g.do(scenario.Step{Kind: scenario.Redrive, At: g.now, Entity: g.entity()})
	}
}

// finish lets the case come to rest, most often.
func (g *generator) finish() {
	for range 4 {
		for _, p := range []int{0, 1} {
			for g.position[p] < int64(len(g.logs[p])) && len(g.twin.queues[p]) == 0 {
				g.read(p)
			}
		}
	}
	if g.chance(50) {
		g.do(scenario.Step{Kind: scenario.Tick, At: g.now + 5000})
	}
	if g.contract.OrderBy == policies.ByEventTime && g.chance(50) {
		g.do(scenario.Step{Kind: scenario.Flush, At: g.now})
	}
}

func (g *generator) do(s scenario.Step) {
	g.now = s.At
	g.steps = append(g.steps, s)
	if err := g.twin.Do(s); err != nil {
		panic(fmt.Sprintf("twin: a generated step is not possible: %v", err))
	}
}

// rewind sets the consumer back to the commit.
func (g *generator) rewind() {
	commit := map[int]int64{}
	g.twin.commits(commit)
	for p := range g.logs {
		g.position[p] = commit[p]
	}
}

// deliver produces a record and reads one, not always the same.
func (g *generator) deliver() {
	ev := g.produce()
	p := ev.Partition
	ev.HasOffset, ev.Offset = true, int64(len(g.logs[p]))
	g.logs[p] = append(g.logs[p], ev)
	g.read(p)
	if g.generation() > 0 && g.chance(g.zombies) { // an older owner reads it too
		zombie := ev
		zombie.HasGeneration, zombie.Generation = true, g.generation()-1
		g.do(scenario.Step{Kind: scenario.Deliver, At: g.now, Event: zombie})
	}
}

func (g *generator) generation() int64 { return g.twin.generation }

// read delivers the record at the consumer's position of a partition.
func (g *generator) read(p int) {
	ev := g.logs[p][g.position[p]]
	g.logs[p][g.position[p]].Crash = scenario.NoCrash // it has the crash once
	g.position[p]++
	deaths := len(g.twin.crashed)
	g.do(scenario.Step{Kind: scenario.Deliver, At: g.now, Event: ev})
	if len(g.twin.crashed) > deaths {
		g.rewind()
	}
}

func (g *generator) entity() string { return pick(g, "A", "A", "B", "C") }

// produce makes the next record of some entity.
func (g *generator) produce() scenario.Event {
	name := g.entity()
	p := g.entities[name]
	if p == nil {
		p = &producer{next: g.contract.Start.At()}
		if g.contract.Start.FirstSeen() {
			p.next = int64(g.IntN(4))
		}
		g.entities[name] = p
	}
	if len(p.sent) > 0 && g.chance(g.repeats) {
		return g.repeat(p)
	}
	ev := g.number(name, p)
	if g.chance(g.spoilt) {
		g.spoil(&ev)
	}
	p.sent = append(p.sent, ev)
	return ev
}

// number makes a new event with a number of its producer.
func (g *generator) number(name string, p *producer) scenario.Event {
	if g.chance(g.epochs) {
		p.epoch++
		p.next, p.missing, p.old = g.contract.Start.At(), nil, p.missing
	}
	s, epoch := int64(0), p.epoch
	switch {
	case len(p.old) > 0 && g.chance(g.stale):
		s, epoch = pick(g, p.old...), p.epoch-1
	case g.contract.Start.At() > 0 && g.chance(g.low):
		s = g.Int64N(g.contract.Start.At())
	case len(p.missing) > 0 && g.chance(g.fills):
		i := g.IntN(len(p.missing))
		s = p.missing[i]
		p.missing = append(p.missing[:i:i], p.missing[i+1:]...)
	default:
		for g.chance(g.skips) {
			p.missing = append(p.missing, p.next)
			p.next++
		}
		s = p.next
		p.next++
	}
	ev := scenario.Event{
		Entity: name, HasSequence: true, Sequence: s, ID: fmt.Sprintf("%s-%d", name, s), Epoch: epoch,
		Class: pick(g, "", "", "view", "pay"), Data: string(rune('a' + g.IntN(26))),
		Version: int64(g.IntN(6)), EventTime: g.now + int64(g.IntN(80)) - 40,
		Partition: int(name[0]-'A') % 2,
	}
	if epoch > 0 {
		ev.ID = fmt.Sprintf("%s-%d-%d", name, epoch, s)
	}
	if g.chance(5) {
		ev.Partition = 1 - ev.Partition
	}
	if g.contract.Causal && g.chance(g.caused) {
		ev.After = fmt.Sprintf("%s-%d", g.entity(), g.contract.Start.At()+int64(g.IntN(6)))
	}
	if g.faulty {
		switch n := g.IntN(100); {
		case n < 15:
			ev.Fail = 1 + g.IntN(4)
		case n < 22:
			ev.Poison = true
			g.poisons = append(g.poisons, ev.ID)
		}
	}
	if g.chance(5) {
		ev.Crash = pick(g, scenario.BeforeState, scenario.AfterState, scenario.AfterEffect)
	}
	if g.chance(5) {
		ev.Sink = scenario.SinkFaults{LostAck: g.IntN(3), Down: g.IntN(3)}
	}
	return ev
}

// repeat sends an earlier event again: as it was, under a new number, or another
// event under its number.
func (g *generator) repeat(p *producer) scenario.Event {
	ev := pick(g, p.sent...)
	ev.Crash, ev.HasOffset = scenario.NoCrash, false
	switch n := g.IntN(80 + g.others); {
	case n < 60:
	case n < 80:
		ev.Sequence, ev.Epoch = p.next, p.epoch
		if g.chance(80) {
			p.next++
		}
	default:
		ev.ID += pick(g, "x", "y")
		ev.Data = "z"
		p.sent = append(p.sent, ev)
		if ev.Poison {
			g.poisons = append(g.poisons, ev.ID)
		}
	}
	return ev
}

// spoil makes an event malformed or far off.
func (g *generator) spoil(ev *scenario.Event) {
	ev.ID += "!"
	switch g.IntN(6) {
	case 0:
		ev.Entity = ""
	case 1:
		ev.HasSequence, ev.Sequence = false, 0
	case 2:
		ev.Sequence = -1
	case 3:
		ev.Sequence = math.MaxInt64
	case 4:
		ev.Sequence += 2_000_000
	case 5:
		ev.EventTime += 1_000_000
	}
}
