//go:build linux

package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Options says which cluster to start.
type Options struct {
	Nodes  int    // 1 or 3; 0: 1
	Secure bool   // TLS, SCRAM-SHA-512 and ACLs for clients
	Dir    string // of the cluster, made by Start and removed by Close
	Cache  string // where the jars are kept; empty: Cache()
	// Detached nodes outlive the process that starts them.
	Detached bool
	// Log gets a line for every stage of the start; nil: nothing is said.
	Log io.Writer
}

// A Cluster is a Kafka cluster whose nodes are processes of this machine. Its methods
// are called by one goroutine at a time.
type Cluster struct {
	dir      string
	jars     string
	detached bool
	log      io.Writer
	state    state
	children map[int]<-chan struct{} // by pid; closed when the process is reaped
}

const (
	startTime = 3 * time.Minute  // for a loaded machine; 5 to 10 s elsewhere
	stopTime  = 20 * time.Second // before SIGTERM becomes SIGKILL
)

// Start starts a cluster and returns when it is ready. It fails if the directory
// exists and has something in it. When a node does not come up, the error has the end
// of its log.
func Start(ctx context.Context, opts Options) (_ *Cluster, err error) {
	if opts.Nodes == 0 {
		opts.Nodes = 1
	}
	if opts.Nodes != 1 && opts.Nodes != 3 {
		return nil, fmt.Errorf("cluster: %d nodes asked for: there are clusters of 1 and of 3", opts.Nodes)
	}
	if opts.Cache == "" {
		opts.Cache = Cache()
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: directory %s: %w", opts.Dir, err)
	}
	if found, err := os.ReadDir(dir); err == nil && len(found) > 0 {
		return nil, fmt.Errorf("cluster: %s is not empty: a cluster needs a directory of its own", dir)
	}
	jars, err := artifacts(ctx, opts.Cache, opts.Log)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, jars: jars, detached: opts.Detached, log: opts.Log, children: map[int]<-chan struct{}{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.prepare(ctx, opts); err != nil {
		return nil, err
	}
	for i := range c.state.Nodes {
		if err := c.launch(&c.state.Nodes[i]); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, n := range c.state.Nodes {
		if err := c.ready(ctx, n, 0); err != nil {
			return nil, err
		}
	}
	c.say("warming up the coordinators")
	if err := c.warm(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.logs())
	}
	return c, nil
}

// Open finds a cluster that Start of another process made in the directory. The error
// is fs.ErrNotExist if there is none. Its nodes need not run.
func Open(dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: directory %s: %w", dir, err)
	}
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	return &Cluster{dir: dir, jars: s.Jars, detached: true, log: io.Discard, state: s, children: map[int]<-chan struct{}{}}, nil
}

// Cache returns the directory in which jars are kept: $STREAMRUN_KAFKA_CACHE, else
// streamrun-kafka in the user's cache folder.
func Cache() string {
	if dir := os.Getenv("STREAMRUN_KAFKA_CACHE"); dir != "" {
		return dir
	}
	base, err := os.UserCacheDir()
	if err != nil { // no home directory
		base = filepath.Join(os.TempDir(), "cache-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(base, "streamrun-kafka")
}

// Brokers returns the addresses of all nodes, running or not.
func (c *Cluster) Brokers() []string {
	var addrs []string
	for _, n := range c.state.Nodes {
		addrs = append(addrs, n.addr())
	}
	return addrs
}

// Running returns the pids of the nodes that run, by node id.
func (c *Cluster) Running() map[int]int {
	pids := map[int]int{}
	for _, n := range c.state.Nodes {
		if c.runs(n) {
			pids[n.ID] = n.PID
		}
	}
	return pids
}

// Close ends the nodes, with SIGTERM and after a while with SIGKILL, and removes the
// directory. A second Close does nothing.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.state.Nodes {
		errs = append(errs, c.terminate(n))
	}
	limit := time.Now().Add(stopTime)
	for _, n := range c.state.Nodes {
		if c.gone(n, time.Until(limit)) {
			continue
		}
		c.say("node %d does not end: SIGKILL", n.ID)
		errs = append(errs, c.Kill(n.ID))
	}
	if err := errors.Join(errs...); err != nil {
		return err // what still runs is found by its state file
	}
	if err := os.RemoveAll(c.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: removing the data: %w", err)
	}
	return nil
}

// prepare writes and formats everything that the nodes need.
func (c *Cluster) prepare(ctx context.Context, opts Options) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("cluster: making its directory: %w", err)
	}
	ports, err := freePorts(ctx, 2*opts.Nodes)
	if err != nil {
		return err
	}
	c.state = state{Jars: c.jars, ClusterID: newID()}
	for i := range opts.Nodes {
		c.state.Nodes = append(c.state.Nodes, node{ID: i + 1, Port: ports[2*i], Controller: ports[2*i+1]})
	}
	if opts.Secure {
		c.state.Security = &security{Admin: newUser("admin"), User: newUser("user"), Store: rand.Text()}
		if err := c.certify(ctx); err != nil {
			return err
		}
	}
	if err := c.writeFile("log4j2.properties", logging); err != nil {
		return err
	}
	c.say("formatting %d node(s) of cluster %s", opts.Nodes, c.state.ClusterID)
	for _, n := range c.state.Nodes {
		if err := os.MkdirAll(c.path(n, "data"), 0o700); err != nil {
			return fmt.Errorf("cluster: making the directory of node %d: %w", n.ID, err)
		}
		if err := c.writeFile(filepath.Join(n.name(), propertiesFile), c.properties(n)); err != nil {
			return err
		}
		if err := c.format(ctx, n); err != nil {
			return err
		}
	}
	return c.state.write(c.dir)
}

func (c *Cluster) writeFile(name, content string) error {
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("cluster: writing %s: %w", name, err)
	}
	return nil
}

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.log, "kafka: "+format+"\n", args...)
}

// newID returns a cluster id: 22 characters, as Kafka writes 16 bytes, of which the last
// one has two bits only. None of them is a dash, which would be taken for an option.
func newID() string { return rand.Text()[:21] + "A" }

// freePorts returns ports of loopback that nobody listens on, below the range of
// outgoing connections (see Non-obvious).
func freePorts(ctx context.Context, n int) ([]int, error) {
	var b [2]byte
	_, _ = rand.Read(b[:])
	return freePortsFrom(ctx, int(b[0])<<8|int(b[1]), n)
}

// freePortsFrom returns the first ones from an offset on.
func freePortsFrom(ctx context.Context, offset, n int) ([]int, error) {
	const lowest, highest = 20000, 32000
	var ports []int
	var listen net.ListenConfig
	for i := 0; i < highest-lowest && len(ports) < n; i++ {
		port := lowest + (offset+i)%(highest-lowest)
		l, err := listen.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("cluster: giving port %d back: %w", port, err)
		}
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("cluster: %d free ports of %s between %d and %d, %d are needed", len(ports), loopback, lowest, highest, n)
	}
	return ports, nil
}
