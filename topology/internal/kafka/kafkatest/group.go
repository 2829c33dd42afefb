package kafkatest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// groupCases are about membership and assignments.
func groupCases() []kase {
	return []kase{
		{name: "group/OneMember", rule: "the only member is assigned all partitions of all topics, sorted", run: oneMember},
		{name: "group/Confirmed", rule: "a member knows when it last had what it was assigned, which a static one whose place was taken does not come to know any more", needs: []Feature{StaticMembership}, run: confirmed},
		{name: "group/SecondJoins", rule: "partitions move by Revoked on the old member, then Assigned on the new one, whole tasks at once, and nobody has what another has", run: secondJoins},
		{name: "group/RevokedHolds", rule: "a partition is assigned to nobody else before Revoked of it has returned", run: revokedHolds},
		{name: "group/CommitInRevoked", rule: "the member told last can commit while Revoked runs", run: commitInRevoked},
		{name: "group/Leaves", rule: "when its context ends a member is told Revoked of everything, leaves, and Run returns nil; the others take over", run: leaves},
		{name: "group/StaticReturns", rule: "a static member that returns takes its place at once, and the others keep what they have", needs: []Feature{StaticMembership}, run: staticReturns},
		{name: "group/StaticReturnsInAMove", rule: "a partition that a static member was told to let go of moves on, though the member ended before it joined again, as soon as it is back", needs: []Feature{StaticMembership}, run: staticReturnsInAMove},
		{name: "group/StaticReplaced", rule: "a static member's place taken by another: its old member id is ErrUnknownMember", needs: []Feature{StaticMembership}, run: staticReplaced},
		{name: "group/Lost", rule: "a member that was removed is told Lost of everything, joins again, and cannot commit as who it was", needs: []Feature{KickMember}, run: lost},
		{name: "group/StaleGeneration", rule: "SendOffsets with another generation is ErrIllegalGeneration, of another member ErrUnknownMember, and neither ends the transaction", run: staleGeneration},
		{name: "group/StatePreferred", rule: "a task that moves goes to the member with most state of it, and one that must give up tasks gives up those", run: statePreferred},
		{name: "group/Standbys", rule: "each task has as many standbys as were asked for or members are there, spread evenly, never its owner; all of them are told after Assigned", run: standbys},
		{name: "group/StandbyUntilAssigned", rule: "a member that waits for a task to be let go stands by for it until then", run: standbyUntilAssigned},
		{name: "group/ClusterClose", rule: "closing the cluster ends Run", run: groupClusterClose},
	}
}

// session is the session timeout of members: what happens within prompt did not
// wait for one.
const session = 3 * prompt

// A told is one call of a handler.
type told struct {
	who    string
	what   string // assigned, standby, revoked, released (revoked has returned), lost
	member kafka.Member
	parts  []record.TopicPartition
	tasks  []int32 // of standby
}

// A crew is the members of one group, and all that they were told, in order.
type crew struct {
	x        *bench
	group    string
	topics   []string
	state    map[string]map[int32]int64 // that members have, by name
	standbys int

	mu    sync.Mutex
	log   []told
	alive map[string]map[record.TopicPartition]bool // what each has by its own account
	clash string
}

// A hand is one member of a crew.
type hand struct {
	crew    *crew
	group   kafka.Group
	name    string
	revoked func() // called inside Revoked
	end     func() // ends its context; stop waits too
	stop    func() error
}

func (x *bench) crew(partitions int32, topics int) *crew {
	c := &crew{x: x, group: x.name("group"), alive: map[string]map[record.TopicPartition]bool{}}
	for range topics {
		c.topics = append(c.topics, x.topic(partitions))
	}
	return c
}

// all returns every partition of the crew's topics, sorted.
func (c *crew) all(partitions int32) []record.TopicPartition {
	var all []record.TopicPartition
	for _, t := range c.topics {
		for p := range partitions {
			all = append(all, record.TopicPartition{Topic: t, Partition: p})
		}
	}
	return sorted(all)
}

func sorted(parts []record.TopicPartition) []record.TopicPartition {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b record.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return parts
}

// join starts a member. revoked, if not nil, is called inside its Revoked.
func (c *crew) join(name, instance string, revoked func()) *hand {
	c.x.Helper()
	g, err := c.x.cluster.Group(kafka.GroupOptions{
		Group: c.group, InstanceID: instance, Topics: c.topics,
		SessionTimeout: session, RebalanceTimeout: session, Standbys: c.standbys,
	})
	c.x.must("opening a group", err)
	ctx, cancel := context.WithCancel(c.x.ctx)
	h := &hand{crew: c, group: g, name: name, revoked: revoked, end: cancel}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, h) }()
	h.stop = sync.OnceValue(func() error {
		cancel()
		defer g.Close()
		select {
		case err := <-done:
			return err
		case <-time.After(prompt):
			return fmt.Errorf("Run of %s did not return %v after its context ended", name, prompt)
		}
	})
	c.x.Cleanup(func() {
		if err := h.stop(); err != nil {
			c.x.Logf("ending %s: %v", name, err)
		}
	})
	return h
}

func (c *crew) note(t told) {
	t.parts = slices.Clone(t.parts)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, t)
	has := c.alive[t.who]
	if has == nil {
		has = map[record.TopicPartition]bool{}
		c.alive[t.who] = has
	}
	switch t.what {
	case "assigned":
		for _, p := range t.parts {
			for other, theirs := range c.alive {
				if other != t.who && theirs[p] && c.clash == "" {
					c.clash = fmt.Sprintf("%v is assigned to %s while %s has it", p, t.who, other)
				}
			}
			has[p] = true
		}
	case "released", "lost":
		for _, p := range t.parts {
			delete(has, p)
		}
	}
}

// Assigned implements kafka.GroupHandler.
func (h *hand) Assigned(m kafka.Member, parts []record.TopicPartition) {
	h.crew.note(told{who: h.name, what: "assigned", member: m, parts: parts})
}

// Revoked implements kafka.GroupHandler.
func (h *hand) Revoked(parts []record.TopicPartition) {
	h.crew.note(told{who: h.name, what: "revoked", parts: parts})
	if h.revoked != nil {
		h.revoked()
	}
	h.crew.note(told{who: h.name, what: "released", parts: parts})
}

// Lost implements kafka.GroupHandler.
func (h *hand) Lost(parts []record.TopicPartition) {
	h.crew.note(told{who: h.name, what: "lost", parts: parts})
}

// State implements kafka.GroupHandler.
func (h *hand) State() map[int32]int64 { return h.crew.state[h.name] }

// Standby implements kafka.GroupHandler.
func (h *hand) Standby(tasks []int32) {
	if h.crew.standbys > 0 {
		h.crew.note(told{who: h.name, what: "standby", tasks: slices.Clone(tasks)})
	}
}

// history returns a copy of what was told.
func (c *crew) history() []told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// disjoint breaks the rule if something was ever assigned to two members.
func (c *crew) disjoint() {
	c.x.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clash != "" {
		c.x.broken("%s\n  told: %+v", c.clash, c.log)
	}
}

// last returns what a member was told last to have.
func (h *hand) last() (m kafka.Member, parts []record.TopicPartition, generations int) {
	for _, t := range h.crew.history() {
		if t.who == h.name && t.what == "assigned" {
			m, parts = t.member, t.parts
			generations++
		}
	}
	return m, parts, generations
}

// has waits until a member was told last to have what ok accepts.
func (h *hand) has(what string, ok func(parts []record.TopicPartition) bool) (kafka.Member, []record.TopicPartition) {
	h.crew.x.Helper()
	var m kafka.Member
	var parts []record.TopicPartition
	h.crew.x.eventually(func() bool {
		h.crew.disjoint()
		var n int
		m, parts, n = h.last()
		return n > 0 && ok(parts)
	}, "%s has not %s", h.name, what)
	return m, parts
}

func (h *hand) hasAll(partitions int32) kafka.Member {
	h.crew.x.Helper()
	all := h.crew.all(partitions)
	m, _ := h.has("all partitions", func(parts []record.TopicPartition) bool { return len(parts) == len(all) })
	return m
}

func oneMember(x *bench) {
	c := x.crew(4, 2)
	a := c.join("a", "", nil)
	m := a.hasAll(4)
	if _, parts, _ := a.last(); !slices.Equal(parts, c.all(4)) {
		x.broken("assigned %v, want %v", parts, c.all(4))
	}
	if m.ID == "" || m.Generation < 0 || m.InstanceID != "" {
		x.broken("told to be %+v", m)
	}
	if err := a.stop(); err != nil {
		x.broken("Run returned %v when its context ended", err)
	}
}

func confirmed(x *bench) {
	c := x.crew(1, 1)
	begin := time.Now()
	a := c.join("a", "instance-a", nil)
	if at := a.group.Confirmed(); !at.IsZero() && at.Before(begin) {
		x.broken("confirmed as of %v before it has joined", at)
	}
	a.hasAll(1)
	for range 2 {
		x.eventually(func() bool { return a.group.Confirmed().After(begin) }, "no heartbeat is confirmed")
		begin = time.Now()
	}
	b := c.join("b", "instance-a", nil)
	x.eventually(func() bool { _, parts, _ := b.last(); return len(parts) == 1 }, "its place is not taken")
	taken := time.Now()
	x.eventually(func() bool { return b.group.Confirmed().After(taken) }, "no heartbeat of who took its place is confirmed")
	if at := a.group.Confirmed(); at.After(taken) {
		x.broken("confirmed as of %v, its place was taken before %v", at, taken)
	}
}

func secondJoins(x *bench) {
	const partitions = 4
	c := x.crew(partitions, 2)
	a := c.join("a", "", nil)
	a.hasAll(partitions)
	b := c.join("b", "", nil)
	half := func(parts []record.TopicPartition) bool { return len(parts) == partitions }
	ma, pa := a.has("half of them", half)
	mb, pb := b.has("half of them", half)
	x.eventually(func() bool {
		ma, pa, _ = a.last()
		mb, pb, _ = b.last()
		return ma.Generation == mb.Generation
	}, "both in one generation")
	if !slices.Equal(sorted(append(slices.Clone(pa), pb...)), c.all(partitions)) {
		x.broken("a has %v, b has %v: not everything once", pa, pb)
	}
	if ma.ID == mb.ID {
		x.broken("both are %q", ma.ID)
	}
	for _, parts := range [][]record.TopicPartition{pa, pb} {
		topics := map[int32]int{}
		for _, p := range parts {
			topics[p.Partition]++
		}
		for p, n := range topics {
			if n != len(c.topics) {
				x.broken("task %d is split: a has %v, b has %v", p, pa, pb)
			}
		}
	}
	// a released what b has; a's retained partitions were never taken away.
	released := map[record.TopicPartition]bool{}
	for _, t := range c.history() {
		if t.what == "lost" {
			x.broken("%s was told Lost of %v", t.who, t.parts)
		}
		if t.who == "a" && t.what == "released" {
			for _, p := range t.parts {
				released[p] = true
			}
		}
	}
	for _, p := range pb {
		if !released[p] {
			x.broken("b has %v, that a was never told Revoked of", p)
		}
	}
	for _, p := range pa {
		if released[p] {
			x.broken("a kept %v, but was told Revoked of it: the assignment is not cooperative", p)
		}
	}
}

func revokedHolds(x *bench) {
	c := x.crew(2, 1)
	in, leave := make(chan struct{}, 8), make(chan struct{})
	a := c.join("a", "", func() { in <- struct{}{}; <-leave })
	free := sync.OnceFunc(func() { close(leave) })
	defer free()
	a.hasAll(2)
	b := c.join("b", "", nil)
	select {
	case <-in:
	case <-time.After(caseDeadline / 2):
		x.broken("a was not told Revoked when b joined")
	}
	// While a is in Revoked, b may be told of generations, but of nothing to have.
	window := time.Now().Add(300 * time.Millisecond)
	x.eventually(func() bool {
		if _, parts, _ := b.last(); len(parts) != 0 {
			x.broken("b was assigned %v while a had not returned from Revoked", parts)
		}
		return time.Now().After(window)
	}, "the time to look at b is not over")
	free()
	b.has("its part", func(parts []record.TopicPartition) bool { return len(parts) == 1 })
}

func commitInRevoked(x *bench) {
	c := x.crew(2, 1)
	p := x.producer("writer")
	var a *hand
	ready := make(chan struct{})
	result := make(chan error, 8)
	a = c.join("a", "", func() {
		<-ready
		m, _, _ := a.last()
		err := p.Begin()
		if err == nil {
			err = p.SendOffsets(x.ctx, c.group, m, []kafka.CommittedOffset{{TopicPartition: c.all(2)[0], Offset: 42}})
		}
		if err == nil {
			err = p.End(x.ctx, true)
		}
		result <- err
	})
	close(ready)
	a.hasAll(2)
	c.join("b", "", nil)
	select {
	case err := <-result:
		if err != nil {
			x.broken("committing in Revoked as the member told last: %v", err)
		}
	case <-time.After(caseDeadline / 2):
		x.broken("a was not told Revoked when b joined, or could not commit")
	}
	if got := x.stable(c.group, c.all(2)[0]); got.Offset != 42 {
		x.broken("committed offset %+v", got)
	}
}

func leaves(x *bench) {
	c := x.crew(4, 1)
	a := c.join("a", "", nil)
	a.hasAll(4)
	b := c.join("b", "", nil)
	b.has("its part", func(parts []record.TopicPartition) bool { return len(parts) == 2 })
	if err := a.stop(); err != nil {
		x.broken("Run returned %v when its context ended", err)
	}
	c.mu.Lock()
	kept := len(c.alive["a"])
	c.mu.Unlock()
	if kept != 0 {
		x.broken("Run returned, but %d partitions were not revoked", kept)
	}
	left := time.Now()
	b.hasAll(4)
	if took := time.Since(left); took > prompt {
		x.broken("b took over after %v: a did not leave, its session was waited for", took)
	}
}

func staticReturns(x *bench) {
	c := x.crew(4, 1)
	a := c.join("a", "instance-a", nil)
	a.hasAll(4)
	b := c.join("b", "instance-b", nil)
	half := func(parts []record.TopicPartition) bool { return len(parts) == 2 }
	a.has("half", half)
	b.has("half", half)
	_, before, _ := a.last()
	_, others, _ := b.last()
	x.must("ending a", a.stop())
	quiet, back := len(c.history()), time.Now()
	again := c.join("a again", "instance-a", nil)
	m, after := again.has("its place", func(parts []record.TopicPartition) bool { return len(parts) > 0 })
	if took := time.Since(back); took > prompt {
		x.broken("it was back after %v: a session was waited for", took)
	}
	if !slices.Equal(before, after) {
		x.broken("it had %v, and has %v", before, after)
	}
	if m.InstanceID != "instance-a" || m.ID == "" {
		x.broken("told to be %+v", m)
	}
	for _, t := range c.history()[quiet:] {
		if t.who == "b" && (t.what != "assigned" || !slices.Equal(t.parts, others)) {
			x.broken("b was told %s of %v", t.what, t.parts)
		}
	}
	// Who it is now may commit.
	p := x.producer("writer")
	x.must("Begin", p.Begin())
	if err := p.SendOffsets(x.ctx, c.group, m, []kafka.CommittedOffset{{TopicPartition: after[0], Offset: 1}}); err != nil {
		x.broken("SendOffsets of the returned member: %v", err)
	}
	x.must("End", p.End(x.ctx, true))
}

func staticReturnsInAMove(x *bench) {
	c := x.crew(2, 1)
	in, leave := make(chan struct{}, 8), make(chan struct{})
	a := c.join("a", "instance-a", func() { in <- struct{}{}; <-leave })
	free := sync.OnceFunc(func() { close(leave) })
	defer free()
	a.hasAll(2)
	b := c.join("b", "instance-b", nil)
	select {
	case <-in:
	case <-time.After(caseDeadline / 2):
		x.broken("a was not told Revoked when b joined")
	}
	a.end()
	free()
	x.must("ending a", a.stop())
	back := time.Now()
	one := func(parts []record.TopicPartition) bool { return len(parts) == 1 }
	c.join("a again", "instance-a", nil).has("what it kept", one)
	b.has("its part", one)
	if took := time.Since(back); took > prompt {
		x.broken("b had its part after %v: something else was waited for", took)
	}
}

func staticReplaced(x *bench) {
	c := x.crew(1, 1)
	a := c.join("a", "instance-a", nil)
	old := a.hasAll(1)
	x.must("ending a", a.stop())
	c.join("a again", "instance-a", nil).hasAll(1)
	p := x.producer("writer")
	x.must("Begin", p.Begin())
	err := p.SendOffsets(x.ctx, c.group, old, []kafka.CommittedOffset{{TopicPartition: c.all(1)[0], Offset: 1}})
	if !errors.Is(err, kafka.ErrUnknownMember) {
		x.broken("got: %v", err)
	}
	x.must("End", p.End(x.ctx, false))
}

func lost(x *bench) {
	c := x.crew(3, 1)
	a := c.join("a", "", nil)
	old := a.hasAll(3)
	x.must("removing the member", x.h.Kick(c.group, old))
	var again kafka.Member
	x.eventually(func() bool {
		var parts []record.TopicPartition
		again, parts, _ = a.last()
		return again.ID != old.ID && len(parts) == 3
	}, "it did not join again")
	var order []string
	for _, t := range c.history() {
		order = append(order, t.what)
		if t.what == "lost" && !slices.Equal(sorted(t.parts), c.all(3)) {
			x.broken("told Lost of %v, it had %v", t.parts, c.all(3))
		}
	}
	if slices.Contains(order, "revoked") || !slices.Contains(order, "lost") {
		x.broken("it was told %v", order)
	}
	p := x.producer("writer")
	x.must("Begin", p.Begin())
	if err := p.SendOffsets(x.ctx, c.group, old, []kafka.CommittedOffset{{TopicPartition: c.all(3)[0], Offset: 1}}); !errors.Is(err, kafka.ErrUnknownMember) {
		x.broken("SendOffsets as who it was: %v", err)
	}
	x.must("End", p.End(x.ctx, false))
}

func staleGeneration(x *bench) {
	c := x.crew(2, 1)
	a := c.join("a", "", nil)
	now := a.hasAll(2)
	p := x.producer("writer")
	offsets := []kafka.CommittedOffset{{TopicPartition: c.all(2)[0], Offset: 5}}
	x.must("Begin", p.Begin())
	for _, try := range []struct {
		member kafka.Member
		want   error
	}{
		{kafka.Member{ID: now.ID, Generation: now.Generation - 1}, kafka.ErrIllegalGeneration},
		{kafka.Member{ID: now.ID, Generation: now.Generation + 1}, kafka.ErrIllegalGeneration},
		{kafka.Member{ID: "somebody else", Generation: now.Generation}, kafka.ErrUnknownMember},
	} {
		if err := p.SendOffsets(x.ctx, c.group, try.member, offsets); !errors.Is(err, try.want) {
			x.broken("%+v, where the member is %+v: %v, want %v", try.member, now, err, try.want)
		}
	}
	if got, err := x.offset(x.ctx, c.group, offsets[0].TopicPartition, true); err != nil || got.Offset != -1 {
		x.broken("a refused offset is there: %+v, %v", got, err)
	}
	if err := p.SendOffsets(x.ctx, c.group, now, offsets); err != nil {
		x.broken("the member as it is: %v", err)
	}
	if err := p.End(x.ctx, true); err != nil {
		x.broken("End after refused offsets: %v", err)
	}
	if got := x.stable(c.group, offsets[0].TopicPartition); got.Offset != 5 {
		x.broken("committed offset %+v", got)
	}
}

// tasks returns the task numbers of partitions, each once.
func tasks(parts []record.TopicPartition) (numbers []int32) {
	for _, p := range parts {
		numbers = append(numbers, p.Partition)
	}
	return slices.Compact(slices.Sorted(slices.Values(numbers)))
}

func statePreferred(x *bench) {
	const partitions = 4
	c := x.crew(partitions, 2)
	c.state = map[string]map[int32]int64{"a": {0: 7, 1: 3, 2: 3}, "b": {0: 9, 2: 9}, "c": {1: 1 << 40, 0: 1}}
	a := c.join("a", "", nil)
	a.hasAll(partitions)
	for _, j := range []struct {
		name string
		want []int32
	}{{"b", []int32{0, 2}}, {"c", []int32{0, 1}}} {
		h := c.join(j.name, "", nil)
		_, parts := h.has("half of the tasks", func(parts []record.TopicPartition) bool { return len(parts) == partitions })
		if got := tasks(parts); !slices.Equal(got, j.want) {
			x.broken("%s has state of %v, and was assigned %v", j.name, c.state[j.name], got)
		}
		x.must("ending "+j.name, h.stop())
		a.hasAll(partitions)
	}
}

// standby returns the tasks that a member was told last to stand by for.
func (h *hand) standby() (numbers []int32) {
	for _, t := range h.crew.history() {
		if t.who == h.name && t.what == "standby" {
			numbers = t.tasks
		}
	}
	return numbers
}

// stands waits until every task of the group has n standbys, none of them its owner.
func (c *crew) stands(n, partitions int, hands ...*hand) {
	c.x.Helper()
	var last string
	c.x.eventually(func() bool {
		owner, by, load, generations := map[int32]string{}, map[int32][]string{}, []int{}, map[int32]bool{}
		for _, h := range hands {
			m, parts, _ := h.last()
			generations[m.Generation] = true
			for _, p := range tasks(parts) {
				owner[p] = h.name
			}
			numbers := h.standby()
			load = append(load, len(numbers))
			for _, p := range numbers {
				by[p] = append(by[p], h.name)
			}
		}
		last = fmt.Sprintf("owners %v, standbys %v", owner, by)
		if len(generations) != 1 || len(owner) != partitions || slices.Max(load)-slices.Min(load) > 1 {
			return false
		}
		for p, o := range owner {
			if len(by[p]) != n || slices.Contains(by[p], o) || len(slices.Compact(slices.Sorted(slices.Values(by[p])))) != n {
				return false
			}
		}
		return true
	}, "%d standbys of each of %d tasks among %d members", n, partitions, len(hands))
	c.x.Logf("%s", last)
}

func standbys(x *bench) {
	const partitions = 6
	c := x.crew(partitions, 2)
	c.standbys = 2
	a := c.join("a", "", nil)
	c.stands(0, partitions, a)
	b := c.join("b", "", nil)
	c.stands(1, partitions, a, b)
	d := c.join("d", "", nil)
	c.stands(2, partitions, a, b, d)
	x.must("ending a", a.stop())
	c.stands(1, partitions, b, d)
	// One told set for each generation, between Assigned and Revoked.
	before := map[string]string{}
	for _, t := range c.history() {
		if (before[t.who] == "assigned") != (t.what == "standby") {
			x.broken("%s was told %s after %s", t.who, t.what, before[t.who])
		}
		before[t.who] = t.what
	}
}

func standbyUntilAssigned(x *bench) {
	const partitions = 4
	c := x.crew(partitions, 1)
	c.standbys = 1
	// a lets go when b was told of this generation: else b may be told of the next one alone.
	heard := func() bool {
		return slices.ContainsFunc(c.history(), func(t told) bool { return t.who == "b" && t.what == "standby" })
	}
	a := c.join("a", "", func() {
		for limit := time.Now().Add(prompt); !heard() && time.Now().Before(limit); {
			<-time.After(5 * time.Millisecond)
		}
	})
	a.hasAll(partitions)
	b := c.join("b", "", nil)
	_, parts := b.has("half of the tasks", func(parts []record.TopicPartition) bool { return len(parts) == partitions/2 })
	var let []int32 // that a was told to keep warm as it let it go
	var first []int32
	for _, t := range c.history() {
		switch {
		case t.who == "b" && t.what == "standby" && first == nil:
			first = t.tasks
		case t.who == "a" && t.what == "standby" && len(t.tasks) > 0 && let == nil:
			let = t.tasks
		}
	}
	for _, p := range tasks(parts) {
		if !slices.Contains(first, p) {
			x.broken("b was to get task %d, and stood by for %v until then", p, first)
		}
		if !slices.Contains(let, p) {
			x.broken("a let task %d go, and was told to stand by for %v", p, let)
		}
	}
}

func groupClusterClose(x *bench) {
	c := x.crew(2, 1)
	g, err := x.cluster.Group(kafka.GroupOptions{Group: c.group, Topics: c.topics})
	x.must("opening a group", err)
	h := &hand{crew: c, name: "a"}
	done := make(chan error, 1)
	go func() { done <- g.Run(x.ctx, h) }()
	h.hasAll(2)
	x.must("closing the cluster", x.cluster.Close())
	select {
	case err := <-done:
		if x.ctx.Err() != nil {
			x.broken("it ended with its context: %v", err)
		}
	case <-time.After(prompt):
		x.broken("Run did not return %v after Close", prompt)
	}
}
