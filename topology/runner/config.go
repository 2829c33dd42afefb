package runner

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/streamrun/streamrun/statestore/badgerdb"
	"github.com/streamrun/streamrun/topology/internal/graph"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
	"github.com/streamrun/streamrun/topology/security"
)

// A Guarantee says what a failure may cost.
type Guarantee string

// ExactlyOnce commits state, changelog, output, letters and input offsets of a task
// together: in the topics every event takes effect once.
const ExactlyOnce Guarantee = "exactly_once"

// AtLeastOnce commits without transactions: nothing is lost, but a failure may show
// outputs again, and let a value take an event in twice.
const AtLeastOnce Guarantee = "at_least_once"

// AutoInterval as CommitInterval commits as soon as the last commit of a worker has
// ended: at once where there was none lately, at most 20 times a second when commits
// are short, one behind the other, with what came meanwhile, when they are long.
const AutoInterval time.Duration = -1

// autoApart is from the beginning of a commit to that of the next one, at least.
const autoApart = 50 * time.Millisecond

// Config configures a Runner. The zero value of every field but Brokers is useful.
type Config struct {
	// Brokers are addresses of the cluster, host:port.
	Brokers []string
	// Security says how to connect to them; the zero value is a plain connection.
	Security security.Security
	// Compression of everything that is written: none, gzip, snappy, lz4 or zstd;
	// empty: none.
	Compression string
	// Instance names this instance in transactional ids and in its group, for ever:
	// started again under the same name it takes its place at once. Two that run at a
	// time under one name fence each other. Empty: a name kept in DataDir; without
	// DataDir one for this run, and its place is free when it stops.
	Instance string
	// DataDir keeps what outlives the process: the name, and the state under Badger. It
	// belongs to one instance at a time, and is locked. Empty: nothing is kept.
	DataDir string
	// Store says where the state is while the app runs; empty: Badger with a DataDir,
	// else Memory.
	Store Store
	// StoreMemory bounds, in bytes, what each task has in memory of its state under
	// Badger: half of it decoded, half of it as on disk, with what is not written yet;
	// 0: 64 MiB. What cannot be bounded so is in it too, and stays: held events, and
	// the entities that wait. Under Memory all of the state is there.
	StoreMemory int
	// Standbys is how many other instances keep the state of each task warm, so that one of
	// them goes on with it soon when its instance is gone. All instances should say the same.
	// 0: none; with fewer instances as many as there are.
	Standbys int
	// Workers is how many tasks are stepped at a time; 0: GOMAXPROCS.
	Workers int
	// CommitInterval is how long work waits for its commit; 0: 100 ms; AutoInterval: no
	// longer than it must. A batch that becomes large is committed early, and where there
	// is no work nothing is.
	CommitInterval time.Duration
	// TransactionTimeout is after what the broker aborts a transaction whose producer
	// is gone; 0: 10 s.
	TransactionTimeout time.Duration
	// SessionTimeout is after what the group gives the tasks of an instance that is
	// gone to others; 0: 45 s.
	SessionTimeout time.Duration
	// Guarantee: empty is ExactlyOnce.
	Guarantee Guarantee
	// MaxLag is how many offsets a source partition may be behind what can be read while
	// the instance says that it is ready; 0: any number.
	MaxLag int64
	// AcceptOffsets goes on with committed offsets that were moved from outside (a
	// reset, an expiry), which are refused otherwise.
	AcceptOffsets bool
	// Logger: nil logs nothing.
	Logger *slog.Logger
	// Metrics, a prometheus.Registerer, gets the runner's metrics while it runs; two
	// runners of one app need one each. nil: Handler alone has them.
	Metrics metrics.Registerer
	// Listener, if not nil, is told of every State, one at a time and in order. It must
	// return soon, and call nothing of the Runner.
	Listener func(State)

	now  func() time.Time        // the wall clock; nil: the machine's
	name func() string           // draws a name for an instance that has none; nil: at random
	tune func(*badgerdb.Options) // of tests
	full int                     // records of a batch that is full; 0: maxRecords
}

func (c Config) withDefaults() Config {
	def(&c.Workers, runtime.GOMAXPROCS(0))
	def(&c.CommitInterval, 100*time.Millisecond)
	def(&c.TransactionTimeout, 10*time.Second)
	def(&c.SessionTimeout, 45*time.Second)
	def(&c.Guarantee, ExactlyOnce)
	def(&c.StoreMemory, 64<<20)
	def(&c.full, maxRecords)
	if c.Store == "" {
		c.Store = Memory
		if c.DataDir != "" {
			c.Store = Badger
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.name == nil {
		c.name = randomName
	}
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"CommitInterval", c.CommitInterval}, {"TransactionTimeout", c.TransactionTimeout}, {"SessionTimeout", c.SessionTimeout}} {
		if d.value < time.Millisecond && (d.name != "CommitInterval" || d.value != AutoInterval) {
			errs = append(errs, fmt.Errorf("runner: %s is %v; at least 1ms, or 0 for the default", d.name, d.value))
		}
	}
	if c.TransactionTimeout <= c.CommitInterval {
		errs = append(errs, fmt.Errorf("runner: TransactionTimeout %v is not longer than CommitInterval %v", c.TransactionTimeout, c.CommitInterval))
	}
	if c.MaxLag < 0 {
		errs = append(errs, fmt.Errorf("runner: MaxLag is %d; 0 is no limit", c.MaxLag))
	}
	if c.Workers < 0 {
		errs = append(errs, fmt.Errorf("runner: Workers is %d; 0 is one for each processor", c.Workers))
	}
	if c.Standbys < 0 {
		errs = append(errs, fmt.Errorf("runner: Standbys is %d; 0 is none", c.Standbys))
	}
	switch {
	case c.Store != Memory && c.Store != Badger:
		errs = append(errs, fmt.Errorf("runner: store %q is unknown; there are %q and %q", c.Store, Memory, Badger))
	case c.Store == Badger && c.DataDir == "":
		errs = append(errs, errors.New("runner: store badger needs a place: set DataDir (--data-dir)"))
	}
	if c.StoreMemory < minStoreMemory {
		errs = append(errs, fmt.Errorf("runner: StoreMemory is %d bytes; at least %d, or 0 for the default", c.StoreMemory, minStoreMemory))
	}
	if c.Guarantee != ExactlyOnce && c.Guarantee != AtLeastOnce {
		errs = append(errs, fmt.Errorf("runner: guarantee %q is neither %q nor %q", c.Guarantee, ExactlyOnce, AtLeastOnce))
	}
	if c.Instance != "" {
		if err := graph.CheckName(c.Instance); err != nil {
			errs = append(errs, fmt.Errorf("runner: instance: %w", err))
		}
	}
	return errors.Join(errs...)
}

// minStoreMemory has room for one batch of what is not written yet.
const minStoreMemory = 4 << 20

// wire returns how the cluster is reached.
func (c *Config) wire(clientID string) wire.Options {
	return wire.Options{Brokers: c.Brokers, ClientID: clientID, Security: c.Security, Compression: wire.Compression(c.Compression)}
}

// limits returns what a worker decides by.
func (c *Config) limits() decide.Limits {
	l := decide.Limits{Interval: c.CommitInterval, Records: c.full, Bytes: maxBytes, Timeout: c.TransactionTimeout, Patience: c.patience()}
	if c.CommitInterval == AutoInterval {
		l.Interval, l.Apart, l.Ahead = 0, autoApart, c.Guarantee != AtLeastOnce
	}
	return l
}

// patience is how long something that fails may fail again and again before the
// runner gives up.
func (c *Config) patience() time.Duration { return max(2*time.Minute, 2*c.SessionTimeout) }

// releaseWait bounds the commit of tasks that are revoked; after it they are dropped.
func (c *Config) releaseWait() time.Duration { return 2 * c.TransactionTimeout }

// rebalanceTimeout is how long the group waits for an instance to give tasks up.
func (c *Config) rebalanceTimeout() time.Duration { return max(time.Minute, 3*c.TransactionTimeout) }

// fetchWait is how long a fetch waits for records: the accuracy of the task clock, and
// what an event waits for before it can be in a commit.
func (c *Config) fetchWait() time.Duration {
	return min(max(c.CommitInterval/2, 5*time.Millisecond), 100*time.Millisecond)
}
