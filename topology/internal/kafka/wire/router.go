package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/security"
)

// unknownGrace is how long a topic may be unknown before that is the answer: the
// brokers of a cluster hear of a new one at different times.
const unknownGrace = time.Second

// A router is what one role knows of the cluster, and its connections. It is safe
// for concurrent use.
type router struct {
	conf  *sarama.Config
	sec   *security.Security
	seeds []string
	done  chan struct{} // closed by Close

	mu      sync.Mutex // guards what follows
	closed  bool
	id      string
	control int32
	brokers map[int32]string
	topics  map[string][]leader // by partition
	ids     map[string][16]byte // of topics
	refused map[string]bool     // topics that the user may not see
	conns   map[string]*conn    // by address
}

// A leader is the broker of a partition; id -1: nobody at the moment.
type leader struct {
	id    int32
	epoch int32
}

func newRouter(conf *sarama.Config, sec *security.Security, seeds []string) *router {
	return &router{
		conf: conf, sec: sec, seeds: seeds, done: make(chan struct{}), control: -1,
		brokers: map[int32]string{}, topics: map[string][]leader{}, ids: map[string][16]byte{}, refused: map[string]bool{}, conns: map[string]*conn{},
	}
}

// Close cuts every connection. Calls that wait return errClosed.
func (r *router) Close() error {
	r.mu.Lock()
	conns := r.conns
	if !r.closed {
		close(r.done)
	}
	r.conns, r.closed = nil, true
	r.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
	return nil
}

// connect returns the connection to an address, which it makes if there is none.
func (r *router) connect(ctx context.Context, addr string) (*conn, error) {
	r.mu.Lock()
	c, closed := r.conns[addr], r.closed
	r.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if c != nil {
		if !c.sock.idle() {
			return c, nil
		}
		r.drop(c)
	}
	c, err := dial(ctx, r.conf, r.sec, addr)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch other := r.conns[addr]; {
	case r.closed:
		go c.close()
		return nil, errClosed
	case other != nil:
		go c.close()
		return other, nil
	}
	r.conns[addr] = c
	return c, nil
}

// drop closes a connection that has failed.
func (r *router) drop(c *conn) {
	r.mu.Lock()
	if r.conns[c.addr] == c {
		delete(r.conns, c.addr)
	}
	r.mu.Unlock()
	c.close()
}

// reset closes every connection, so that nothing sent so far is answered any more.
func (r *router) reset() {
	r.mu.Lock()
	conns := r.conns
	r.conns = map[string]*conn{}
	r.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// anywhere calls f with a connection to any broker that can be reached and
// answers, the known ones first.
func (r *router) anywhere(ctx context.Context, f func(c *conn) error) error {
	r.mu.Lock()
	addrs := make([]string, 0, len(r.brokers)+len(r.seeds))
	for _, addr := range r.brokers {
		addrs = append(addrs, addr)
	}
	addrs = append(addrs, r.seeds...)
	r.mu.Unlock()
	var errs []error
	for _, addr := range addrs {
		c, err := r.connect(ctx, addr)
		if err == nil {
			if err = f(c); err == nil {
				return nil
			}
			r.drop(c)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errClosed) {
			return errClosed
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("%w: %w", kafka.ErrUnreachable, errors.Join(errs...))
}

// refresh asks for the leaders of topics, and for the brokers.
func (r *router) refresh(ctx context.Context, topics []string) error {
	return r.anywhere(ctx, func(c *conn) error {
		q := sarama.NewMetadataRequest(r.conf.Version, topics)
		if len(topics) == 0 {
			// No topic cannot be asked for with this encoding; one that cannot exist
			// can, and costs less than all.
			q.Topics = []string{"\x00"}
		}
		a, err := ask(ctx, c, (*sarama.Broker).GetMetadata, q)
		if err != nil {
			return err
		}
		r.learn(a)
		return nil
	})
}

// learn takes over what an answer says.
func (r *router) learn(a *sarama.MetadataResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.ClusterID != nil {
		r.id = *a.ClusterID
	}
	r.control = a.ControllerID
	clear(r.brokers)
	for _, b := range a.Brokers {
		r.brokers[b.ID()] = b.Addr()
	}
	for _, t := range a.Topics {
		delete(r.refused, t.Name)
		if t.Err == sarama.ErrTopicAuthorizationFailed {
			r.refused[t.Name] = true
		}
		if t.Err == sarama.ErrUnknownTopicOrPartition || t.Err == sarama.ErrTopicAuthorizationFailed {
			delete(r.topics, t.Name)
			delete(r.ids, t.Name)
			continue
		}
		if t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable {
			continue
		}
		leaders := make([]leader, len(t.Partitions))
		for i := range leaders {
			leaders[i].id = -1
		}
		for _, p := range t.Partitions {
			if int(p.ID) < len(leaders) {
				leaders[p.ID] = leader{id: p.Leader, epoch: p.LeaderEpoch}
			}
		}
		r.topics[t.Name], r.ids[t.Name] = leaders, t.Uuid
	}
}

func (r *router) clusterID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// partitions returns how many partitions a topic has, by the last refresh; 0: it
// is not known to exist.
func (r *router) partitions(topic string) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int32(len(r.topics[topic]))
}

// topicID returns the id of a topic, by the last refresh.
func (r *router) topicID(topic string) [16]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[topic]
}

// leader returns the leader of a partition and its address, by the last refresh.
func (r *router) leader(tp record.TopicPartition) (addr string, epoch int32, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	leaders := r.topics[tp.Topic]
	if tp.Partition < 0 || int(tp.Partition) >= len(leaders) {
		return "", 0, false
	}
	l := leaders[tp.Partition]
	addr, ok = r.brokers[l.id]
	return addr, l.epoch, ok
}

// brokerAt returns the id of the broker at an address, by the last refresh; -1: there
// is none.
func (r *router) brokerAt(addr string) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, at := range r.brokers {
		if at == addr {
			return id
		}
	}
	return -1
}

// exists reports whether a partition was there at the last refresh.
func (r *router) exists(tp record.TopicPartition) bool {
	return tp.Partition >= 0 && tp.Partition < r.partitions(tp.Topic)
}

// unknown is the error for a partition that does not exist, as far as the user may
// see.
func (r *router) unknown(tp record.TopicPartition) error {
	if err := r.visible(tp.Topic); err != nil {
		return err
	}
	return fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, kafka.ErrUnknownTopic)
}

// visible fails for a topic that the user may not see, by the last refresh.
func (r *router) visible(topic string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refused[topic] {
		return nil
	}
	return fmt.Errorf("topic %s: %w", topic, mapped(sarama.ErrTopicAuthorizationFailed))
}

// controller returns a connection to the broker that creates topics.
func (r *router) controller(ctx context.Context) (*conn, error) {
	if err := r.refresh(ctx, nil); err != nil {
		return nil, err
	}
	r.mu.Lock()
	addr, ok := r.brokers[r.control]
	r.mu.Unlock()
	if !ok {
		return nil, errors.New("the cluster has no controller at the moment")
	}
	return r.connect(ctx, addr)
}

// A backoff grows from one retry to the next.
type backoff struct{ d time.Duration }

// wait waits before the next try; it fails when ctx ends or the router is closed.
func (r *router) wait(ctx context.Context, b *backoff) error {
	b.d = min(max(2*b.d, 2*time.Millisecond), 200*time.Millisecond)
	t := time.NewTimer(b.d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errClosed
	}
}

func (r *router) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
