package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Options configures a broker. The zero value is one broker in memory on a port
// that the system chooses.
type Options struct {
	// DataDir keeps the log across restarts; empty: in memory. It is created when
	// it does not exist.
	DataDir string
	// Ports to listen on at 127.0.0.1, one per broker of the cluster; empty: one
	// broker on a free port. A client that outlives a restart needs the same ports.
	Ports []int
	// Partitions of a topic that is created without a count; 0: 1.
	Partitions int
	// MinSessionTimeout is the shortest session that a group member may ask for;
	// 0: 6 s, as Apache Kafka.
	MinSessionTimeout time.Duration
	// TLS, if not nil, is the server's side of every connection.
	TLS *tls.Config
	// Users, if there are any, are who may connect, by SASL.
	Users []User
	// Tap, if set, sees every request; see Tap.
	Tap Tap
}

// A Broker is a running cluster of embedded brokers. Its methods are safe for
// concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	addrs   []string
	tap     *tap
	unlock  func()
	close   sync.Once
}

// Start starts a broker. It fails when a port is taken or the data directory
// cannot be used, is held by another broker, or holds what this version cannot
// read.
func Start(opts Options) (*Broker, error) {
	unlock := func() {}
	if opts.DataDir != "" {
		var err error
		if unlock, err = hold(opts.DataDir); err != nil {
			return nil, err
		}
	}
	ports := opts.Ports
	if len(ports) == 0 {
		ports = []int{0}
	}
	t := &tap{see: opts.Tap, tls: opts.TLS}
	options := []kfake.Opt{
		kfake.Ports(ports...),
		kfake.DefaultNumPartitions(max(opts.Partitions, 1)),
		kfake.ListenFn(t.listen),
	}
	if opts.DataDir != "" {
		options = append(options, kfake.DataDir(filepath.Join(opts.DataDir, "broker")))
	}
	if opts.MinSessionTimeout > 0 {
		options = append(options, kfake.GroupMinSessionTimeout(opts.MinSessionTimeout))
	}
	options = append(options, admitting(opts.Users)...)
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		unlock()
		var port *net.OpError
		if errors.As(err, &port) {
			return nil, fmt.Errorf("embedded: listening: %w (choose another port, or stop what uses it)", err)
		}
		return nil, fmt.Errorf("embedded: starting on %s: %w (move the directory away to start empty)", opts.DataDir, err)
	}
	return &Broker{cluster: cluster, addrs: cluster.ListenAddrs(), tap: t, unlock: unlock}, nil
}

// Addrs returns the bootstrap addresses, one per broker.
func (b *Broker) Addrs() []string { return append([]string(nil), b.addrs...) }

// Close writes what is to be kept, closes every connection and returns. A second
// call does nothing.
func (b *Broker) Close() {
	b.close.Do(func() {
		b.cluster.Close()
		b.tap.cut()
		b.unlock()
	})
}

// MoveLeader makes another broker of the cluster the leader of a partition.
// Brokers count from 0 in the order of Addrs.
func (b *Broker) MoveLeader(topic string, partition int32, broker int32) error {
	if err := b.cluster.MoveTopicPartition(topic, partition, broker); err != nil {
		return fmt.Errorf("embedded: moving the leader of %s-%d to broker %d: %w", topic, partition, broker, err)
	}
	return nil
}

// Leader returns the broker that leads a partition, -1 when there is no such
// partition.
func (b *Broker) Leader(topic string, partition int32) int32 {
	return b.cluster.LeaderFor(topic, partition)
}

// MoveCoordinators gives groups and transactional ids to other brokers of the
// cluster.
func (b *Broker) MoveCoordinators() { b.cluster.RehashCoordinators() }

// Compact compacts every topic whose cleanup.policy is compact.
func (b *Broker) Compact() { b.cluster.Compact() }

// DeleteRecords moves the log start of a partition up to offset.
func (b *Broker) DeleteRecords(topic string, partition int32, offset int64) error {
	if err := b.cluster.DeleteRecords(topic, partition, offset); err != nil {
		return fmt.Errorf("embedded: deleting records of %s-%d below %d: %w", topic, partition, offset, err)
	}
	return nil
}

// hold takes the data directory for this process.
func hold(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("embedded: creating the data directory: %w", err)
	}
	path := filepath.Join(dir, "broker.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("embedded: opening the data directory: %w", err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: data directory %s is in use by another broker: %w", dir, err), f.Close())
	}
	return func() { _ = unlock(f) }, nil
}
