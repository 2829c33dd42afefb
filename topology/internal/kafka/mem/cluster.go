package mem

import (
	"context"
	"errors"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// A Cluster is one process's connection to a Broker; it implements
// kafka.Cluster. Closing it is to the broker what the death of the process is:
// its transactions stay open and its members in their groups until they time out.
type Cluster struct {
	broker *Broker
	turn   Turn
	gone   bool // guarded by broker.mu
}

var _ kafka.Cluster = (*Cluster)(nil)

// Connect returns a new connection.
func (b *Broker) Connect() *Cluster {
	return b.ConnectInTurn(func(context.Context, string) {})
}

// A Turn returns when a call may look at the broker: once as it begins, and again
// whenever something has happened that it may have waited for. ctx is the call's, kind
// says what was called: a fetcher, a producer, the group or the admin.
type Turn func(ctx context.Context, kind string)

// ConnectInTurn is Connect for a simulation. What several goroutines find in the broker
// at one time depends on which of them comes first; here turn says which. Cluster.Close
// takes no turn: a process dies whatever it waits for.
func (b *Broker) ConnectInTurn(turn Turn) *Cluster { return &Cluster{broker: b, turn: turn} }

// ID implements kafka.Cluster.
func (c *Cluster) ID(ctx context.Context) (string, error) {
	h := c.open("admin")
	err := c.broker.await(ctx, h, c.broker.opts.Clock.Now(), never)
	return c.broker.opts.ClusterID, err
}

// Close implements kafka.Cluster.
func (c *Cluster) Close() error {
	b := c.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	c.gone = true
	b.silence(func(h *handle) bool { return h.cluster == c })
	return nil
}

// Fetcher implements kafka.Cluster.
func (c *Cluster) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	return newFetcher(c.open("fetcher"), opts), nil
}

// Producer implements kafka.Cluster.
func (c *Cluster) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	if opts.Plain != (opts.TransactionalID == "") {
		return nil, errors.New("mem: opening a producer: a transactional id, or plain, must be given")
	}
	return newProducer(c.open("producer"), opts), nil
}

// Group implements kafka.Cluster.
func (c *Cluster) Group(opts kafka.GroupOptions) (kafka.Group, error) {
	if opts.Group == "" || len(opts.Topics) == 0 {
		return nil, errors.New("mem: opening a group: no name or no topics")
	}
	return newGroup(c.open("group"), opts), nil
}

// Admin implements kafka.Cluster.
func (c *Cluster) Admin() (kafka.Admin, error) { return &admin{handle: c.open("admin")}, nil }

// handle is something that a Cluster opened.
type handle struct {
	cluster *Cluster
	broker  *Broker
	kind    string
	done    bool // guarded by broker.mu
}

func (c *Cluster) open(kind string) *handle {
	return &handle{cluster: c, broker: c.broker, kind: kind}
}

// lock takes the lock of the broker when it is the handle's turn.
func (h *handle) lock(ctx context.Context) {
	h.cluster.turn(ctx, h.kind)
	h.broker.mu.Lock()
}

// closed is called under the lock.
func (h *handle) closed() bool { return h.done || h.cluster.gone }

// Close ends what waits in calls of the handle, and fails later calls.
func (h *handle) Close() error {
	h.lock(context.Background())
	defer h.broker.mu.Unlock()
	h.done = true
	h.broker.silence(func(o *handle) bool { return o == h })
	return nil
}

// silence stops the heartbeats of members whose process is gone.
func (b *Broker) silence(gone func(h *handle) bool) {
	now := b.opts.Clock.Now()
	b.advance(now)
	for _, g := range b.groups {
		for _, m := range g.members {
			if m.present && gone(m.owner) {
				m.vanish(now)
			}
		}
	}
	b.notify()
}
