package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/security"
)

// Options says how to reach a cluster.
type Options struct {
	Brokers  []string // bootstrap addresses, host:port
	ClientID string   // seen in the broker's logs and quotas; empty: streamrun
	Security security.Security
	// Compression of what producers write. Whatever is read is decompressed.
	Compression Compression
}

// Compression is how batches are compressed. The zero value is none.
type Compression string

// Compressions, as Kafka names them.
const (
	None   Compression = "none"
	Gzip   Compression = "gzip"
	Snappy Compression = "snappy"
	LZ4    Compression = "lz4"
	Zstd   Compression = "zstd"
)

// codec returns sarama's name of a compression.
func (c Compression) codec() (sarama.CompressionCodec, error) {
	switch c {
	case "", None:
		return sarama.CompressionNone, nil
	case Gzip:
		return sarama.CompressionGZIP, nil
	case Snappy:
		return sarama.CompressionSnappy, nil
	case LZ4:
		return sarama.CompressionLZ4, nil
	case Zstd:
		return sarama.CompressionZSTD, nil
	}
	return 0, fmt.Errorf("compression %q is none of none, gzip, snappy, lz4, zstd", string(c))
}

const (
	// maxDecompressed bounds what one compressed batch may become.
	maxDecompressed = 128 << 20
	// inFlight is how many produce requests a connection may have unanswered. The
	// broker remembers the sequences of the last five batches of a partition; more
	// could not be told from new ones when they are sent again.
	inFlight = 5
)

// limitOnce guards a setting that sarama has only as a global.
var limitOnce sync.Once

// Validate returns what is wrong with the options. It connects to nothing and reads
// no file.
func (o Options) Validate() error {
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no broker address given"))
	}
	_, err := o.Compression.codec()
	if err := errors.Join(append(errs, err, o.Security.Validate())...); err != nil {
		return fmt.Errorf("kafka/wire: options: %w", err)
	}
	return nil
}

// New returns the cluster behind the addresses. It does not connect yet: a cluster
// that cannot be reached is an error of the first call that needs it.
func New(opts Options) (kafka.Cluster, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	codec, _ := opts.Compression.codec() // Validate has looked
	limitOnce.Do(func() {
		if sarama.MaxDecompressedBatchSize == 0 {
			sarama.MaxDecompressedBatchSize = maxDecompressed
		}
	})
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.ClientID = "streamrun"
	if opts.ClientID != "" {
		conf.ClientID = opts.ClientID
	}
	conf.Net.MaxOpenRequests = inFlight
	conf.Net.DialTimeout = 5 * time.Second
	conf.Net.ReadTimeout = 10 * time.Second
	conf.Net.WriteTimeout = 10 * time.Second
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("kafka/wire: options: %w", err)
	}
	return &cluster{conf: conf, sec: &opts.Security, codec: codec, seeds: opts.Brokers, open: map[closer]struct{}{}}, nil
}

type closer interface{ Close() error }

// cluster implements kafka.Cluster.
type cluster struct {
	conf  *sarama.Config
	sec   *security.Security
	codec sarama.CompressionCodec
	seeds []string

	mu     sync.Mutex // guards open and closed
	open   map[closer]struct{}
	closed bool
}

var errClosed = errors.New("kafka/wire: closed")

// ID implements kafka.Cluster.
func (c *cluster) ID(ctx context.Context) (string, error) {
	r := c.router(nil)
	defer func() { _ = r.Close() }() // the answer is read
	if err := r.refresh(ctx, nil); err != nil {
		return "", fmt.Errorf("kafka/wire: asking for the cluster id: %w", err)
	}
	return r.clusterID(), nil
}

// router makes a router; tune adjusts its copy of the configuration.
func (c *cluster) router(tune func(*sarama.Config)) *router {
	conf := *c.conf
	if tune != nil {
		tune(&conf)
	}
	return newRouter(&conf, c.sec, c.seeds)
}

// keep remembers what is open, so that Close closes it.
func (c *cluster) keep(x closer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.Join(errClosed, x.Close())
	}
	c.open[x] = struct{}{}
	return nil
}

func (c *cluster) forget(x closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, x)
}

// Close implements kafka.Cluster.
func (c *cluster) Close() error {
	c.mu.Lock()
	open := c.open
	c.open, c.closed = map[closer]struct{}{}, true
	c.mu.Unlock()
	var errs []error
	for x := range open {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
