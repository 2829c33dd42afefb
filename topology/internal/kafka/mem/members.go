package mem

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/assign"
)

// group is what the group coordinator knows of one group.
type group struct {
	broker     *Broker
	name       string
	offsets    offsets
	topics     []string
	generation int32     // the member generation
	joining    bool      // members are joining for the next generation ...
	deadline   time.Time // ... until then
	members    []*member // in the order in which they came
	ids        int       // given out
}

// member is one member of a group.
type member struct {
	owner      *handle
	id         string
	instance   string
	session    time.Duration
	rebalance  time.Duration
	present    bool      // heartbeats arrive
	expires    time.Time // if they do not
	joined     bool      // for the next generation
	claims     []int32   // what it said to have as it joined
	state      map[int32]int64
	standbys   int     // that it wants a task to have
	generation int32   // the last it is part of; 0: none
	assigned   []int32 // in that generation
	standby    []int32 // in that generation
}

// group returns a group; one that nobody has named before is empty.
func (b *Broker) group(name string) *group {
	g := b.groups[name]
	if g == nil {
		g = &group{broker: b, name: name, offsets: newOffsets()}
		b.groups[name] = g
	}
	return g
}

func (g *group) member(id string) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (g *group) instance(instance string) *member {
	for _, m := range g.members {
		if m.instance == instance && instance != "" {
			return m
		}
	}
	return nil
}

// mayCommit checks the member that commits offsets. One that names nobody
// is not checked at all, as on a real broker.
func (g *group) mayCommit(who kafka.Member) code {
	if who.ID == "" && who.InstanceID == "" && who.Generation < 0 {
		return 0
	}
	if m := g.instance(who.InstanceID); m != nil && m.id != who.ID {
		return fencedInstanceID
	}
	if g.member(who.ID) == nil {
		return unknownMemberID
	}
	if who.Generation != g.generation {
		return illegalGeneration
	}
	return 0
}

// enter makes a handle's process a member, or puts it in the place of its
// static instance, and returns the member id.
func (g *group) enter(owner *handle, opts kafka.GroupOptions, now time.Time) (string, code) {
	for _, t := range opts.Topics {
		if len(g.broker.topics[t]) == 0 {
			return "", unknownTopicOrPartition
		}
	}
	if len(g.members) > 0 && !slices.Equal(g.topics, opts.Topics) {
		return "", inconsistentProtocol
	}
	g.topics = opts.Topics
	g.ids++
	m := g.instance(opts.InstanceID)
	inPlace := m != nil
	if !inPlace {
		m = &member{}
		g.members = append(g.members, m)
	}
	m.owner, m.instance = owner, opts.InstanceID
	m.id = fmt.Sprintf("%s-%d", cmp.Or(opts.InstanceID, "member"), g.ids)
	m.session, m.rebalance, m.standbys = opts.SessionTimeout, opts.RebalanceTimeout, opts.Standbys
	m.present = true
	if !inPlace {
		g.startJoin(now)
	}
	g.broker.notify()
	return m.id, 0
}

// vanish stops a member's heartbeats.
func (m *member) vanish(now time.Time) {
	m.present = false
	m.expires = now.Add(m.session)
}

// remove takes a member out of the group.
func (g *group) remove(m *member, now time.Time) {
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	g.startJoin(now)
	g.broker.notify()
}

// startJoin begins a rebalance: every member has to join. Under way it goes on,
// for somebody less, or more.
func (g *group) startJoin(now time.Time) {
	if !g.joining {
		g.joining = true
		for _, m := range g.members {
			m.joined = false
		}
	}
	wait := time.Duration(0)
	for _, m := range g.members {
		wait = max(wait, m.rebalance)
	}
	g.deadline = now.Add(wait)
	g.tryComplete()
}

// join says that a member has joined, and what it has by then of tasks and state.
func (g *group) join(m *member, claims []int32, state map[int32]int64) {
	m.joined, m.claims, m.state = true, slices.Clone(claims), maps.Clone(state)
	if m.state == nil {
		m.state = map[int32]int64{} // it tells that it has none
	}
	g.tryComplete()
	g.broker.notify()
}

// tryComplete ends the rebalance when everybody has joined.
func (g *group) tryComplete() {
	if !slices.ContainsFunc(g.members, func(m *member) bool { return !m.joined }) {
		g.complete()
	}
}

// endJoin ends the rebalance without those who have not joined: they are out,
// but for static ones, which keep their place until their session is over.
func (g *group) endJoin(time.Time) {
	g.members = slices.DeleteFunc(g.members, func(m *member) bool { return !m.joined && m.instance == "" })
	g.complete()
}

func (g *group) complete() {
	g.joining = false
	g.generation++
	g.assign()
}

// assign shares the tasks. A member that has not joined again (a static one that is away)
// has what it had.
func (g *group) assign() {
	partitions := map[string]int32{}
	for _, t := range g.topics {
		partitions[t] = int32(len(g.broker.topics[t]))
	}
	var members []assign.Member
	for _, m := range g.members {
		m.generation = g.generation
		has := m.claims
		if !m.joined {
			has = m.assigned
		}
		members = append(members, assign.Member{
			ID: m.id, Topics: g.topics, Owned: g.broker.partitionsOf(g.topics, has), Generation: g.generation, State: m.state,
		})
	}
	standbys := 0
	if len(g.members) > 0 {
		standbys = g.members[0].standbys // that one leads
	}
	plan, err := assign.Assign(members, partitions, standbys)
	if err != nil {
		panic(fmt.Sprintf("mem: sharing %v among %+v: %v", partitions, members, err)) // all read the same topics
	}
	for _, m := range g.members {
		m.assigned, m.standby = nil, plan[m.id].Standby
		for _, tp := range plan[m.id].Partitions {
			if !slices.Contains(m.assigned, tp.Partition) {
				m.assigned = append(m.assigned, tp.Partition)
			}
		}
		slices.Sort(m.assigned)
	}
}

// Kick removes a member from a group, as if its session were over. It reports
// whether there was such a member.
func (b *Broker) Kick(group, memberID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opts.Clock.Now()
	b.advance(now)
	g := b.group(group)
	m := g.member(memberID)
	if m == nil {
		return false
	}
	g.remove(m, now)
	return true
}
