package metrics

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamrun/streamrun/policies"
)

var rewrite = flag.Bool("rewrite", false, "write the golden list anew")

// full returns a Set in which every metric has a series.
func full() (*Set, *Task) {
	s := New("billing", "v1.2.3", func() State { return State{Live: true, Ready: true, Tasks: 2, Restoring: 1, Now: 12_000} })
	s.Rebalanced(Assigned)
	s.Ended(Committed, 7*time.Millisecond, Produced{30, 4000})
	s.Ended(Aborted, time.Second, Produced{5, 50})
	s.Ended(Unknown, time.Second, Produced{})
	s.FetchFailed()
	s.Waited(1500 * time.Millisecond)
	s.Resent(3)
	s.Resent(4)
	s.RestoreBegan("totals_4")
	s.Restored("totals_4", Produced{100, 9000}, 11)
	s.Standby("totals_5", Produced{40, 800}, 6)
	s.Standby("totals_6", Produced{2, 9}, 0)
	s.StandbyEnded("totals_6")
	t := s.Open("totals_3", []Source{{Topic: "orders", Partition: 3}, {Topic: "refunds", Partition: 3}})
	t.Fetched(0, 50, 43) // past a control record
	t.Commit(Commit{
		Dispositions: []policies.Counts{
			{Delivered: 40, Applied: 30, Duplicate: 2, Held: 5, DeadLettered: 1, LateDropped: 1, Fenced: 1, VersionBackward: 4},
			{Delivered: 1, Retrying: 1},
		},
		Positions:  []int64{42, 1},
		Letters:    map[Letter]int64{{"poison", "R13"}: 1},
		Alarms:     map[policies.Rule]int64{11: 1},
		Decided:    map[Decision]int64{{policies.Applied, 9}: 5, {policies.Applied, policies.NoRule}: 1},
		Strays:     map[policies.Reason]int64{policies.ReasonWrongKey: 3},
		Gaps:       Gaps{Open: 2, Since: 8000},
		StoreBytes: 1234, Clock: 10_500, StreamTime: 9_000,
	})
	return s, t
}

func gathered(t *testing.T, s *Set) map[string]bool {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if _, err := s.Register(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	return names
}

func TestGoldenListHasEveryMetric(t *testing.T) {
	t.Parallel()
	s, _ := full()
	var lines []string
	for _, m := range s.names.all {
		kind := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}[m.kind]
		lines = append(lines, fmt.Sprintf("%s %s{%s}\n    %s\n", kind, m.name, strings.Join(append([]string{appLabel}, m.labels...), ","), m.help))
		if !strings.HasSuffix(m.help, ".") {
			t.Errorf("the help of %s is no sentence", m.name)
		}
	}
	lines = append(lines, fmt.Sprintf("histogram %s{%s} %v\n    %s\n", commitName, appLabel, commitBuckets(), commitHelp))
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(strings.Fields(a)[1], strings.Fields(b)[1]) })
	got := strings.Join(lines, "")
	const golden = "testdata/metrics.golden"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("metrics changed; run go test -rewrite and read the difference (-want +got):\n%s", diff)
	}
	for _, m := range s.names.all {
		if !gathered(t, s)[m.name] {
			t.Errorf("%s is in the list, but nothing has a series of it", m.name)
		}
	}
}

func TestPassesTheLinterOfPrometheus(t *testing.T) {
	t.Parallel()
	s, _ := full()
	problems, err := testutil.CollectAndLint(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestSaysWhatABatchSaid(t *testing.T) {
	t.Parallel()
	s, _ := full()
	for name, want := range map[string]string{
		"streamrun_input_lag_records": `
			# HELP streamrun_input_lag_records Offsets between the position of the task and the last record that can be read.
			# TYPE streamrun_input_lag_records gauge
			streamrun_input_lag_records{app="billing",partition="3",topic="orders"} 7
			streamrun_input_lag_records{app="billing",partition="3",topic="refunds"} 0
			`,
		"streamrun_gap_oldest_seconds": `
			# HELP streamrun_gap_oldest_seconds How long the entity has waited until now that waits longest; 0 where none does.
			# TYPE streamrun_gap_oldest_seconds gauge
			streamrun_gap_oldest_seconds{app="billing",task="totals_3"} 4
			`,
		"streamrun_dlq_records_total": `
			# HELP streamrun_dlq_records_total Dead letters committed since the task came, by reason and rule.
			# TYPE streamrun_dlq_records_total counter
			streamrun_dlq_records_total{app="billing",reason="poison",rule="R13",task="totals_3"} 1
			`,
		"streamrun_stray_records_total": `
			# HELP streamrun_stray_records_total Records that were applied although their key (wrong_key) or partition (wrong_partition) does not fit their entity, since the task came.
			# TYPE streamrun_stray_records_total counter
			streamrun_stray_records_total{app="billing",reason="wrong_key",task="totals_3"} 3
			streamrun_stray_records_total{app="billing",reason="wrong_partition",task="totals_3"} 0
			`,
		"streamrun_commit_wait_seconds_total": `
			# HELP streamrun_commit_wait_seconds_total Time in which a worker with a full batch, encoded already, had nothing to do, since the transaction before had not ended.
			# TYPE streamrun_commit_wait_seconds_total counter
			streamrun_commit_wait_seconds_total{app="billing"} 1.5
			`,
		"streamrun_commits_total": `
			# HELP streamrun_commits_total Transactions by how they ended: committed, aborted (the work is done again) or unknown (the state is restored).
			# TYPE streamrun_commits_total counter
			streamrun_commits_total{app="billing",outcome="aborted"} 1
			streamrun_commits_total{app="billing",outcome="committed"} 1
			streamrun_commits_total{app="billing",outcome="unknown"} 1
			`,
		"streamrun_producer_retries_total": `
			# HELP streamrun_producer_retries_total Batches of records that were sent again: a broker refused them for the moment, or its answer was lost.
			# TYPE streamrun_producer_retries_total counter
			streamrun_producer_retries_total{app="billing"} 7
			`,
		"streamrun_decisions_total": `
			# HELP streamrun_decisions_total What was decided about records since the task came, by disposition and by the rule that decided; one that waits and is applied later counts twice. - is no rule.
			# TYPE streamrun_decisions_total counter
			streamrun_decisions_total{app="billing",disposition="applied",rule="-",task="totals_3"} 1
			streamrun_decisions_total{app="billing",disposition="applied",rule="R9",task="totals_3"} 5
			`,
		"streamrun_standby_lag_records": `
			# HELP streamrun_standby_lag_records Offsets of the changelogs that the standby of a task could read and has not.
			# TYPE streamrun_standby_lag_records gauge
			streamrun_standby_lag_records{app="billing",task="totals_5"} 6
			`,
		"streamrun_standby_records_total": `
			# HELP streamrun_standby_records_total Records read to keep standbys warm.
			# TYPE streamrun_standby_records_total counter
			streamrun_standby_records_total{app="billing"} 42
			`,
		"streamrun_tasks_standby": `
			# HELP streamrun_tasks_standby Tasks of other instances whose state this instance keeps warm.
			# TYPE streamrun_tasks_standby gauge
			streamrun_tasks_standby{app="billing"} 1
			`,
		"streamrun_produced_records_total": `
			# HELP streamrun_produced_records_total Records in committed transactions, changelogs and journal included.
			# TYPE streamrun_produced_records_total counter
			streamrun_produced_records_total{app="billing"} 30
			`,
	} {
		if err := testutil.CollectAndCompare(s, strings.NewReader(want), name); err != nil {
			t.Error(err)
		}
	}
}

func TestLagIsThatOfTheWorstPartition(t *testing.T) {
	t.Parallel()
	s, task := full()
	if at, n := s.Lag(); at != (Source{Topic: "orders", Partition: 3}) || n != 7 {
		t.Errorf("%+v is %d behind", at, n)
	}
	task.Fetched(1, 100, 2)
	if at, n := s.Lag(); at != (Source{Topic: "refunds", Partition: 3}) || n != 98 {
		t.Errorf("%+v is %d behind", at, n)
	}
	task.Close()
	if _, n := s.Lag(); n != 0 {
		t.Errorf("without a task: %d", n)
	}
}

// The dispositions of a partition add up to what was consumed, with what waits, the
// letters and the forgotten ones.
func TestDispositionsAddUp(t *testing.T) {
	t.Parallel()
	s := New("a", "", func() State { return State{} })
	task := s.Open("t_0", []Source{{Topic: "in"}})
	c := policies.Counts{
		Applied: 1, Duplicate: 2, DuplicateOfDLQ: 4, Superseded: 8, LateDropped: 16, DeadLettered: 32, Compensated: 64,
		Absorbed: 128, Fenced: 256, Held: 512, Retrying: 1024, ResolvedAgain: 2048, Lost: 4096, VersionBackward: 1,
	}
	c.Delivered = 8191
	if !c.Balanced() {
		t.Fatal("the case is not balanced")
	}
	task.Commit(Commit{Dispositions: []policies.Counts{c}, Positions: []int64{0}, StoreBytes: -1})
	r := prometheus.NewRegistry()
	r.MustRegister(s)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		switch f.GetName() {
		case "streamrun_disposition_total", "streamrun_records_held", "streamrun_records_retrying", "streamrun_letters_unresolved", "streamrun_records_forgotten_total":
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		case "streamrun_state_bytes":
			t.Error("the back end did not tell its bytes, but there is a number")
		}
	}
	if sum != float64(c.Delivered) {
		t.Errorf("they add up to %v of %d", sum, c.Delivered)
	}
}

func TestSeriesOfATaskGoWithIt(t *testing.T) {
	t.Parallel()
	s, old := full()
	again := s.Open("totals_3", []Source{{Topic: "orders", Partition: 3}})
	again.Commit(Commit{Dispositions: make([]policies.Counts, 1), Positions: []int64{0}})
	old.Close() // late: it must not take the new one's
	if n := testutil.CollectAndCount(s, "streamrun_state_bytes"); n != 1 {
		t.Errorf("%d series of a task that came again", n)
	}
	again.Close()
	s.RestoreEnded("totals_4")
	s.Restored("totals_4", Produced{}, 5) // late
	for name := range gathered(t, s) {
		if strings.HasPrefix(name, "streamrun_input_") || strings.HasPrefix(name, "streamrun_records_") || name == "streamrun_state_restore_remaining_records" {
			t.Errorf("%s is left of a task that is gone", name)
		}
	}
}

func TestASecondRunnerOfTheAppIsRefused(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	unregister, err := New("a", "", func() State { return State{} }).Register(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New("a", "", func() State { return State{} }).Register(r); err == nil || !strings.Contains(err.Error(), "WrapRegistererWith") {
		t.Errorf("got: %v", err)
	}
	unregister()
	if _, err := New("a", "", func() State { return State{} }).Register(r); err != nil {
		t.Error(err)
	}
}

func TestHandlerServesThem(t *testing.T) {
	t.Parallel()
	s, _ := full()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{`streamrun_build_info{app="billing",`, "streamrun_commit_seconds_bucket", "go_goroutines"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
