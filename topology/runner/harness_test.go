package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

const app = "app"

// concat is a topology that appends the values of each key to its state, and
// publishes every state and the last one. The value "bad" cannot be handled.
func concat(t testing.TB) *topology.Topology {
	t.Helper()
	b := topology.New(app)
	str := serde.Of(serde.String(), serde.String())
	events := topology.Source(b, "events", str)
	table := processors.Aggregate(events, statestore.KeyValue("states", str), func(_, value, state string) (string, error) {
		if value == "bad" {
			return "", fmt.Errorf("a bad value")
		}
		return state + value, nil
	})
	topology.Sink(table.ToStream(), "updates", str)
	topology.SinkTable(table, "table")
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// bench is a broker, its input, and what should come out.
type bench struct {
	testing.TB
	ctx        context.Context
	broker     *mem.Broker // nil: another one
	connect    func() kafka.Cluster
	topology   *topology.Topology
	admin      kafka.Admin
	cluster    kafka.Cluster
	partitions int32
	want       map[string][]string // values by key, in order
	input      map[int32]int64     // records by partition
	writer     kafka.Producer
}

func newBench(t testing.TB, partitions int32, opts mem.Options) *bench {
	t.Helper()
	broker := mem.New(opts)
	x := benchOn(t, partitions, func() kafka.Cluster { return broker.Connect() })
	x.broker = broker
	return x
}

// benchOn is newBench on the cluster behind connect.
func benchOn(t testing.TB, partitions int32, connect func() kafka.Cluster) *bench {
	t.Helper()
	x := &bench{
		TB: t, ctx: t.Context(), connect: connect, topology: concat(t),
		partitions: partitions, want: map[string][]string{}, input: map[int32]int64{},
	}
	x.cluster = x.connect()
	t.Cleanup(func() { x.cluster.Close() })
	var err error
	x.admin, err = x.cluster.Admin()
	x.must(err)
	x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "events", Partitions: partitions}))
	x.writer, err = x.cluster.Producer(kafka.ProducerOptions{TransactionalID: "writer"})
	x.must(err)
	_, err = x.writer.Init(x.ctx)
	x.must(err)
	return x
}

func (x *bench) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// feed writes n values over keys in one transaction.
func (x *bench) feed(n, keys int) {
	x.Helper()
	var outputs []record.Output
	for range n {
		seen := 0
		for _, v := range x.want {
			seen += len(v)
		}
		x.add(&outputs, fmt.Sprintf("key-%d", seen%keys), fmt.Sprintf("%d,", seen))
	}
	x.write(outputs)
}

func (x *bench) add(outputs *[]record.Output, key, value string) {
	p := topology.Partition([]byte(key), x.partitions, 0)
	*outputs = append(*outputs, record.Output{
		TopicPartition: record.TopicPartition{Topic: "events", Partition: p}, Timestamp: 1, Key: []byte(key), Value: []byte(value),
	})
	x.want[key] = append(x.want[key], value)
	x.input[p]++
}

func (x *bench) write(outputs []record.Output) {
	x.Helper()
	x.must(x.writer.Begin())
	x.must(x.writer.Produce(x.ctx, x.writer.Encode(outputs)))
	_, err := x.writer.Flush(x.ctx)
	x.must(err)
	x.must(x.writer.End(x.ctx, true))
}

// process is a runner in a process of its own.
type process struct {
	x       *bench
	cluster kafka.Cluster
	runner  *Runner
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
	mu      sync.Mutex // guards states
	states  []State
}

// start runs an instance on a connection of its own; wrap may put something between.
func (x *bench) start(cfg Config, wrap func(kafka.Cluster) kafka.Cluster) *process {
	x.Helper()
	p := &process{x: x, cluster: x.connect(), done: make(chan struct{})}
	cfg.Listener = func(s State) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.states = append(p.states, s)
	}
	if testing.Verbose() && cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(logWriter{x}, nil))
	}
	cluster := p.cluster
	if wrap != nil {
		cluster = wrap(cluster)
	}
	r, err := NewOn(x.topology, cluster, cfg)
	x.must(err)
	p.runner = r
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(x.ctx)
	go func() {
		defer close(p.done)
		p.err = r.Run(ctx)
	}()
	return p
}

type logWriter struct{ testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// stop ends it gracefully.
func (p *process) stop() {
	p.x.Helper()
	p.cancel()
	<-p.done
	p.x.must(errors.Join(p.err, p.cluster.Close()))
}

// ended waits until it has ended by itself; err says why.
func (p *process) ended() {
	p.x.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Minute):
		p.kill()
		p.x.Fatal("it goes on")
	}
}

// kill ends it as a kill does: the broker hears nothing more of it.
func (p *process) kill() {
	p.x.must(p.cluster.Close())
	p.cancel()
	<-p.done
}

// eventually waits, in virtual time.
func (x *bench) eventually(what string, holds func() bool) {
	x.Helper()
	for limit := time.Now().Add(10 * time.Minute); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(limit) {
			x.Fatalf("still not after 10 minutes: %s", what)
		}
	}
}

func (x *bench) offsets() map[record.TopicPartition]kafka.CommittedOffset {
	x.Helper()
	var tps []record.TopicPartition
	for p := range x.partitions {
		tps = append(tps, record.TopicPartition{Topic: "events", Partition: p})
	}
	got, err := x.admin.Committed(x.ctx, app, tps, true)
	x.must(err)
	return got
}

// drained waits until everything fed is committed.
func (x *bench) drained() {
	x.Helper()
	x.eventually("all input committed", x.allCommitted)
}

func (x *bench) allCommitted() bool {
	x.Helper()
	for tp, c := range x.offsets() {
		n := x.input[tp.Partition]
		switch {
		case n == 0:
			continue
		case c.Offset < 0:
			return false
		}
		m, err := task.ParseMetadata(c.Metadata)
		x.must(err)
		if m.Counts.Delivered < n {
			return false
		}
	}
	return true
}

// records reads what is committed of a topic.
func (x *bench) records(topic string) (all []record.Record) {
	x.Helper()
	for p := range x.partitions {
		all = append(all, x.read(record.TopicPartition{Topic: topic, Partition: p})...)
	}
	return all
}

// check compares everything that is in the topics with the fold of the input.
func (x *bench) check() {
	x.Helper()
	final := map[string]string{}
	updates := map[string][]string{}
	for key, values := range x.want {
		for i := range values {
			updates[key] = append(updates[key], strings.Join(values[:i+1], ""))
		}
		final[key] = strings.Join(values, "")
	}
	got := map[string][]string{}
	for _, r := range x.records("updates") {
		got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
	}
	if diff := cmp.Diff(updates, got); diff != "" {
		x.Errorf("updates (-want +got):\n%s", diff)
	}
	for _, topic := range []string{"table", "app-states-changelog"} {
		if diff := cmp.Diff(final, x.fold(topic)); diff != "" {
			x.Errorf("fold of %s (-want +got):\n%s", topic, diff)
		}
	}
	for tp, c := range x.offsets() {
		if c.Offset < 0 {
			continue
		}
		m, err := task.ParseMetadata(c.Metadata)
		x.must(err)
		if n := x.input[tp.Partition]; !m.Counts.Balanced() || m.Counts.Applied != n || m.Counts.Delivered != n {
			x.Errorf("%s-%d: counts %+v of %d records", tp.Topic, tp.Partition, m.Counts, n)
		}
	}
	x.journalAddsUp()
}

// checkNothingLost is check for at_least_once: every value took effect, for the first
// time in order; it may have done so again.
func (x *bench) checkNothingLost() {
	x.Helper()
	firsts := func(state string) (values []string) {
		for v := range strings.SplitAfterSeq(state, ",") {
			if v != "" && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		return values
	}
	for _, topic := range []string{"table", "app-states-changelog"} {
		got := map[string][]string{}
		for key, state := range x.fold(topic) {
			got[key] = firsts(state)
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			x.Errorf("values of %s, each once (-want +got):\n%s", topic, diff)
		}
	}
	seen := map[string][]string{}
	for _, r := range x.records("updates") {
		seen[string(r.Key)] = firsts(strings.Join(append(seen[string(r.Key)], string(r.Value)), ""))
	}
	if diff := cmp.Diff(x.want, seen); diff != "" {
		x.Errorf("values of the updates, each once (-want +got):\n%s", diff)
	}
	for tp, c := range x.offsets() {
		m, err := task.ParseMetadata(c.Metadata)
		x.must(err)
		if n := x.input[tp.Partition]; c.Offset < n || !m.Counts.Balanced() || m.Counts.Applied != n {
			x.Errorf("%s-%d: counts %+v of %d records at offset %d", tp.Topic, tp.Partition, m.Counts, n, c.Offset)
		}
	}
}

// journalAddsUp folds inputs and journal again and compares with the input.
func (x *bench) journalAddsUp() {
	x.Helper()
	for p := range x.partitions {
		replay := x.refold(p)
		if replay == nil {
			return
		}
		var applied int64
		for _, c := range replay.Dispositions() {
			applied += c.Applied
		}
		if applied != x.input[p] {
			x.Errorf("partition %d folded again: %d records applied, want %d", p, applied, x.input[p])
		}
	}
}

// read reads what is committed of a partition.
func (x *bench) read(tp record.TopicPartition) (all []record.Record) {
	x.Helper()
	f, err := x.cluster.Fetcher(kafka.FetchOptions{})
	x.must(err)
	defer f.Close()
	marks, err := x.admin.EndOffsets(x.ctx, []record.TopicPartition{tp})
	x.must(err)
	for at := marks[tp].LogStart; at < marks[tp].HighWater; {
		got, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: at}})
		x.must(err)
		for _, g := range got {
			x.must(g.Err)
			all, at = append(all, g.Records...), g.Next
		}
	}
	return all
}

// refold folds the inputs of one task and its journal again; nil: it differs.
func (x *bench) refold(p int32) *task.Replay {
	x.Helper()
	plan := task.Plans(x.topology)[0]
	inputs := make([][]record.Record, len(plan.Sources))
	for i, s := range plan.Sources {
		inputs[i] = x.read(record.TopicPartition{Topic: s, Partition: p})
	}
	replay, err := task.NewReplay(plan, p, task.Options{Partitions: func(string) int32 { return x.partitions }},
		func(source int, from, to int64) ([]record.Record, error) {
			return slices.DeleteFunc(slices.Clone(inputs[source]), func(r record.Record) bool { return r.Offset < from || r.Offset >= to }), nil
		})
	x.must(err)
	journal := x.read(record.TopicPartition{Topic: plan.Journal, Partition: p})
	if c := x.offsets()[at(p)]; len(journal) > 0 {
		m, err := task.ParseMetadata(c.Metadata)
		x.must(err)
		if next := journal[len(journal)-1].Offset + 1; m.Journal != next {
			x.Errorf("partition %d: the journal goes on at %d, the offset says %d", p, next, m.Journal)
		}
	}
	for _, r := range journal {
		j, err := task.DecodeJournal(r.Value)
		x.must(err)
		if _, err := replay.Commit(j); err != nil {
			x.Errorf("folding again: %v", err)
			return nil
		}
	}
	return replay
}

// foldsAgain compares what inputs and journal give with the changelog and the
// committed counts of a task.
func (x *bench) foldsAgain(p int32) {
	x.Helper()
	replay := x.refold(p)
	if replay == nil {
		return
	}
	m, err := task.ParseMetadata(x.offsets()[at(p)].Metadata)
	x.must(err)
	if diff := cmp.Diff([]policies.Counts{m.Counts}, replay.Dispositions()[:1]); diff != "" || !m.Counts.Balanced() {
		x.Errorf("partition %d: counts (-committed +folded again):\n%s", p, diff)
	}
	plan := task.Plans(x.topology)[0]
	live := statestore.NewMemory()
	for i, c := range plan.Changelogs {
		x.must(plan.Restore(live, i, p, x.read(record.TopicPartition{Topic: c.Topic, Partition: p}), 0))
	}
	rows := func(b statestore.Backend) map[string]string {
		all := map[string]string{}
		x.must(b.Scan(nil, func(key, row []byte) error { all[string(key)] = string(row); return nil }))
		return all
	}
	if diff := cmp.Diff(rows(live), rows(replay.Backend())); diff != "" {
		x.Errorf("partition %d: rows (-changelog +folded again):\n%s", p, diff)
	}
}

// phases returns the phases that a process went through.
func (p *process) phases() []Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Phase
	for _, s := range p.states {
		if len(all) == 0 || all[len(all)-1] != s.Phase {
			all = append(all, s.Phase)
		}
	}
	return all
}
