package mem

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// group is what the group coordinator knows of one group.
type group struct {
	broker     *Broker
	name       string
	offsets    offsets
	topics     []string
	units      int32     // partition numbers to assign: those of the largest topic
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
	generation int32     // the last it is part of; 0: none
	assigned   []int32   // in that generation
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
	units := int32(0)
	for _, t := range opts.Topics {
		n := int32(len(g.broker.topics[t]))
		if n == 0 {
			return "", unknownTopicOrPartition
		}
		units = max(units, n)
	}
	if len(g.members) > 0 && !slices.Equal(g.topics, opts.Topics) {
		return "", inconsistentProtocol
	}
	g.topics, g.units = opts.Topics, units
	g.ids++
	m := g.instance(opts.InstanceID)
	inPlace := m != nil
	if !inPlace {
		m = &member{}
		g.members = append(g.members, m)
	}
	m.owner, m.instance = owner, opts.InstanceID
	m.id = fmt.Sprintf("%s-%d", cmp.Or(opts.InstanceID, "member"), g.ids)
	m.session, m.rebalance = opts.SessionTimeout, opts.RebalanceTimeout
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

// join says that a member has joined, and what it has by then.
func (g *group) join(m *member, claims []int32) {
	m.joined, m.claims = true, slices.Clone(claims)
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

// assign gives every unit to one member, if nobody else has it: those that move
// are first taken from their old member, and given when it has joined again.
func (g *group) assign() {
	owner := map[int32]*member{}
	var takers []*member
	units := g.units
	for _, m := range g.members {
		m.generation = g.generation
		has := m.claims
		if !m.joined {
			has = m.assigned // away, and keeps what it has
			units -= int32(len(has))
		} else {
			takers = append(takers, m)
		}
		for _, u := range has {
			owner[u] = m
		}
	}
	if len(takers) == 0 {
		return
	}
	// Those who have most keep one more where it does not come out even.
	slices.SortStableFunc(takers, func(a, b *member) int { return len(b.claims) - len(a.claims) })
	quota, extra := units/int32(len(takers)), units%int32(len(takers))
	room := map[*member]int32{}
	want := map[int32]*member{}
	for i, m := range takers {
		room[m] = quota
		if int32(i) < extra {
			room[m]++
		}
		for _, u := range slices.Sorted(slices.Values(m.claims)) {
			if room[m] > 0 && u < g.units {
				want[u] = m
				room[m]--
			}
		}
		m.assigned = nil
	}
	next := 0
	for u := range g.units {
		if o := owner[u]; o != nil && !o.joined {
			continue
		}
		m := want[u]
		if m == nil {
			for room[takers[next]] == 0 {
				next++
			}
			m = takers[next]
			room[m]--
		}
		if o := owner[u]; o == nil || o == m {
			m.assigned = append(m.assigned, u)
		}
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
