package runner

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology/internal/metrics"
)

func TestHealthHasReasons(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	idle := []time.Time{now.Add(-time.Minute), now}
	ok := Check{OK: true}
	for name, c := range map[string]struct {
		vitals vitals
		want   Health
	}{
		"before it runs": {
			vitals{},
			Health{Live: ok, Ready: Check{Reasons: []string{"no tasks are assigned yet"}}, Started: Check{Reasons: []string{"no tasks are assigned yet"}}},
		},
		"runs": {
			vitals{state: State{Phase: Running, Tasks: 2}, assigned: true, passes: idle},
			Health{Live: ok, Ready: ok, Started: ok},
		},
		"has no tasks, as the group says": {
			vitals{state: State{Phase: Running}, assigned: true, passes: idle},
			Health{Live: ok, Ready: ok, Started: ok},
		},
		"goes on while tasks move": {
			vitals{state: State{Phase: Rebalancing, Tasks: 2}, assigned: true, passes: idle},
			Health{Live: ok, Ready: ok, Started: ok},
		},
		"restores": {
			vitals{state: State{Phase: Restoring, Tasks: 3, Restoring: 2}, assigned: true, passes: idle, restoring: map[string]int64{"b_1": 7, "a_0": 9}},
			Health{
				Live:    ok,
				Ready:   Check{Reasons: []string{"2 of 3 tasks are being restored; a_0: 9 offsets left; b_1: 7 offsets left"}},
				Started: Check{Reasons: []string{"2 of 3 tasks are being restored; a_0: 9 offsets left; b_1: 7 offsets left"}},
			},
		},
		"stops": {
			vitals{state: State{Phase: Stopping, Tasks: 1}, assigned: true, passes: idle},
			Health{Live: ok, Ready: Check{Reasons: []string{"stopping: committing what is stepped, and leaving"}}, Started: ok},
		},
		"failed": {
			vitals{state: State{Phase: Failed, Reason: errors.New("why")}, assigned: true},
			Health{Live: Check{Reasons: []string{"failed: why"}}, Ready: Check{Reasons: []string{"failed: why"}}, Started: ok},
		},
		"behind as far as it may be": {
			vitals{state: State{Phase: Running, Tasks: 2}, assigned: true, passes: idle, behind: metrics.Source{Topic: "orders", Partition: 3}, lag: 50, maxLag: 50},
			Health{Live: ok, Ready: ok, Started: ok},
		},
		"too far behind": {
			vitals{state: State{Phase: Running, Tasks: 2}, assigned: true, passes: idle, behind: metrics.Source{Topic: "orders", Partition: 3}, lag: 51, maxLag: 50},
			Health{Live: ok, Ready: Check{Reasons: []string{"orders-3 is 51 offsets behind what can be read; the limit is 50"}}, Started: ok},
		},
		"without a limit": {
			vitals{state: State{Phase: Running, Tasks: 2}, assigned: true, passes: idle, behind: metrics.Source{Topic: "orders", Partition: 3}, lag: 51},
			Health{Live: ok, Ready: ok, Started: ok},
		},
		"hangs": {
			vitals{state: State{Phase: Running}, assigned: true, passes: []time.Time{now, now.Add(-stalled - time.Second)}},
			Health{Live: Check{Reasons: []string{"worker 1 has made no progress for 3m1s"}}, Ready: ok, Started: ok},
		},
	} {
		c.vitals.now = now
		if diff := cmp.Diff(c.want, judge(c.vitals)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// probe asks a handler.
func probe(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestProbesAnswerAndExplain(t *testing.T) {
	t.Parallel()
	r, err := New(concat(t), Config{Brokers: []string{"localhost:1"}})
	if err != nil {
		t.Fatal(err)
	}
	h := r.Handler()
	if code, body := probe(t, h, "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("livez: %d %q", code, body)
	}
	for _, path := range []string{"/readyz", "/startupz"} {
		if code, body := probe(t, h, path); code != http.StatusServiceUnavailable || body != "not ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
		if _, body := probe(t, h, path+"?verbose"); !strings.Contains(body, "- no tasks are assigned yet\n") {
			t.Errorf("%s?verbose: %q", path, body)
		}
	}
	if code, _ := probe(t, h, "/"); code != http.StatusNotFound {
		t.Errorf("/: %d", code)
	}
}
