package runner

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// observed runs an instance whose Runner the test has.
func (x *bench) observed(cfg Config) (r *Runner, stop func()) {
	x.Helper()
	cluster := x.connect()
	r, err := NewOn(x.topology, cluster, cfg)
	x.must(err)
	ctx, cancel := context.WithCancel(x.ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		x.Helper()
		cancel()
		x.must(errors.Join(<-done, cluster.Close()))
	}
}

func (x *bench) ready(r *Runner) {
	x.Helper()
	x.eventually("ready", func() bool { return r.Health().Ready.OK })
}

// metric returns the value of a series as it is served.
func metric(t testing.TB, r *Runner, series string) string {
	t.Helper()
	_, body := probe(t, r.Handler(), "/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, "streamrun_"+series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "none"
}

func wantMetrics(t *testing.T, r *Runner, want map[string]string) {
	t.Helper()
	for series, value := range want {
		if got := metric(t, r, series); got != value {
			t.Errorf("%s is %s, want %s", series, got, value)
		}
	}
}

func TestMetricsFollowTheCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The input is transactional: behind its last record is a marker, late.
		x := newBench(t, 1, mem.Options{MarkerDelay: 20 * time.Millisecond, Seed: 3})
		x.feed(50, 5)
		r, stop := x.observed(Config{Instance: "a", Workers: 1})
		x.ready(r)
		x.drained()
		x.feed(10, 5)
		x.drained()
		<-time.After(time.Second) // the marker is read too
		wantMetrics(t, r, map[string]string{
			`records_consumed_total{app="app",partition="0",topic="events"}`:                            "60",
			`disposition_total{app="app",disposition="applied",partition="0",reason="",topic="events"}`: "60",
			`input_lag_records{app="app",partition="0",topic="events"}`:                                 "0",
			`tasks_assigned{app="app"}`:                            "1",
			`ready{app="app"}`:                                     "1",
			`live{app="app"}`:                                      "1",
			`rebalances_total{app="app",event="assigned"}`:         "1",
			`commits_total{app="app",outcome="aborted"}`:           "0",
			`records_held{app="app",partition="0",topic="events"}`: "0",
			`restored_records_total{app="app"}`:                    "0",
			`commit_seconds_count{app="app"}`:                      metric(t, r, `commits_total{app="app",outcome="committed"}`),
			`disposition_total{app="app",disposition="fenced",partition="0",reason="",topic="events"}`: "0",
		})
		bytes := metric(t, r, `state_bytes{app="app",task="states_0"}`)
		stop()

		again, stop := x.observed(Config{Instance: "a", Workers: 1})
		x.ready(again)
		wantMetrics(t, again, map[string]string{
			`records_consumed_total{app="app",partition="0",topic="events"}`: "60", // it goes on where it was
			`commits_total{app="app",outcome="committed"}`:                   "0",
			`state_bytes{app="app",task="states_0"}`:                         bytes,
		})
		if n := metric(t, again, `restored_records_total{app="app"}`); n == "0" || n == "none" {
			t.Errorf("%s records restored", n)
		}
		if n := metric(t, again, `state_restore_remaining_records{app="app",task="states_0"}`); n != "none" {
			t.Errorf("%s offsets left of a task that is restored", n)
		}
		stop()
	})
}

func TestLagIsWhatCanBeReadAndIsNotConsumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		r, stop := x.observed(Config{Instance: "a", Workers: 1})
		x.ready(r)
		x.feed(5, 5)
		x.drained()
		x.must(x.writer.Begin())
		x.must(x.writer.Produce(x.ctx, x.writer.Encode([]record.Output{{TopicPartition: record.TopicPartition{Topic: "events"}, Timestamp: 1, Key: []byte("k"), Value: []byte("v")}})))
		if _, err := x.writer.Flush(x.ctx); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		const lag = `input_lag_records{app="app",partition="0",topic="events"}`
		if got := metric(t, r, lag); got != "0" {
			t.Errorf("the lag is %s behind a transaction that is open", got)
		}
		x.must(x.writer.End(x.ctx, false))
		stop()
	})
}

func TestMetricsCountAbortsAndTakeTasksOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 2, mem.Options{})
		a, stopA := x.observed(Config{Instance: "a", Workers: 1, SessionTimeout: 10 * time.Second})
		x.ready(a)
		x.broker.Inject(mem.Fault{Request: mem.TxnOffsetCommit, Code: 48, Outcome: mem.Answered})
		x.feed(20, 10)
		x.eventually("a commit was aborted", func() bool { return metric(t, a, `commits_total{app="app",outcome="aborted"}`) != "0" })
		x.drained()
		b, stopB := x.observed(Config{Instance: "b", Workers: 1, SessionTimeout: 10 * time.Second})
		x.ready(b)
		count := func(r *Runner) int {
			_, body := probe(t, r.Handler(), "/metrics")
			return strings.Count(body, "\nstreamrun_state_bytes{")
		}
		x.eventually("each has the series of its task", func() bool { return count(a) == 1 && count(b) == 1 })
		stopA()
		if code, _ := probe(t, a.Handler(), "/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("one that stopped says %d to /readyz", code)
		}
		x.eventually("b has both", func() bool { return count(b) == 2 })
		stopB()
	})
}
