package runner

import (
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// membership is who this instance is in the group, and what it holds. The group's
// goroutine writes it, committers read it.
type membership struct {
	mu       sync.Mutex  // guards what follows
	group    kafka.Group // nil: it has not been opened yet
	member   kafka.Member
	holdings decide.Holdings
	changed  chan struct{} // closed and replaced at every change
}

func newMembership() *membership { return &membership{changed: make(chan struct{})} }

func (m *membership) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// opened takes the group that this instance is to be in.
func (m *membership) opened(g kafka.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.group = g
}

// assigned takes the assignment of a member generation, and returns what is new.
func (m *membership) assigned(member kafka.Member, tasks []decide.Task) []decide.Holding {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.member = member
	defer m.notify()
	return m.holdings.Assign(tasks)
}

// find returns the holdings of tasks.
func (m *membership) find(tasks []decide.Task) []decide.Holding {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.holdings.Find(tasks)
}

// drop ends the holding of tasks.
func (m *membership) drop(tasks []decide.Task) []decide.Holding {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.notify()
	return m.holdings.Drop(tasks)
}

// owned returns the last time of which it is known that the holding was this instance's
// alone; zero: it is not any more, and nobody knows.
func (m *membership) owned(h decide.Holding) time.Time {
	m.mu.Lock()
	group := m.group
	m.mu.Unlock()
	if group == nil {
		return time.Time{}
	}
	at := group.Confirmed() // before the look: what is confirmed later may be of another holding
	if _, _, ok := m.speakFor([]decide.Holding{h}); !ok {
		return time.Time{}
	}
	return at
}

// speakFor returns the member of the moment, if it may commit for the holdings: all
// were held without a break. changed is closed when the answer may be another.
func (m *membership) speakFor(holdings []decide.Holding) (member kafka.Member, changed <-chan struct{}, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.member, m.changed, m.holdings.Intact(holdings)
}
