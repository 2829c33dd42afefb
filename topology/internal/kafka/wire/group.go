package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

const (
	// protocol names our assignor; members of a group must have one in common.
	protocol = "streamrun-cooperative"
	// recount is how often a member looks whether a topic has more partitions.
	recount = 5 * time.Second
)

// Group implements kafka.Cluster.
func (c *cluster) Group(opts kafka.GroupOptions) (kafka.Group, error) {
	if opts.Group == "" {
		return nil, errors.New("kafka/wire: opening a group: no name given")
	}
	if len(opts.Topics) == 0 {
		return nil, fmt.Errorf("kafka/wire: opening the group %s: no topic given", opts.Group)
	}
	if opts.SessionTimeout == 0 {
		opts.SessionTimeout = 45 * time.Second
	}
	if opts.RebalanceTimeout == 0 {
		opts.RebalanceTimeout = 60 * time.Second
	}
	g := &group{cluster: c, opts: opts}
	// A join is answered when the others have joined too.
	g.joins = c.router(func(conf *sarama.Config) { conf.Net.ReadTimeout += opts.RebalanceTimeout })
	g.beats = c.router(func(conf *sarama.Config) { conf.Net.ReadTimeout = opts.SessionTimeout })
	return g, c.keep(g)
}

// group implements kafka.Group.
type group struct {
	cluster *cluster
	opts    kafka.GroupOptions
	joins   *router // JoinGroup, SyncGroup, LeaveGroup and metadata
	beats   *router // Heartbeat
	running sync.Mutex

	confirmed atomic.Pointer[time.Time]
}

// Confirmed implements kafka.Group.
func (g *group) Confirmed() time.Time {
	if at := g.confirmed.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Close implements kafka.Group.
func (g *group) Close() error {
	g.cluster.forget(g)
	return errors.Join(g.joins.Close(), g.beats.Close())
}

// membership is where a member stands.
type membership struct {
	kafka.Member
	owned  []record.TopicPartition // assigned and not revoked, sorted
	counts map[string]int32        // partitions of the topics, as they were when it last looked
}

// Run implements kafka.Group. It is called once at a time.
func (g *group) Run(ctx context.Context, h kafka.GroupHandler) error {
	if !g.running.TryLock() {
		return errors.New("kafka/wire: the group runs already")
	}
	defer g.running.Unlock()
	m := &membership{Member: kafka.Member{InstanceID: g.opts.InstanceID, Generation: -1}}
	k := &coordinator{route: g.joins, kind: sarama.CoordinatorGroup, key: g.opts.Group}
	m.counts = make(map[string]int32, len(g.opts.Topics))
	for _, t := range g.opts.Topics {
		m.counts[t] = 0
	}
	if counts, err := g.count(ctx, g.opts.Topics); err == nil { // else it is another count later
		m.counts = counts
	}
	for {
		got, err := g.enter(ctx, k, m, h)
		if err != nil {
			if ctx.Err() == nil {
				g.lose(m, h)
				return fmt.Errorf("kafka/wire: group %s: %w", g.opts.Group, err)
			}
			// The last generation may be over; whoever holds a task finds out when he
			// commits.
			g.release(m, h, m.owned)
			return g.leave(k, m)
		}
		beat := g.heartbeat(m)
		revoked := without(m.owned, got.Partitions)
		m.owned = got.Partitions
		h.Assigned(m.Member, slices.Clone(m.owned))
		h.Standby(got.Standby)
		if len(revoked) > 0 {
			h.Revoked(revoked)
		}
		why := verdictRejoin
		if len(revoked) == 0 && !got.Gives {
			why = g.stay(ctx, beat, m)
		}
		if ctx.Err() != nil && why != verdictLost {
			g.release(m, h, m.owned)
			beat.stop()
			return g.leave(k, m)
		}
		switch last := beat.stop(); {
		case last == verdictFenced:
			g.lose(m, h)
			return fmt.Errorf("kafka/wire: group %s: another process runs as instance %s: %w", g.opts.Group, g.opts.InstanceID, kafka.ErrUnknownMember)
		case last == verdictLost:
			g.lose(m, h)
		}
		if g.joins.isClosed() {
			g.lose(m, h)
			return fmt.Errorf("kafka/wire: group %s: %w", g.opts.Group, errClosed)
		}
	}
}

// lose tells that everything is gone, and forgets who the member was.
func (g *group) lose(m *membership, h kafka.GroupHandler) {
	if len(m.owned) > 0 {
		h.Lost(m.owned)
	}
	m.owned, m.ID, m.Generation = nil, "", -1
}

// release tells the handler to let go.
func (g *group) release(m *membership, h kafka.GroupHandler, parts []record.TopicPartition) {
	if len(parts) > 0 {
		h.Revoked(parts)
	}
	m.owned = without(m.owned, parts)
}

// stay waits for the end of a generation.
func (g *group) stay(ctx context.Context, beat *beating, m *membership) verdict {
	tick := time.NewTicker(recount)
	defer tick.Stop()
	for {
		select {
		case v := <-beat.said:
			return v
		case <-ctx.Done():
			return verdictRejoin
		case <-g.joins.done:
			return verdictRejoin
		case <-tick.C:
			// Every member looks, and not the leader alone: a static one that is back is not
			// told that it still leads, and for the others to join again changes nothing.
			if counts, err := g.count(ctx, topicsOf(m.counts)); err == nil && !maps.Equal(counts, m.counts) {
				m.counts = counts
				return verdictRejoin
			}
		}
	}
}

// leave tells the coordinator that a dynamic member is gone. That it cannot be told
// is no error: the session ends by itself.
func (g *group) leave(k *coordinator, m *membership) error {
	if g.opts.InstanceID != "" || m.ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := k.find(ctx)
	if err == nil {
		_, _ = ask(ctx, c, (*sarama.Broker).LeaveGroup, &sarama.LeaveGroupRequest{
			Version: 3, GroupId: g.opts.Group, Members: []sarama.MemberIdentity{{MemberId: m.ID}},
		})
	}
	return nil
}
