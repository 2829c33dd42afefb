package mem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// groupMember implements kafka.Group.
type groupMember struct {
	*handle
	opts      kafka.GroupOptions
	running   bool      // guarded by broker.mu
	confirmed time.Time // guarded by broker.mu
}

// Confirmed implements kafka.Group. Heartbeats are not modelled: they arrive as long as
// the process is there.
func (g *groupMember) Confirmed() time.Time {
	g.broker.mu.Lock()
	defer g.broker.mu.Unlock()
	for _, m := range g.broker.group(g.opts.Group).members {
		if m.owner == g.handle && m.present {
			g.confirmed = g.broker.opts.Clock.Now()
		}
	}
	return g.confirmed
}

func newGroup(h *handle, opts kafka.GroupOptions) *groupMember {
	opts.SessionTimeout = cmp.Or(opts.SessionTimeout, 45*time.Second)
	opts.RebalanceTimeout = cmp.Or(opts.RebalanceTimeout, 60*time.Second)
	opts.Topics = slices.Compact(slices.Sorted(slices.Values(opts.Topics)))
	return &groupMember{handle: h, opts: opts}
}

// stay is one membership, from joining to losing or leaving it.
type stay struct {
	id         string
	generation int32   // told last; 0: none
	has        []int32 // units told by Assigned, and not yet given up
}

// Run implements kafka.Group.
func (g *groupMember) Run(ctx context.Context, h kafka.GroupHandler) error {
	if err := g.start(); err != nil {
		return err
	}
	defer g.stop()
	for {
		var s stay
		err := g.enter(ctx, &s)
		if err == nil {
			err = g.follow(ctx, &s, h)
		}
		switch {
		case errors.Is(err, errClosed):
			return err // the process is dead: nobody is told
		case errors.Is(err, errRemoved):
			if len(s.has) > 0 {
				h.Lost(g.partitions(s.has))
			}
			if errors.Is(err, kafka.ErrUnknownMember) {
				return err
			}
		case ctx.Err() != nil:
			if len(s.has) > 0 {
				h.Revoked(g.partitions(s.has))
			}
			g.leave(ctx, s.id)
			return nil
		default:
			return err
		}
	}
}

func (g *groupMember) start() error {
	g.broker.mu.Lock()
	defer g.broker.mu.Unlock()
	if g.running {
		return errors.New("mem: Run: is running")
	}
	g.running = true
	return nil
}

func (g *groupMember) stop() {
	g.broker.mu.Lock()
	defer g.broker.mu.Unlock()
	g.running = false
}

var (
	// errRemoved says that the broker does not know the member any more.
	errRemoved = errors.New("mem: removed from the group")
	// errReplaced says so of a static member whose place another has taken.
	errReplaced = fmt.Errorf("%w: another has taken the static instance: %w", errRemoved, kafka.ErrUnknownMember)
)

// enter makes the process a member.
func (g *groupMember) enter(ctx context.Context, s *stay) error {
	return g.broker.ask(ctx, g.handle, JoinGroup, func(now time.Time) (c code) {
		if s.id == "" && g.running { // else sent again, or handled after Run has ended
			s.id, c = g.broker.group(g.opts.Group).enter(g.handle, g.opts, now)
		}
		return c
	})
}

// follow tells the handler of one generation after the other, leaving none out,
// and joins whenever a rebalance is under way.
func (g *groupMember) follow(ctx context.Context, s *stay, h kafka.GroupHandler) error {
	for {
		var units, standby []int32 // of the new generation
		var gone error
		joining := false
		again := false // something is given up: others may have it in the next generation
		err := g.broker.await(ctx, g.handle, time.Time{}, func(time.Time) bool {
			group := g.broker.group(g.opts.Group)
			m := group.member(s.id)
			switch {
			case m == nil && group.instance(g.opts.InstanceID) != nil:
				gone = errReplaced
			case m == nil:
				gone = errRemoved
			case group.joining && !m.joined && m.generation == s.generation:
				joining = true
			}
			if gone != nil || joining {
				return true
			}
			if m.generation == s.generation {
				return false
			}
			s.generation = m.generation
			units, standby = slices.Clone(m.assigned), slices.Clone(m.standby)
			again = len(without(m.claims, units)) > 0
			return true
		})
		if err == nil {
			err = gone
		}
		if err != nil {
			return err
		}
		if joining {
			g.join(ctx, s, h.State())
			continue
		}
		revoked := without(s.has, units)
		s.has = units
		h.Assigned(kafka.Member{ID: s.id, InstanceID: g.opts.InstanceID, Generation: s.generation}, g.partitions(units))
		h.Standby(standby)
		if len(revoked) > 0 {
			h.Revoked(g.partitions(revoked))
		}
		if again {
			g.rejoin(ctx, s.id)
		}
	}
}

// join joins the rebalance that is under way, if it still is.
func (g *groupMember) join(ctx context.Context, s *stay, state map[int32]int64) {
	b := g.broker
	g.lock(ctx)
	defer b.mu.Unlock()
	b.advance(b.opts.Clock.Now())
	group := b.group(g.opts.Group)
	if m := group.member(s.id); m != nil && group.joining && !m.joined {
		group.join(m, s.has, state)
	}
}

// rejoin begins the rebalance in which others get what the member has given up.
func (g *groupMember) rejoin(ctx context.Context, id string) {
	b := g.broker
	g.lock(ctx)
	defer b.mu.Unlock()
	now := b.opts.Clock.Now()
	b.advance(now)
	group := b.group(g.opts.Group)
	if group.member(id) != nil && !group.joining {
		group.startJoin(now)
		b.notify()
	}
}

// leave ends the membership; a static member keeps its place for a session.
func (g *groupMember) leave(ctx context.Context, id string) {
	b := g.broker
	g.lock(ctx)
	defer b.mu.Unlock()
	now := b.opts.Clock.Now()
	b.advance(now)
	group := b.group(g.opts.Group)
	switch m := group.member(id); {
	case m == nil:
	case m.instance != "":
		m.vanish(now)
		b.notify()
	default:
		group.remove(m, now)
	}
}

// partitions returns the partitions of units, sorted.
func (g *groupMember) partitions(units []int32) []record.TopicPartition {
	g.broker.mu.Lock()
	defer g.broker.mu.Unlock()
	return g.broker.partitionsOf(g.opts.Topics, units)
}

// partitionsOf returns those of the partitions with these numbers that there are, sorted.
func (b *Broker) partitionsOf(topics []string, units []int32) []record.TopicPartition {
	parts := []record.TopicPartition{}
	for _, topic := range topics {
		for _, u := range units {
			if tp := (record.TopicPartition{Topic: topic, Partition: u}); b.partition(tp) != nil {
				parts = append(parts, tp)
			}
		}
	}
	return sorted(parts)
}

// without returns the units of a that are not in b.
func without(a, b []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(a), func(u int32) bool { return slices.Contains(b, u) })
}
