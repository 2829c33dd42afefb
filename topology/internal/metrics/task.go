package metrics

import (
	"github.com/streamrun/streamrun/policies"
)

// A Task has the metrics of one task, resolved once. Its methods may be called from
// several goroutines.
type Task struct {
	set  *Set
	name string

	// guarded by set.mu
	sources []source
	known   bool // what follows was said at least once
	last    Commit
	letters map[Letter]int64
	strays  map[policies.Reason]int64
	alarms  map[policies.Rule]int64
	decided map[Decision]int64
}

// source is one source partition of a task.
type source struct {
	Source
	partition string // as a label
	readable  int64  // where the records that can be read end
	position  int64
	counts    policies.Counts
}

// A Commit is what one committed batch of a task says. Dispositions and Positions
// are in the order of the task's sources; they are totals, and the slices stay the
// caller's.
type Commit struct {
	Dispositions []policies.Counts
	Positions    []int64
	Letters      map[Letter]int64          // new ones
	Alarms       map[policies.Rule]int64   // new ones
	Decided      map[Decision]int64        // new ones
	Strays       map[policies.Reason]int64 // new ones
	Gaps         Gaps
	StoreBytes   int64 // -1: the back end does not tell
	Clock        int64 // milliseconds since the Unix epoch
	StreamTime   int64 // likewise; 0: no record yet
}

// A Letter says why records are dead letters, as their headers do.
type Letter struct{ Reason, Rule string }

// A Decision is what was decided about records, and the rule that did.
type Decision struct {
	Disposition policies.Disposition
	Rule        policies.Rule
}

// Gaps are the entities of a task that wait for a missing number.
type Gaps struct {
	Open  int
	Since int64 // task clock when the one began to wait that waits longest
}

// Commit takes what a committed batch says; or, when the task has just been opened,
// what was committed before.
func (t *Task) Commit(c Commit) {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	for i := range t.sources {
		t.sources[i].counts = c.Dispositions[i]
		// The offset of a commit is behind control records that were read since.
		t.sources[i].position = max(t.sources[i].position, c.Positions[i])
	}
	for l, n := range c.Letters {
		t.letters[l] += n
	}
	for r, n := range c.Strays {
		t.strays[r] += n
	}
	for r, n := range c.Alarms {
		t.alarms[r] += n
	}
	for d, n := range c.Decided {
		t.decided[d] += n
	}
	t.last, t.known = c, true
	// What is the caller's is not kept.
	t.last.Dispositions, t.last.Positions, t.last.Letters, t.last.Alarms, t.last.Strays, t.last.Decided = nil, nil, nil, nil, nil, nil
}

// Fetched says where the records of a source that can be read end, as an answer
// told it, and where the task is: what is fetched and not consumed is in front of it.
func (t *Task) Fetched(source int, lastStable, position int64) {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	t.sources[source].readable, t.sources[source].position = lastStable, position
}

// Close takes the series of the task out, unless another Open of its name did.
func (t *Task) Close() {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	if t.set.tasks[t.name] == t {
		delete(t.set.tasks, t.name)
	}
}

func (t *Task) collect(n *names, o *out, now int64) {
	if !t.known {
		return
	}
	for i := range t.sources {
		t.sources[i].collect(n, o)
	}
	for c, v := range t.letters {
		o.put(n.deadLetters, float64(v), t.name, c.Reason, c.Rule)
	}
	for r, v := range t.strays {
		o.put(n.strays, float64(v), t.name, string(r))
	}
	for rule, v := range t.alarms {
		o.put(n.alarms, float64(v), t.name, rule.String())
	}
	for d, v := range t.decided {
		o.put(n.decisions, float64(v), t.name, string(d.Disposition), d.Rule.String())
	}
	o.put(n.gaps, float64(t.last.Gaps.Open), t.name)
	waited := 0.0
	if t.last.Gaps.Open > 0 {
		waited = seconds(max(0, now-t.last.Gaps.Since))
	}
	o.put(n.oldestGap, waited, t.name)
	if t.last.StoreBytes >= 0 {
		o.put(n.storeBytes, float64(t.last.StoreBytes), t.name)
	}
	o.put(n.clock, seconds(t.last.Clock), t.name)
	if t.last.StreamTime > 0 {
		o.put(n.streamTime, seconds(t.last.StreamTime), t.name)
	}
}

func (s *source) collect(n *names, o *out) {
	at := []string{s.Topic, s.partition}
	o.put(n.lag, float64(s.lag()), at...)
	c := &s.counts
	o.put(n.consumed, float64(c.Delivered), at...)
	for _, d := range []struct {
		disposition policies.Disposition
		reason      policies.Reason
		n           int64
	}{
		{policies.Applied, "", c.Applied},
		{policies.Dropped, policies.ReasonDuplicate, c.Duplicate},
		{policies.Dropped, policies.ReasonDuplicateOfDLQ, c.DuplicateOfDLQ},
		{policies.Dropped, policies.ReasonSuperseded, c.Superseded},
		{policies.Dropped, policies.ReasonLate, c.LateDropped},
		{policies.Dropped, "resolved_again", c.ResolvedAgain},
		{policies.Compensated, "", c.Compensated},
		{policies.Absorbed, "", c.Absorbed},
		{policies.Fenced, "", c.Fenced},
	} {
		o.put(n.dispositions, float64(d.n), s.Topic, s.partition, string(d.disposition), string(d.reason))
	}
	o.put(n.held, float64(c.Held), at...)
	o.put(n.retrying, float64(c.Retrying), at...)
	o.put(n.letters, float64(c.DeadLettered), at...)
	o.put(n.forgotten, float64(c.Lost), at...)
	o.put(n.skipped, float64(c.Skipped), at...)
	o.put(n.marks, float64(c.VersionBackward), s.Topic, s.partition, string(policies.ReasonVersionBackward))
}

func (s *source) lag() int64 { return max(0, s.readable-s.position) }

func seconds(ms int64) float64 { return float64(ms) / 1000 }
