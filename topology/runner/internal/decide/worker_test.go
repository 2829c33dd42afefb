package decide_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// shell carries out what a Worker decides, as the runner does, and checks that it may.
type shell struct {
	t     *rapid.T
	w     *decide.Worker
	now   time.Time
	stamp uint64

	limits  decide.Limits
	since   time.Time // of the first work that no commit has
	began   time.Time // of the last commit with work
	urgent  bool      // there is much work, or some that is awaited, or of a task that is asked for
	awaited bool      // of what no commit has
	pausing bool      // the last commit failed: the next one may come later

	restoring map[decide.Holding]bool // restores that go on
	running   map[decide.Holding]int  // uncommitted steps
	inFlight  map[decide.Holding]int  // steps in the commit in flight
	wanted    map[decide.Holding]bool // restored without a Restore: it comes when the commit ends
	failed    map[decide.Holding]bool
	lost      map[decide.Holding]bool
	doubtful  map[decide.Holding]bool // their offsets may not be sent before they are restored
	reopened  map[decide.Holding]bool // since the last commit ended
	releases  map[uint64][]decide.Holding
	until     map[uint64]time.Time
	mine      map[decide.Holding]bool // given, and neither lost nor asked for
	flight    *decide.Commit
	opened    bool // the transaction of the next one
	undoing   bool
	canceled  bool
}

func (s *shell) act() {
	for _, a := range s.w.Take() {
		switch a.Kind {
		case decide.Restore:
			for _, h := range a.Holdings {
				delete(s.wanted, h)
				s.restoring[h] = true
			}
		case decide.RestoreAgain:
			for _, h := range a.Holdings {
				if _, running := s.running[h]; running {
					s.t.Fatalf("%v is to be restored and runs", h)
				}
				s.wanted[h] = true
			}
		case decide.Open:
			if s.opened || s.flight != nil || s.since.IsZero() || s.urgent || !s.now.Before(s.due()) {
				s.t.Fatalf("a transaction is opened: open %v, in flight %v, work since %v", s.opened, s.flight, s.since)
			}
			s.opened = true
		case decide.Begin:
			s.begin(a.Commit)
		case decide.Cancel:
			if s.flight == nil || s.canceled {
				s.t.Fatal("a commit is canceled that is not in flight, or twice")
			}
			s.canceled = true
		case decide.Released:
			for _, h := range s.releases[a.Release] {
				if _, running := s.running[h]; running || s.restoring[h] {
					s.t.Fatalf("%v is released and not given up", h)
				}
			}
			delete(s.releases, a.Release)
			delete(s.until, a.Release)
		case decide.Close, decide.Drop, decide.Reopen:
			for _, h := range a.Holdings {
				s.drop(h, a.Kind)
			}
		case decide.Apply:
			for _, h := range a.Holdings {
				if _, running := s.running[h]; !running || s.inFlight[h] == 0 {
					s.t.Fatalf("rows of %v are applied: in flight %v, running %v", h, s.inFlight, s.running)
				}
				delete(s.inFlight, h)
			}
		}
	}
}

func (s *shell) begin(c *decide.Commit) {
	if s.flight != nil {
		s.t.Fatal("two commits in flight")
	}
	s.flight, s.canceled, s.opened = c, false, false
	if len(c.Parts) == 0 {
		if len(c.Restore) == 0 {
			s.t.Fatal("a commit of nothing")
		}
		return
	}
	if all := slices.Concat(c.Parts, c.Rest); len(all) != len(s.running) || len(c.All) != len(all) {
		s.t.Fatalf("a commit speaks for %v, has %v, and %v run", c.All, all, s.running)
	}
	for _, h := range c.All {
		if s.doubtful[h] {
			s.t.Fatalf("the offsets of %v are in doubt, and sent", h)
		}
	}
	for _, h := range c.Parts {
		if s.running[h] == 0 {
			s.t.Fatalf("a commit has work of %v, which has none", h)
		}
		s.inFlight[h], s.running[h] = s.running[h], 0
	}
	for h, steps := range s.running {
		if steps > 0 {
			s.t.Fatalf("a commit leaves work of %v out", h)
		}
	}
	if due := s.due(); s.now.Before(due) && !s.urgent {
		s.t.Fatalf("a commit begins at %v, and is due at %v", s.now, due)
	}
	s.since, s.began, s.pausing, s.awaited = time.Time{}, s.now, false, false
}

// due returns when what no commit has is to be in one, if nothing is in flight.
func (s *shell) due() time.Time {
	due, next := s.since.Add(s.limits.Interval), s.began.Add(s.limits.Apart)
	if due.Before(next) {
		return next
	}
	return due
}

// stepped notes work of a task.
func (s *shell) stepped(h decide.Holding) {
	s.running[h]++
	if s.since.IsZero() {
		s.since = s.now
	}
}

// undone notes that work is not there any more.
func (s *shell) undone() {
	for _, steps := range s.running {
		if steps > 0 {
			return
		}
	}
	s.since, s.awaited = time.Time{}, false
}

// pass tells the time, and checks that nothing waits longer than it must.
func (s *shell) pass() {
	s.urgent = s.w.Full() || s.awaited
	for _, asked := range s.releases {
		for _, h := range asked {
			s.urgent = s.urgent || s.running[h] > 0
		}
	}
	s.w.Passed(s.now)
	s.act()
	if s.flight != nil || s.since.IsZero() || s.pausing {
		return
	}
	if due := s.due(); s.urgent || !s.now.Before(due) {
		s.t.Fatalf("no commit begins at %v, and one is due at %v, at once %v", s.now, due, s.urgent)
	} else if !s.opened && s.limits.Ahead {
		s.t.Fatalf("a commit is due at %v, it is %v, and its transaction is not open", due, s.now)
	} else if at, ok := s.w.Wake(); !ok || due.Before(at) {
		s.t.Fatalf("it wants to be woken at %v, %v, and a commit is due at %v", at, ok, due)
	}
}

func (s *shell) drop(h decide.Holding, kind decide.ActionKind) {
	defer s.undone()
	if kind == decide.Close {
		if n := s.running[h] + s.inFlight[h]; n > 0 && s.flight != nil && !s.lost[h] {
			s.t.Fatalf("%v is given up with work", h)
		}
		if s.running[h] > 0 && !s.lost[h] && !s.undoing {
			s.t.Fatalf("%v is given up with work that no commit has", h)
		}
		delete(s.running, h)
		delete(s.restoring, h)
		delete(s.wanted, h)
		delete(s.inFlight, h) // its rows are its next owner's
		return
	}
	if _, running := s.running[h]; !running {
		s.t.Fatalf("%v does not run", h)
	}
	s.running[h] = 0
	s.reopened[h] = true
	if s.flight == nil { // the commit has been undone
		delete(s.inFlight, h)
	}
}

func (s *shell) pick(label string, of map[decide.Holding]bool) (decide.Holding, bool) {
	if len(of) == 0 {
		return decide.Holding{}, false
	}
	all := make([]decide.Holding, 0, len(of))
	for h := range of {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b decide.Holding) int { return a.Task.Compare(b.Task) })
	return rapid.SampledFrom(all).Draw(s.t, label), true
}

func (s *shell) held() map[decide.Holding]bool {
	held := map[decide.Holding]bool{}
	for h := range s.running {
		held[h] = true
	}
	for h := range s.restoring {
		held[h] = true
	}
	for h := range s.wanted {
		held[h] = true
	}
	for _, asked := range s.releases {
		for _, h := range asked {
			delete(held, h)
		}
	}
	return held
}

func (s *shell) assign() {
	var fresh []decide.Holding
	for p := range rapid.Int32Range(1, 3).Draw(s.t, "tasks") {
		task := decide.Task{Partition: p}
		is := false
		for h := range s.restoring {
			is = is || h.Task == task
		}
		for h := range s.running {
			is = is || h.Task == task
		}
		for h := range s.wanted {
			is = is || h.Task == task
		}
		if is {
			continue
		}
		s.stamp++
		fresh = append(fresh, decide.Holding{Task: task, Stamp: s.stamp})
	}
	for _, h := range fresh {
		s.mine[h] = true
	}
	s.w.Assigned(fresh)
}

func (s *shell) end(out decide.Outcome) decide.Verdict {
	c := s.flight
	s.flight, s.reopened = nil, map[decide.Holding]bool{}
	s.undoing = out.Fate != decide.Committed
	defer func() { s.undoing = false }()
	verdict := s.w.Ended(out, s.now)
	if out.Fate == decide.Committed {
		s.act() // before anything else: the rows
		if len(s.inFlight) > 0 {
			s.t.Fatalf("rows of %v are not applied", s.inFlight)
		}
		return verdict
	}
	s.pausing = true
	for _, h := range c.Parts {
		s.doubtful[h] = out.Fate == decide.Unknown
	}
	s.act()
	for _, h := range c.Parts {
		delete(s.inFlight, h)
		if _, running := s.running[h]; running && !s.reopened[h] {
			s.t.Fatalf("%v goes on with what was undone", h)
		}
		if s.running[h] > 0 {
			s.t.Fatalf("%v has work on top of a commit that was undone", h)
		}
	}
	return verdict
}

// Whatever happens, a Worker commits one thing at a time, all of it, for all its
// tasks, when it is due, not sooner unless it is urgent, and not later; applies what was
// committed and nothing else; and gives up what is asked for.
func TestAWorkerKeepsItsWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := decide.Limits{Interval: 100 * time.Millisecond, Records: 50, Bytes: 5000, Patience: time.Hour}
		if rapid.Bool().Draw(t, "auto") {
			limits.Interval, limits.Apart, limits.Ahead = 0, 50*time.Millisecond, true
		}
		s := &shell{
			t: t, w: decide.NewWorker(limits), limits: limits, now: time.Unix(1000, 0),
			restoring: map[decide.Holding]bool{}, running: map[decide.Holding]int{}, inFlight: map[decide.Holding]int{}, wanted: map[decide.Holding]bool{},
			failed: map[decide.Holding]bool{}, lost: map[decide.Holding]bool{}, mine: map[decide.Holding]bool{}, doubtful: map[decide.Holding]bool{}, reopened: map[decide.Holding]bool{}, releases: map[uint64][]decide.Holding{}, until: map[uint64]time.Time{},
		}
		var release uint64
		for range rapid.IntRange(1, 120).Draw(t, "events") {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				s.assign()
			case 1:
				if h, ok := s.pick("restored", s.restoring); ok {
					delete(s.restoring, h)
					if !s.w.Restored(h) {
						t.Fatalf("%v is restored and not wanted", h)
					}
					s.running[h] = 0
					delete(s.failed, h)
					delete(s.doubtful, h)
				}
			case 2, 3, 4:
				active := map[decide.Holding]bool{}
				for h := range s.running {
					if s.w.Active(h) {
						active[h] = true
					}
				}
				if h, ok := s.pick("stepped", active); ok && !s.w.Full() {
					if rapid.Bool().Draw(t, "changed") {
						s.stepped(h)
						s.w.Stepped(h, rapid.IntRange(0, 30).Draw(t, "records"), 10, true, s.now)
						if rapid.IntRange(0, 4).Draw(t, "awaited") == 0 {
							s.awaited = true
							s.w.Awaited()
						}
					} else {
						s.w.Stepped(h, 0, 0, false, s.now)
					}
				}
			case 5:
				s.now = s.now.Add(time.Duration(rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(1, 400)).Draw(t, "ms")) * time.Millisecond)
			case 6:
				if h, ok := s.pick("revoked", s.held()); ok {
					release++
					delete(s.mine, h)
					s.releases[release], s.until[release] = []decide.Holding{h}, s.now.Add(time.Second)
					s.w.Revoked(release, []decide.Holding{h}, s.until[release])
					if s.w.Active(h) {
						t.Fatalf("%v is revoked and goes on", h)
					}
				}
			case 7:
				if h, ok := s.pick("lost", s.held()); ok {
					s.lost[h] = true
					delete(s.mine, h)
					s.w.Lost([]decide.Holding{h})
				}
			case 8:
				active := map[decide.Holding]bool{}
				for h := range s.running {
					active[h] = s.w.Active(h)
					if !active[h] {
						delete(active, h)
					}
				}
				if h, ok := s.pick("failed", active); ok && rapid.Bool().Draw(t, "fails") {
					s.failed[h] = true
					s.w.StateFailed(h, s.now)
				}
			case 9:
				if s.flight == nil {
					break
				}
				out := decide.Outcome{Fate: rapid.SampledFrom([]decide.Fate{decide.Committed, decide.Committed, decide.Aborted, decide.Unknown}).Draw(t, "fate")}
				if out.Fate == decide.Unknown && !s.canceled || len(s.flight.Parts) == 0 {
					out.Fate = decide.Committed // else the runner stops
				}
				out.Broken = out.Fate == decide.Aborted && rapid.Bool().Draw(t, "broken")
				if s.end(out) != decide.GoOn {
					t.Fatalf("it gives up after %v", out)
				}
			}
			s.act()
			s.pass()
			if at, ok := s.w.Wake(); ok && at.Before(s.now) && s.flight == nil {
				t.Fatalf("it wants to be woken at %v, and it is %v", at, s.now)
			}
		}
		s.settle()
	})
}

// settle lets everything come to its end: restores succeed, commits are committed, and
// time passes.
func (s *shell) settle() {
	for range 200 {
		s.now = s.now.Add(10 * time.Second)
		for h := range s.restoring {
			delete(s.restoring, h)
			if s.w.Restored(h) {
				s.running[h] = 0
				delete(s.failed, h)
				delete(s.doubtful, h)
			}
		}
		s.pass()
		if s.flight != nil {
			s.end(decide.Outcome{Fate: decide.Committed})
		}
		s.pass()
	}
	if s.w.Full() {
		s.t.Fatal("at rest it steps no more")
	}
	uncommitted := 0
	for _, steps := range s.running {
		uncommitted += steps
	}
	if len(s.releases) > 0 || uncommitted > 0 || len(s.wanted) > 0 || s.flight != nil {
		s.t.Fatalf("at rest: releases %v, uncommitted %d, to be restored %v, in flight %v", s.releases, uncommitted, s.wanted, s.flight)
	}
	for h := range s.held() {
		if !s.w.Active(h) {
			s.t.Fatalf("at rest %v is not active", h)
		}
	}
	if len(s.mine) != len(s.running) {
		s.t.Fatalf("at rest %v run, and %v were given and not taken", s.running, s.mine)
	}
}

// withTwo is a worker that runs two tasks, and commits when ten records are consumed.
func withTwo() (w *decide.Worker, a, b decide.Holding) {
	a, b = decide.Holding{Stamp: 1}, decide.Holding{Task: decide.Task{Partition: 1}, Stamp: 2}
	w = decide.NewWorker(decide.Limits{Interval: time.Second, Records: 10, Bytes: 10, Patience: time.Hour})
	w.Assigned([]decide.Holding{a, b})
	w.Restored(a)
	w.Restored(b)
	return w, a, b
}

// A task that is asked for while it is restored does not run when it is, though another
// one that is asked for with it keeps it from being given up.
func TestATaskThatIsAskedForWhileItIsRestoredDoesNotRun(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := decide.Holding{Stamp: 1}, decide.Holding{Task: decide.Task{Partition: 1}, Stamp: 2}
	w := decide.NewWorker(decide.Limits{Interval: time.Second, Records: 10, Bytes: 10, Patience: time.Hour})
	w.Assigned([]decide.Holding{a, b})
	w.Restored(a)
	w.Stepped(a, 10, 10, true, now)
	w.Passed(now)
	w.Revoked(1, []decide.Holding{a, b}, now.Add(time.Second))
	if !w.Restored(b) || w.Active(b) {
		t.Fatal("it runs, or is not known")
	}
	w.Take()
	w.Ended(decide.Outcome{Fate: decide.Committed}, now)
	w.Passed(now)
	var released bool
	for _, act := range w.Take() {
		released = released || act.Kind == decide.Released
	}
	if !released {
		t.Error("it is not given up")
	}
}

// What was taken for the next commit goes into it as soon as it can, full or not: its
// tasks are not stepped before.
func TestWhatIsTakenIsCommittedAtOnce(t *testing.T) {
	now := time.Unix(1000, 0)
	w, a, _ := withTwo()
	w.Stepped(a, 1, 1, true, now)
	w.Taken()
	w.Passed(now)
	if !w.Busy() {
		t.Error("no commit begins")
	}
}

// A commit whose fate is not known takes the offsets of a task in doubt whose state
// failed meanwhile: it is restored with the others.
func TestAFailedTaskIsRestoredAfterAnUnknownFate(t *testing.T) {
	now := time.Unix(1000, 0)
	w, a, b := withTwo()
	w.Stepped(a, 10, 10, true, now)
	w.Stepped(b, 10, 10, true, now)
	w.Passed(now)
	w.StateFailed(b, now)
	w.Revoked(1, []decide.Holding{a}, now)
	w.Passed(now)
	w.Take()
	if v := w.Ended(decide.Outcome{Fate: decide.Unknown}, now); v != decide.GoOn {
		t.Fatalf("verdict %d", v)
	}
	var again []decide.Holding
	for _, act := range w.Take() {
		if act.Kind == decide.Begin {
			again = act.Commit.Restore
		}
	}
	if !slices.Equal(again, []decide.Holding{b}) {
		t.Fatalf("to be restored: %v", again)
	}
}

// Without an interval a commit begins with the first work, but commits that are short
// keep their distance; those that are long follow one another.
func TestCommitsWithoutAnIntervalKeepTheirDistance(t *testing.T) {
	start := time.Unix(1000, 0)
	a := decide.Holding{Stamp: 1}
	w := decide.NewWorker(decide.Limits{Apart: 50 * time.Millisecond, Records: 10, Bytes: 10, Patience: time.Hour})
	w.Assigned([]decide.Holding{a})
	w.Restored(a)
	w.Take()
	for _, c := range []struct {
		at      int // milliseconds
		records int // of a step with work; 0: none
		ended   bool
		begins  bool
		wake    int // 0: nothing to wait for
	}{
		{at: 0, records: 1, begins: true},
		{at: 5, ended: true},
		{at: 7, records: 1, wake: 50},
		{at: 49, records: 1, wake: 50},
		{at: 50, begins: true},
		{at: 60, records: 1},
		{at: 250, ended: true, begins: true}, // a long one
		{at: 260, ended: true},
		{at: 400, records: 1, begins: true},
		{at: 401, ended: true},
		{at: 402, records: 10, begins: true}, // much work
	} {
		now := start.Add(time.Duration(c.at) * time.Millisecond)
		if c.ended {
			w.Ended(decide.Outcome{Fate: decide.Committed}, now)
		}
		if c.records > 0 {
			w.Stepped(a, c.records, 0, true, now)
		}
		w.Passed(now)
		begins := slices.ContainsFunc(w.Take(), func(a decide.Action) bool { return a.Kind == decide.Begin })
		at, ok := w.Wake()
		if begins != c.begins || ok != (c.wake > 0) || ok && !at.Equal(start.Add(time.Duration(c.wake)*time.Millisecond)) {
			t.Errorf("at %d ms: begins %v, wakes at %v, %v", c.at, begins, at, ok)
		}
	}
}

// The work of a task that is lost counts no more: the worker goes on, and what comes
// next waits as long as it should.
func TestTheWorkOfALostTaskCountsNoMore(t *testing.T) {
	now := time.Unix(1000, 0)
	w, a, b := withTwo()
	w.Stepped(a, 10, 10, true, now)
	w.Stepped(b, 10, 10, false, now)
	w.Passed(now)
	w.Stepped(a, 10, 10, true, now) // beside the commit of the work before
	w.Lost([]decide.Holding{a})
	w.Ended(decide.Outcome{Fate: decide.Committed}, now)
	if w.Full() {
		t.Error("it steps no more")
	}
	w.Stepped(b, 1, 1, true, now.Add(time.Minute))
	if at, ok := w.Wake(); !ok || !at.Equal(now.Add(time.Minute+time.Second)) {
		t.Errorf("it wants to be woken at %v, %v", at, ok)
	}
}

// A broker that is too slow for a full batch gets smaller ones, until they are in time,
// and larger ones again when it is quick.
func TestABatchIsAsLargeAsTheBrokerIsQuick(t *testing.T) {
	const most, timeout = 120_000, 10 * time.Second
	now := time.Unix(1000, 0)
	a := decide.Holding{Stamp: 1}
	w := decide.NewWorker(decide.Limits{Interval: time.Second, Records: most, Bytes: most, Timeout: timeout, Patience: 2 * time.Minute})
	w.Assigned([]decide.Holding{a})
	w.Restored(a)
	// commit fills a batch and commits it, at so much for a record.
	commit := func(each time.Duration) (records int, committed bool) {
		for !w.Full() {
			w.Stepped(a, 100, 100, true, now)
			records += 100
		}
		if at, ok := w.Wake(); ok && now.Before(at) {
			now = at
		}
		w.Passed(now)
		took := time.Duration(records) * each
		out := decide.Outcome{Fate: decide.Committed}
		if took > timeout {
			took, out.Fate = 2*timeout, decide.Aborted
		}
		now = now.Add(took)
		if v := w.Ended(out, now); v != decide.GoOn {
			t.Fatalf("verdict %d on a batch of %d, at %v for each", v, records, each)
		}
		w.Take()
		return records, out.Fate == decide.Committed
	}
	for _, each := range []time.Duration{time.Microsecond, 200 * time.Microsecond, 5 * time.Millisecond} {
		failed := 0
		for n := range 30 {
			records, ok := commit(each)
			if !ok {
				failed++
			}
			if n >= 10 && (!ok || each < 10*time.Microsecond && records != most) {
				t.Errorf("at %v for each, batch %d: %d records, committed: %t", each, n, records, ok)
			}
		}
		t.Logf("at %v for each, %d batches failed", each, failed)
		for range 10 {
			commit(time.Microsecond)
		}
		if records, _ := commit(time.Microsecond); records != most {
			t.Errorf("after %v for each: %d records when the broker is quick again", each, records)
		}
	}
}

// What a batch has of a drain follows how long commits take: all that it may where they
// are quick; where it is the drain that makes them slow, about as much as costs a quarter
// of the time; and where they are slow without it, more with each of them.
func TestADrainYieldsToOthers(t *testing.T) {
	const least, most = 128, 8192
	now := time.Unix(1000, 0)
	a := decide.Holding{Stamp: 1}
	w := decide.NewWorker(decide.Limits{Interval: 100 * time.Millisecond, Records: 1 << 30, Bytes: 1 << 30, Timeout: 10 * time.Second, Patience: time.Hour})
	w.Assigned([]decide.Holding{a})
	w.Restored(a)
	// commit commits a batch that has of a drain what it may, or nothing.
	commit := func(drain bool, fixed, each time.Duration) (drained int, took time.Duration) {
		if drain {
			drained = w.Drain()
			w.Awaited()
		}
		w.Stepped(a, drained, drained, true, now)
		if at, _ := w.Wake(); now.Before(at) {
			now = at
		}
		w.Passed(now)
		took = fixed + time.Duration(drained)*each
		now = now.Add(took)
		w.Ended(decide.Outcome{Fate: decide.Committed}, now)
		return drained, took
	}
	for _, c := range []struct {
		name        string
		fixed, each time.Duration
		low, high   int           // of the mean, once it has settled
		took        time.Duration // at most, then
	}{
		{"quick", 2 * time.Millisecond, time.Microsecond, most, most, 20 * time.Millisecond},
		{"not quick enough", 2 * time.Millisecond, 10 * time.Microsecond, 4000, 7000, 85 * time.Millisecond},
		{"slow", 400 * time.Millisecond, 0, 3000, most, 400 * time.Millisecond},
		{"slow for what it has", 200 * time.Millisecond, 100 * time.Microsecond, 350, 600, 265 * time.Millisecond},
		{"very slow for it", 200 * time.Millisecond, 2 * time.Millisecond, least, 2 * least, 600 * time.Millisecond},
		{"quick again", 2 * time.Millisecond, time.Microsecond, most, most, 20 * time.Millisecond},
	} {
		for range 20 {
			commit(false, c.fixed, c.each)
		}
		sum, n := 0, 0
		for i := range 100 {
			drained, took := commit(true, c.fixed, c.each)
			if drained < least || drained > most {
				t.Fatalf("%s: a batch may have %d", c.name, drained)
			}
			if took > c.took {
				t.Errorf("%s: commit %d, with %d, takes %v", c.name, i, drained, took)
			}
			if i >= 10 {
				sum, n = sum+drained, n+1
			}
		}
		t.Logf("%s: %d in a batch", c.name, sum/n)
		if mean := sum / n; mean < c.low || mean > c.high {
			t.Errorf("%s: %d in a batch, want %d to %d", c.name, mean, c.low, c.high)
		}
	}
	for range 3 {
		w.Stepped(a, 1, 1, true, now)
		now = now.Add(time.Minute)
		w.Passed(now)
		w.Ended(decide.Outcome{Fate: decide.Aborted}, now)
	}
	if n := w.Drain(); n != least {
		t.Errorf("after commits that failed a batch may have %d", n)
	}
}
