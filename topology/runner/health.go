package runner

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/metrics"
)

// A Check is the answer to one question of health.
type Check struct {
	OK      bool
	Reasons []string // why not; empty where OK
}

// Health says how a Runner is, for those who restart it or send it work.
type Health struct {
	// Live: its loops make progress. Where they do not, only a restart helps.
	Live Check
	// Ready: its tasks are assigned, all of them are restored, and none is further behind
	// than Config.MaxLag.
	Ready Check
	// Started: no restore is under way, however long one may take.
	Started Check
}

// stalled is how long a worker's loop may be without a pass; an idle one has one a
// minute.
const stalled = 3 * time.Minute

// vitals is what health is judged by.
type vitals struct {
	state     State
	assigned  bool             // the group has said which tasks this instance has
	passes    []time.Time      // last pass of each worker's loop
	restoring map[string]int64 // offsets left, of each task that is restored
	behind    metrics.Source   // the source partition with the greatest lag
	lag       int64            // of it
	maxLag    int64            // 0: any will do
	now       time.Time
}

// judge says how a runner with these vitals is.
func judge(v vitals) Health {
	var h Health
	for i, p := range v.passes {
		if d := v.now.Sub(p); d > stalled {
			h.Live.say("worker %d has made no progress for %v", i, d.Truncate(time.Second))
		}
	}
	switch v.state.Phase {
	case Failed:
		h.Live.say("failed: %v", v.state.Reason)
		h.Ready.say("failed: %v", v.state.Reason)
	case Stopping:
		h.Ready.say("stopping: committing what is stepped, and leaving")
	case "", Created, Rebalancing, Restoring, Running:
	}
	if !v.assigned {
		h.Ready.say("no tasks are assigned yet")
		h.Started.say("no tasks are assigned yet")
	}
	if n := v.state.Restoring; n > 0 {
		text := fmt.Sprintf("%d of %d tasks are being restored", n, v.state.Tasks)
		for _, task := range slices.Sorted(maps.Keys(v.restoring)) {
			text += fmt.Sprintf("; %s: %d offsets left", task, v.restoring[task])
		}
		h.Ready.say("%s", text)
		h.Started.say("%s", text)
	}
	if v.maxLag > 0 && v.lag > v.maxLag {
		h.Ready.say("%s-%d is %d offsets behind what can be read; the limit is %d", v.behind.Topic, v.behind.Partition, v.lag, v.maxLag)
	}
	for _, c := range []*Check{&h.Live, &h.Ready, &h.Started} {
		c.OK = len(c.Reasons) == 0
	}
	return h
}

func (c *Check) say(format string, args ...any) {
	c.Reasons = append(c.Reasons, fmt.Sprintf(format, args...))
}

// Health says how the runner is now. It may be called at any time, from any
// goroutine.
func (r *Runner) Health() Health { return judge(r.watch.vitals()) }

// Handler serves /metrics, and /livez, /readyz and /startupz: 200 or 503, and with
// ?verbose what the answer is made of. It may be served before Run and after it.
func (r *Runner) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", r.watch.set.Handler())
	for path, of := range map[string]func(*Health) *Check{
		"livez":    func(h *Health) *Check { return &h.Live },
		"readyz":   func(h *Health) *Check { return &h.Ready },
		"startupz": func(h *Health) *Check { return &h.Started },
	} {
		mux.HandleFunc("GET /"+path, func(w http.ResponseWriter, q *http.Request) {
			v := r.watch.vitals()
			h := judge(v)
			respond(w, path, *of(&h), v, q.URL.Query().Has("verbose"))
		})
	}
	return mux
}

// respond writes the answer to a probe. Who asks a probe ignores what cannot be
// written.
func respond(w http.ResponseWriter, path string, c Check, v vitals, verbose bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	text := "ok\n"
	if !c.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = "not ok\n"
	}
	if verbose {
		text = path + ": " + text
		for _, r := range c.Reasons {
			text += "- " + r + "\n"
		}
		text += fmt.Sprintf("phase %s, tasks %d, restoring %d, restored %d records and %d bytes\n",
			v.state.Phase, v.state.Tasks, v.state.Restoring, v.state.Records, v.state.Bytes)
	}
	_, _ = w.Write([]byte(text))
}
