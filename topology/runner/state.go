package runner

import (
	"sync"
)

// A Phase is what a Runner is doing.
type Phase string

// Phases.
const (
	Created     Phase = "created"     // looking at topics, ending what a predecessor left open
	Rebalancing Phase = "rebalancing" // tasks come or go
	Restoring   Phase = "restoring"   // some tasks read their state back; the others run
	Running     Phase = "running"
	Stopping    Phase = "stopping" // committing what is stepped, and leaving
	Failed      Phase = "failed"   // Run returns the reason
)

// A State is what a Listener is told.
type State struct {
	Phase     Phase
	Tasks     int      // held
	Restoring int      // of them
	Standbys  int      // tasks of other instances whose state is kept warm
	Records   int64    // restored since the start
	Bytes     int64    // restored since the start
	Restored  Restored // the task that was restored last
	Reason    error    // of Failed
}

// Restored says how the state of a task was restored.
type Restored struct {
	Task    string
	Records int64
	Bytes   int64
	// Checkpoint is up to where the data directory, or the standby, had the changelogs, as
	// "topic-partition@offset ..."; empty: there was none, and everything was read.
	Checkpoint string
	Refused    error // why what was in the data directory was not used
}

// status keeps the state and tells the listener of its changes.
type status struct {
	mu     sync.Mutex // guards state, and that the listener is told in order
	state  State
	listen func(State)
}

// update changes the state.
func (s *status) update(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state
	change(&s.state)
	if s.listen != nil && s.state != old {
		s.listen(s.state)
	}
}

// get returns the state.
func (s *status) get() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// settle gives the phase of a state in which nothing moves.
func settle(s *State) {
	if s.Phase == Stopping || s.Phase == Failed {
		return
	}
	s.Phase = Running
	if s.Restoring > 0 {
		s.Phase = Restoring
	}
}

// enter gives the phase, unless the runner is on its way out.
func enter(s *State, p Phase) {
	if s.Phase != Failed && (s.Phase != Stopping || p == Failed) {
		s.Phase = p
	}
}
