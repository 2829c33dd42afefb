package kafkatest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// caseDeadline bounds a case. It is long because a loaded machine is slow, not
// because a case waits.
const caseDeadline = 90 * time.Second

// prompt is how long something may take that has to happen at once.
const prompt = 15 * time.Second

// A kase is one rule and the test of it.
type kase struct {
	name  string
	rule  string
	needs []Feature
	run   func(x *bench)
}

// Run checks every rule against the clusters that open returns, each in a
// subtest of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	run(t, open, func(t *testing.T, f func(t *testing.T)) { f(t) })
}

// RunVirtual is Run with each case in a bubble of testing/synctest: for clusters
// that wait on channels and time only. No case takes real time.
func RunVirtual(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	run(t, open, synctest.Test)
}

func run(t *testing.T, open func(t *testing.T) Harness, in func(t *testing.T, f func(t *testing.T))) {
	t.Helper()
	for _, part := range [][]kase{
		logCases(), marksCases(), fetchCases(), txnCases(), offsetCases(), fencingCases(),
		indefiniteCases(), waitCases(), plainCases(), markerCases(), groupCases(), adminCases(),
	} {
		for _, k := range part {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel() // most cases wait
				in(t, func(t *testing.T) { k.check(t, open) })
			})
		}
	}
}

// check runs the case against a cluster of its own.
func (k kase) check(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	h := open(t)
	if reason, lacks := h.lacks(t, k.needs); lacks {
		t.Logf("left out: %s: %s", k.rule, reason)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), caseDeadline)
	defer cancel()
	k.run(&bench{T: t, ctx: ctx, rule: k.rule, h: h, cluster: h.Cluster, group: h.Prefix + "group"})
}

// lacks reports the first feature that the backend declares to lack. One that
// is neither there nor declared is a fault of the harness.
func (h Harness) lacks(t *testing.T, needs []Feature) (string, bool) {
	t.Helper()
	for _, f := range needs {
		if reason, ok := h.Without[f]; ok {
			return fmt.Sprintf("no %s: %s", f, reason), true
		}
		there := true
		switch f {
		case InjectCodes, InjectLost, InjectLostLater:
			there = h.Inject != nil
		case HoldMarkers:
			there = h.HoldMarkers != nil
		case KickMember:
			there = h.Kick != nil
		case StaticMembership, SizeLimit: // of the cluster itself
		}
		if !there {
			t.Fatalf("the harness can not %q, and gives no reason in Without", f)
		}
	}
	return "", false
}

// A bench is what one case works with.
type bench struct {
	*testing.T
	ctx     context.Context // of the case; it ends all its calls
	rule    string
	h       Harness
	cluster kafka.Cluster
	group   string // for offsets that no member commits
	admin   kafka.Admin
	names   int
}

// broken ends the case: the driver does not keep its rule.
func (x *bench) broken(format string, args ...any) {
	x.Helper()
	x.Fatalf("rule broken: %s\n  seen: %s", x.rule, fmt.Sprintf(format, args...))
}

// must ends the case if something that is not its point fails.
func (x *bench) must(doing string, err error) {
	x.Helper()
	if err != nil {
		x.Fatalf("rule not reached: %s\n  %s: %v", x.rule, doing, err)
	}
}

// name returns a name that the case has not used yet.
func (x *bench) name(prefix string) string {
	x.names++
	return fmt.Sprintf("%s%s-%d", x.h.Prefix, prefix, x.names)
}

// adm returns the case's admin client.
func (x *bench) adm() kafka.Admin {
	x.Helper()
	if x.admin == nil {
		a, err := x.cluster.Admin()
		x.must("opening an admin client", err)
		x.Cleanup(func() { a.Close() })
		x.admin = a
	}
	return x.admin
}

// topic creates a topic.
func (x *bench) topic(partitions int32) string {
	x.Helper()
	name := x.name("topic")
	x.must("creating a topic", x.adm().Create(x.ctx, kafka.Topic{Name: name, Partitions: partitions}))
	return name
}

// partition creates a topic with one partition.
func (x *bench) partition() record.TopicPartition {
	x.Helper()
	return record.TopicPartition{Topic: x.topic(1)}
}

// open opens a producer that has not been initialised.
func (x *bench) open(opts kafka.ProducerOptions) kafka.Producer {
	x.Helper()
	if !opts.Plain {
		opts.TransactionalID = x.h.Prefix + opts.TransactionalID
	}
	p, err := x.cluster.Producer(opts)
	x.must("opening a producer", err)
	x.Cleanup(func() { p.Close() })
	return p
}

// producer opens a producer and initialises it.
func (x *bench) producer(id string) kafka.Producer {
	x.Helper()
	p := x.open(kafka.ProducerOptions{TransactionalID: id, TransactionTimeout: time.Minute})
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	return p
}

// begin begins a transaction and has the outputs acknowledged in it.
func (x *bench) begin(p kafka.Producer, outputs ...record.Output) map[record.TopicPartition]int64 {
	x.Helper()
	x.must("Begin", p.Begin())
	x.must("Produce", p.Produce(x.ctx, p.Encode(outputs)))
	acked, err := p.Flush(x.ctx)
	x.must("Flush", err)
	return acked
}

// commit commits the outputs in a transaction of their own.
func (x *bench) commit(p kafka.Producer, outputs ...record.Output) {
	x.Helper()
	x.begin(p, outputs...)
	x.must("End(commit)", p.End(x.ctx, true))
}

// abort aborts the outputs in a transaction of their own.
func (x *bench) abort(p kafka.Producer, outputs ...record.Output) {
	x.Helper()
	x.begin(p, outputs...)
	x.must("End(abort)", p.End(x.ctx, false))
}

// marks returns the marks of a partition.
func (x *bench) marks(tp record.TopicPartition) kafka.Marks {
	x.Helper()
	m, err := x.adm().EndOffsets(x.ctx, []record.TopicPartition{tp})
	x.must("EndOffsets", err)
	return m[tp]
}

// settled waits until nothing in the partition is undecided, and returns its end.
func (x *bench) settled(tp record.TopicPartition) int64 {
	x.Helper()
	var end int64
	x.eventually(func() bool {
		m := x.marks(tp)
		end = m.HighWater
		return m.LastStable == m.HighWater
	}, "%s-%d has an undecided end", tp.Topic, tp.Partition)
	return end
}

// fetcher opens a reader that waits long enough for a loaded machine.
func (x *bench) fetcher(opts kafka.FetchOptions) kafka.Fetcher {
	x.Helper()
	f, err := x.cluster.Fetcher(opts)
	x.must("opening a fetcher", err)
	x.Cleanup(func() { f.Close() })
	return f
}

// read reads a partition from an offset until the position is to.
func (x *bench) read(opts kafka.FetchOptions, tp record.TopicPartition, from, to int64) []record.Record {
	x.Helper()
	f := x.fetcher(opts)
	defer f.Close()
	var all []record.Record
	for at := from; at < to; {
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: at}})
		if err != nil {
			x.broken("Fetch of %s-%d@%d, on the way to %d: %v", tp.Topic, tp.Partition, at, to, err)
		}
		for _, got := range answer {
			if got.TopicPartition != tp || got.Err != nil {
				x.broken("Fetch of %s-%d@%d answered %+v", tp.Topic, tp.Partition, at, got)
			}
			for _, r := range got.Records {
				if r.Offset < at || r.Offset >= got.Next {
					x.broken("record at offset %d in an answer from %d to %d", r.Offset, at, got.Next)
				}
			}
			if got.Next < at {
				x.broken("position went back from %d to %d", at, got.Next)
			}
			all = append(all, got.Records...)
			at = got.Next
		}
	}
	return all
}

// committed reads what is committed in a partition, from its start to its end.
func (x *bench) committed(tp record.TopicPartition) []record.Record {
	x.Helper()
	return x.read(kafka.FetchOptions{}, tp, 0, x.settled(tp))
}

// eventually waits until a condition holds.
func (x *bench) eventually(holds func() bool, format string, args ...any) {
	x.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(caseDeadline / 2)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			x.broken("still, after %v: %s", caseDeadline/2, fmt.Sprintf(format, args...))
		}
	}
}

// within calls f with a context that ends after d, and breaks the rule if f is
// much later than that.
func (x *bench) within(d time.Duration, what string, f func(ctx context.Context)) {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, d)
	defer cancel()
	start := time.Now()
	f(ctx)
	if late := time.Since(start) - d; late > prompt {
		x.broken("%s returned %v after its context ended", what, late)
	}
}

// out makes an output.
func out(tp record.TopicPartition, value string) record.Output {
	return record.Output{TopicPartition: tp, Timestamp: 1_700_000_000_000, Value: []byte(value)}
}

// values returns the values of records.
func values(records []record.Record) []string {
	var v []string
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}
