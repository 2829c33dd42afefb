package decide

import (
	"slices"
	"time"
)

// Limits are what a Worker decides by.
type Limits struct {
	Interval time.Duration // from the first work to its commit
	Apart    time.Duration // from the beginning of a commit to that of the next one
	Ahead    bool          // open the transaction of a commit that is not due yet
	Records  int           // of consumed input, at which it is committed early
	Bytes    int           // likewise
	Timeout  time.Duration // of a transaction, which has less when it takes long; 0: none
	Patience time.Duration // how long commits, or the state of a task, may fail in a row
}

// A Worker decides what a worker of the runner does: which of its tasks may go on,
// when it commits and what, what is done again after a failure, and when tasks that
// are asked for can be given up. Everything that happens is told by a method, with
// the time where that matters; what is to be done is in the actions that Take
// returns. It holds no data of the tasks. NewWorker makes one; it is not safe for
// concurrent use.
type Worker struct {
	limits    Limits
	restoring map[Task]uint64 // stamps of the holdings
	tasks     []*running      // sorted
	releases  []*release
	rebuilds  []rebuild
	mending   map[Task]*mending
	actions   []Action

	flight   *Commit // nil: none
	canceled bool
	opened   bool // the transaction of the next commit is

	since   time.Time // of the first work that no commit has yet
	began   time.Time // of the last commit with work
	records int       // consumed since
	bytes   int       // likewise
	awaited bool      // the next commit is
	taken   bool      // what it has is taken, and waits for nothing else
	halved  int       // how many times the limits of records and bytes are halved
	retry   Retry
	again   time.Time // no commit before it

	drain  int           // what Drain returns
	before int           // what it returned when the last commit began
	had    int           // what the commit in flight has of drains; 0: less than it may
	usual  time.Duration // what a commit takes without much of a drain; 0: none was made
}

// running is a task that has been restored.
type running struct {
	Holding
	dirty    bool // there is work that no commit has yet
	inFlight bool // a part of it is in the commit in flight
	leaving  bool // revoked: not stepped, and given up when it is committed
	failed   bool // not stepped any more
}

func (t *running) active() bool  { return !t.leaving && !t.failed }
func (t *running) settled() bool { return !t.dirty && !t.inFlight }

// release is tasks that are asked for.
type release struct {
	id       uint64
	holdings []Holding
	until    time.Time // past it they are dropped
	late     bool      // it is past; only what is in flight is waited for
}

// rebuild is a task whose state failed and is to be restored anew.
type rebuild struct {
	Holding
	at time.Time // not before
}

// mending is how often the state of a task failed lately.
type mending struct {
	Retry
	last time.Time
}

// A Commit is what is committed at once.
type Commit struct {
	All     []Holding // it speaks for all tasks of the worker, ...
	Parts   []Holding // ... has work of these, ...
	Rest    []Holding // ... and the offsets of these as they were
	Restore []Holding // without Parts: it only ends what may be open, before these are restored
}

// An ActionKind says what is to be done.
type ActionKind uint8

// What is to be done, in the order in which it is said.
const (
	// Restore restores Holdings beside everything else.
	Restore ActionKind = iota
	// RestoreAgain says that Holdings, which ran, will be restored.
	RestoreAgain
	// Close gives Holdings up, whatever they are doing.
	Close
	// Reopen makes the tasks of Holdings anew from their committed rows.
	Reopen
	// Drop throws away what is fetched and stepped of Holdings.
	Drop
	// Open opens the transaction of the next Begin, which need not come soon.
	Open
	// Begin carries out Commit, and reports by Ended.
	Begin
	// Cancel ends the carrying out of the commit in flight; Ended comes all the same.
	Cancel
	// Apply hands the committed rows of Holdings to their stores.
	Apply
	// Released says that the tasks of Release are given up.
	Released
)

// An Action is one thing to be done.
type Action struct {
	Kind     ActionKind
	Holdings []Holding
	Commit   *Commit
	Release  uint64
}

// A Fate is what became of a commit.
type Fate uint8

// Fates.
const (
	Committed Fate = iota
	Aborted        // it was not committed, and never will be
	Unknown        // it was given up before that was known
)

// An Outcome is how a commit ended.
type Outcome struct {
	Fate   Fate
	Final  bool // trying again does not help
	Broken bool // a task was lost meanwhile: trying again needs no pause
}

// A Verdict says whether a worker goes on after a commit that failed.
type Verdict uint8

// Verdicts.
const (
	GoOn     Verdict = iota
	Hopeless         // trying again does not help
	TooLong          // commits have failed for longer than patience
)

// NewWorker returns a worker without tasks.
func NewWorker(l Limits) *Worker {
	return &Worker{limits: l, restoring: map[Task]uint64{}, mending: map[Task]*mending{}, drain: leastDrain}
}

// Take returns what is to be done, in order, and forgets it.
func (w *Worker) Take() []Action {
	actions := w.actions
	w.actions = nil
	return actions
}

func (w *Worker) act(kind ActionKind, holdings ...Holding) {
	w.actions = append(w.actions, Action{Kind: kind, Holdings: holdings})
}

// find returns the running task of a holding, or nil.
func (w *Worker) find(h Holding) *running {
	for _, t := range w.tasks {
		if t.Holding == h {
			return t
		}
	}
	return nil
}

// Active reports whether a task is to be stepped and fetched for.
func (w *Worker) Active(h Holding) bool {
	t := w.find(h)
	return t != nil && t.active()
}

// Full reports whether there is so much work that it is committed before more is
// stepped.
func (w *Worker) Full() bool {
	return w.records >= max(w.limits.Records>>w.halved, 1) || w.bytes >= max(w.limits.Bytes>>w.halved, 1)
}

// mostHalved leaves about a thousand records, of which some are in any step.
const mostHalved = 7

// resize has the next commits be smaller when one has failed or was slow, and larger
// when one was quick: what outlasts the timeout of its transaction would be aborted and
// done again for ever. After a failure they are a quarter, so that the least is tried
// before patience ends.
func (w *Worker) resize(committed bool, took time.Duration) {
	switch limit := w.limits.Timeout; {
	case limit == 0:
	case !committed:
		w.halved = min(w.halved+2, mostHalved)
	case took > limit/2:
		w.halved = min(w.halved+1, mostHalved)
	case took < limit/8 && w.halved > 0:
		w.halved--
	}
}

// Bounds of Drain. What cannot be less than the least does not come to a standstill,
// however slow commits are.
const (
	leastDrain = 128
	mostDrain  = 8192
)

// Drain returns how many events that waited may go into a batch of a task, of which the
// commit keeps the records of others waiting.
func (w *Worker) Drain() int { return w.drain }

// yield has more of what waits go into the next batches when a commit that had all that
// it may was quick, and less when it was slow: when it took longer than half the interval
// (a record waits for the commit in flight and for its own, where without a drain it waits
// for the interval), and longer than commits do with the least of a drain.
func (w *Worker) yield(took time.Duration) {
	switch {
	case w.usual == 0 || took < w.usual:
		w.usual = took
	case w.had <= leastDrain: // it is not for the drain that it takes longer
		w.usual += (took - w.usual) / 8
	}
	switch slow := took > max(w.limits.Interval, w.limits.Apart)/2; {
	case slow && (w.had == 0 || took > w.usual+w.usual/4):
		w.drain = max(w.drain/2, leastDrain)
	case w.had == 0:
	case slow:
		w.drain = min(w.drain+leastDrain/2, mostDrain)
	default:
		w.drain = min(w.drain*2, mostDrain)
	}
}

// Busy reports whether a commit is in flight.
func (w *Worker) Busy() bool { return w.flight != nil }

// Assigned tells of tasks that the worker is given.
func (w *Worker) Assigned(holdings []Holding) {
	for _, h := range holdings {
		w.restoring[h.Task] = h.Stamp
	}
	w.act(Restore, holdings...)
}

// Restored tells that a task is restored. It reports whether it is still wanted.
func (w *Worker) Restored(h Holding) bool {
	if w.restoring[h.Task] != h.Stamp {
		return false // given up meanwhile
	}
	delete(w.restoring, h.Task)
	at, _ := slices.BinarySearchFunc(w.tasks, h, func(t *running, h Holding) int { return t.Task.Compare(h.Task) })
	leaving := slices.ContainsFunc(w.releases, func(r *release) bool { return slices.Contains(r.holdings, h) })
	w.tasks = slices.Insert(w.tasks, at, &running{Holding: h, leaving: leaving})
	return true
}

// NotRestored tells that a task can not be restored. It reports whether it is still
// wanted.
func (w *Worker) NotRestored(h Holding) bool {
	wanted := w.restoring[h.Task] == h.Stamp
	if wanted {
		delete(w.restoring, h.Task)
	}
	return wanted
}

// Lost tells of tasks that nobody may speak for any more.
func (w *Worker) Lost(holdings []Holding) {
	for _, h := range holdings {
		w.close(h)
	}
	w.rest()
}

// close gives a task up.
func (w *Worker) close(h Holding) {
	if w.restoring[h.Task] == h.Stamp {
		delete(w.restoring, h.Task)
	} else if w.find(h) == nil {
		return
	}
	w.tasks = slices.DeleteFunc(w.tasks, func(t *running) bool { return t.Holding == h })
	w.act(Close, h)
}

// Revoked tells of tasks that are asked for: they are given up, which Released says
// under the id, when they are committed, and at the latest soon after the time.
func (w *Worker) Revoked(id uint64, holdings []Holding, until time.Time) {
	for _, h := range holdings {
		if t := w.find(h); t != nil {
			t.leaving = true
		}
	}
	w.releases = append(w.releases, &release{id: id, holdings: holdings, until: until})
}

// Stepped tells of a step of a task: what it consumed or let go of what waited, and
// whether there is anything to commit.
func (w *Worker) Stepped(h Holding, records, bytes int, changed bool, now time.Time) {
	if t := w.find(h); t != nil && changed {
		t.dirty = true
		if w.since.IsZero() {
			w.since = now
		}
	}
	w.records += records
	w.bytes += bytes
}

// Awaited tells that a drain goes on only after a commit of what there is.
func (w *Worker) Awaited() { w.awaited = true }

// Taken tells that the work there is is taken for the next commit, and that the tasks
// that have it are not stepped before.
func (w *Worker) Taken() { w.taken = true }

// Failed tells that a task can not go on: what of it is not in a commit is dropped.
func (w *Worker) Failed(h Holding) {
	if t := w.find(h); t != nil {
		t.failed, t.dirty = true, false
		w.act(Drop, h)
		w.rest()
	}
}

// StateFailed is Failed for a task whose state failed: it is restored anew, when no
// commit is in flight that might have a part of it and be committed behind the
// restore's last look. It reports whether that was tried for too long.
func (w *Worker) StateFailed(h Holding, now time.Time) (giveUp bool) {
	w.Failed(h)
	m := w.mending[h.Task]
	if m == nil || now.Sub(m.last) > w.limits.Patience {
		m = &mending{}
		w.mending[h.Task] = m
	}
	at, giveUp := m.Failed(now, w.limits.Patience)
	m.last = now
	if !giveUp {
		w.rebuilds = append(w.rebuilds, rebuild{h, at})
	}
	return giveUp
}

// takeRebuilds closes the tasks that are to be rebuilt and still held, and returns
// them: now they are to be restored.
func (w *Worker) takeRebuilds(due func(rebuild) bool) (tasks []Holding) {
	w.rebuilds = slices.DeleteFunc(w.rebuilds, func(r rebuild) bool {
		if w.find(r.Holding) == nil {
			return true
		}
		if !due(r) {
			return false
		}
		w.close(r.Holding)
		w.restoring[r.Task] = r.Stamp
		tasks = append(tasks, r.Holding)
		return true
	})
	return tasks
}

// rest ends the time of uncommitted work if there is none.
func (w *Worker) rest() {
	if !w.dirty() {
		w.since, w.records, w.bytes, w.awaited, w.taken = time.Time{}, 0, 0, false, false
	}
}

func (w *Worker) dirty() bool {
	return slices.ContainsFunc(w.tasks, func(t *running) bool { return t.dirty })
}

// due returns when the next commit is to begin, if there is work.
func (w *Worker) due() time.Time {
	due := w.since.Add(w.limits.Interval)
	if next := w.began.Add(w.limits.Apart); due.Before(next) {
		due = next
	}
	if w.Full() || w.awaited || w.taken || slices.ContainsFunc(w.tasks, func(t *running) bool { return t.leaving && t.dirty }) {
		due = w.since
	}
	if due.Before(w.again) {
		return w.again
	}
	return due
}

// Wake returns when Passed has something to do if nothing happens before.
func (w *Worker) Wake() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if w.flight == nil {
		if w.dirty() {
			sooner(w.due())
		}
		for _, r := range w.rebuilds {
			sooner(r.at)
		}
	}
	for _, r := range w.releases {
		if !r.late {
			sooner(r.until)
		}
	}
	return at, ok
}

// Passed tells what time it is: tasks that are asked for are given up when they can
// be, and what is stepped is committed when it is time to and nothing is in flight.
func (w *Worker) Passed(now time.Time) {
	w.releases = slices.DeleteFunc(w.releases, func(r *release) bool { return w.released(r, now) })
	if w.flight != nil {
		return
	}
	if due := w.takeRebuilds(func(r rebuild) bool { return !now.Before(r.at) }); len(due) > 0 {
		w.act(RestoreAgain, due...)
		w.act(Restore, due...)
	}
	if !w.dirty() {
		return
	}
	if now.Before(w.due()) {
		if w.limits.Ahead && !w.opened && !now.Before(w.again) {
			w.opened = true
			w.act(Open)
		}
		return
	}
	c := &Commit{}
	for _, t := range w.tasks {
		c.All = append(c.All, t.Holding)
		if t.dirty {
			t.dirty, t.inFlight = false, true
			c.Parts = append(c.Parts, t.Holding)
		} else {
			c.Rest = append(c.Rest, t.Holding)
		}
	}
	if w.had = 0; w.awaited {
		w.had = max(w.before, w.drain)
	}
	w.before = w.drain
	w.rest()
	w.began = now
	w.begin(c)
}

func (w *Worker) begin(c *Commit) {
	w.flight, w.canceled, w.opened = c, false, false
	w.actions = append(w.actions, Action{Kind: Begin, Commit: c})
}

// released gives the tasks of a release up if they are committed, or if the time for
// it is over.
func (w *Worker) released(r *release, now time.Time) bool {
	r.late = !now.Before(r.until)
	for _, h := range r.holdings {
		t := w.find(h)
		switch {
		case t == nil || t.settled():
		case !r.late:
			return false
		case t.inFlight: // its outcome comes soon
			if !w.canceled {
				w.canceled = true
				w.act(Cancel)
			}
			return false
		default:
			t.dirty = false
			w.act(Drop, h)
		}
	}
	w.rest()
	for _, h := range r.holdings {
		w.close(h)
	}
	w.actions = append(w.actions, Action{Kind: Released, Release: r.id})
	return true
}

// Ended tells how the commit in flight ended.
func (w *Worker) Ended(out Outcome, now time.Time) Verdict {
	c := w.flight
	w.flight = nil
	if out.Fate == Committed {
		w.retry.Succeeded()
		w.resize(true, now.Sub(w.began))
		w.yield(now.Sub(w.began))
		w.committed(c)
		return GoOn
	}
	if out.Final || len(c.Parts) == 0 || out.Fate == Unknown && !w.canceled {
		return Hopeless
	}
	canceled := w.canceled
	w.undo(c, out.Fate)
	if canceled || out.Broken {
		return GoOn
	}
	w.resize(false, 0)
	w.drain = leastDrain
	again, giveUp := w.retry.Failed(now, w.limits.Patience)
	if giveUp {
		return TooLong
	}
	w.again = again
	return GoOn
}

func (w *Worker) committed(c *Commit) {
	var rows []Holding
	for _, h := range c.Parts {
		if t := w.find(h); t != nil { // else they are its next owner's
			t.inFlight = false
			rows = append(rows, h)
		}
	}
	if len(rows) > 0 {
		w.act(Apply, rows...)
	}
	if wanted := slices.DeleteFunc(c.Restore, func(h Holding) bool { return w.restoring[h.Task] != h.Stamp }); len(wanted) > 0 {
		w.act(Restore, wanted...)
	}
}

// undo drops the work of a commit and what was stepped on top of it. The tasks are
// made anew from their committed rows; if the fate is not known, their committed
// offsets are in doubt too and must not be sent again: then they are restored, when
// nothing can be open any more.
func (w *Worker) undo(c *Commit, f Fate) {
	var doubtful []Holding
	if f == Unknown { // of those that are to be rebuilt too
		doubtful = w.takeRebuilds(func(rebuild) bool { return true })
	}
	for _, h := range c.Parts {
		t := w.find(h)
		if t == nil {
			continue
		}
		t.dirty, t.inFlight = false, false
		switch {
		case f == Unknown:
			w.close(h)
			if t.active() {
				w.restoring[h.Task] = h.Stamp
				doubtful = append(doubtful, h)
			}
		case t.active():
			w.act(Reopen, h)
		default:
			w.act(Drop, h)
		}
	}
	w.rest()
	if len(doubtful) > 0 {
		w.act(RestoreAgain, doubtful...)
		w.begin(&Commit{Restore: doubtful})
	}
}
