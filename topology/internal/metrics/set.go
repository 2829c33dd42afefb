package metrics

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamrun/streamrun/policies"
)

// Registerer is prometheus.Registerer, for those who pass one on.
type Registerer = prometheus.Registerer

// A Set has the metrics of one runner. New makes one; it is safe for concurrent use.
type Set struct {
	names   *names
	version string
	state   func() State
	commits prometheus.Histogram

	mu     sync.Mutex // guards what follows, and the tasks
	events map[Event]int64
	ends   map[Outcome]int64
	failed int64         // fetches
	resent int64         // batches
	waited time.Duration // for commits
	sent   Produced
	read   Produced // by restores
	tasks  map[string]*Task
	left   map[string]int64 // per task under restore
	warmed Produced         // by standbys
	lags   map[string]int64 // per task of a standby
}

// State is what the runner as a whole is doing.
type State struct {
	Live, Ready, Started bool
	Tasks, Restoring     int
	Now                  int64 // milliseconds since the Unix epoch
}

// Produced is an amount of records.
type Produced struct{ Records, Bytes int64 }

// A Source is a source partition of a task.
type Source struct {
	Topic     string
	Partition int32
}

// An Event is a kind of change of the assignment.
type Event string

// Events.
const (
	Assigned Event = "assigned"
	Revoked  Event = "revoked"
	Lost     Event = "lost"
)

// An Outcome is how a transaction ended.
type Outcome string

// Outcomes.
const (
	Committed Outcome = "committed"
	Aborted   Outcome = "aborted"
	Unknown   Outcome = "unknown"
)

// New returns the metrics of an app of a version, in which nothing has happened.
// state is asked whenever somebody collects.
func New(app, version string, state func() State) *Set {
	return &Set{
		names: newNames(app), version: version, state: state,
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: commitName, Help: commitHelp, Buckets: commitBuckets(), ConstLabels: prometheus.Labels{appLabel: app},
		}),
		events: map[Event]int64{Assigned: 0, Revoked: 0, Lost: 0},
		ends:   map[Outcome]int64{Committed: 0, Aborted: 0, Unknown: 0},
		tasks:  map[string]*Task{}, left: map[string]int64{}, lags: map[string]int64{},
	}
}

// Register adds the metrics to a registerer, and returns what takes them out again.
// Metrics of the same app that are there already are an error.
func (s *Set) Register(r Registerer) (unregister func(), err error) {
	if err := r.Register(s); err != nil {
		var there prometheus.AlreadyRegisteredError
		if errors.As(err, &there) {
			return nil, fmt.Errorf("metrics: another runner of this app is registered; give each its own with prometheus.WrapRegistererWith: %w", err)
		}
		return nil, fmt.Errorf("metrics: registering: %w", err)
	}
	return func() { r.Unregister(s) }, nil
}

// Handler serves the metrics, with those of the process and the Go runtime.
func (s *Set) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Rebalanced counts a change of the assignment.
func (s *Set) Rebalanced(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e]++
}

// Ended counts a transaction. took is how long it was, of a committed one.
func (s *Set) Ended(o Outcome, took time.Duration, p Produced) {
	if o == Committed {
		s.commits.Observe(took.Seconds())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[o]++
	if o == Committed {
		s.sent.Records += p.Records
		s.sent.Bytes += p.Bytes
	}
}

// Resent counts batches that a producer sent again.
func (s *Set) Resent(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resent += n
}

// Lag returns the greatest lag of the source partitions, and where it is.
func (s *Set) Lag() (worst Source, records int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.tasks)) {
		for i := range s.tasks[name].sources {
			if src := &s.tasks[name].sources[i]; src.lag() > records {
				worst, records = src.Source, src.lag()
			}
		}
	}
	return worst, records
}

// FetchFailed counts a fetch without an answer.
func (s *Set) FetchFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
}

// Waited says how long a worker had nothing to do because of a commit.
func (s *Set) Waited(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waited += d
}

// RestoreBegan says that the task is being restored.
func (s *Set) RestoreBegan(task string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[task] = 0
}

// Restored adds what a restore of the task read, and says how many offsets are left.
func (s *Set) Restored(task string, p Produced, left int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read.Records += p.Records
	s.read.Bytes += p.Bytes
	if _, expected := s.left[task]; expected {
		s.left[task] = left
	}
}

// RestoreEnded says that the task is not restored any more: it was, or it is gone.
func (s *Set) RestoreEnded(task string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, task)
}

// Restoring returns how many offsets are left, of each task that is restored.
func (s *Set) Restoring() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.left)
}

// Standby adds what the standby of the task read, and says how many offsets it is behind.
func (s *Set) Standby(task string, p Produced, lag int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warmed.Records += p.Records
	s.warmed.Bytes += p.Bytes
	s.lags[task] = lag
}

// StandbyEnded says that the state of the task is not kept warm any more, or is its
// task's.
func (s *Set) StandbyEnded(task string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lags, task)
}

// Open adds a task with its source partitions. A task of that name that is there
// already is replaced.
func (s *Set) Open(name string, sources []Source) *Task {
	t := &Task{
		set: s, name: name, letters: map[Letter]int64{}, alarms: map[policies.Rule]int64{}, decided: map[Decision]int64{},
		strays: map[policies.Reason]int64{policies.ReasonWrongKey: 0, policies.ReasonWrongPartition: 0},
	}
	for _, tp := range sources {
		t.sources = append(t.sources, source{Source: tp, partition: strconv.Itoa(int(tp.Partition))})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[name] = t
	return t
}

// Describe implements prometheus.Collector.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range s.names.all {
		ch <- m.desc
	}
	s.commits.Describe(ch)
}

// Collect implements prometheus.Collector.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	s.commits.Collect(ch)
	// Whoever reads ch may be slow; nobody waits for the lock as long.
	for _, m := range s.snapshot() {
		ch <- m
	}
}

// out collects metrics.
type out []prometheus.Metric

func (o *out) put(m *metric, value float64, labels ...string) {
	*o = append(*o, prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...))
}

func (o *out) flag(m *metric, on bool) {
	v := 0.0
	if on {
		v = 1
	}
	o.put(m, v)
}

func (s *Set) snapshot() []prometheus.Metric {
	state := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	n, o := s.names, &out{}
	o.put(n.build, 1, s.version, runtime.Version())
	o.flag(n.live, state.Live)
	o.flag(n.ready, state.Ready)
	o.flag(n.started, state.Started)
	o.put(n.tasks, float64(state.Tasks))
	o.put(n.restoring, float64(state.Restoring))
	for e, v := range s.events {
		o.put(n.rebalances, float64(v), string(e))
	}
	for task, v := range s.left {
		o.put(n.restoreLeft, float64(v), task)
	}
	o.put(n.restoredRecords, float64(s.read.Records))
	o.put(n.restoredBytes, float64(s.read.Bytes))
	o.put(n.standbys, float64(len(s.lags)))
	for task, v := range s.lags {
		o.put(n.standbyLag, float64(v), task)
	}
	o.put(n.standbyRecords, float64(s.warmed.Records))
	o.put(n.standbyBytes, float64(s.warmed.Bytes))
	for e, v := range s.ends {
		o.put(n.commits, float64(v), string(e))
	}
	o.put(n.producedRecords, float64(s.sent.Records))
	o.put(n.producedBytes, float64(s.sent.Bytes))
	o.put(n.producerRetries, float64(s.resent))
	o.put(n.commitWaits, s.waited.Seconds())
	o.put(n.fetchFailures, float64(s.failed))
	for _, name := range slices.Sorted(maps.Keys(s.tasks)) {
		s.tasks[name].collect(n, o, state.Now)
	}
	return *o
}
