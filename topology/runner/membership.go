package runner

import (
	"sync"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// membership is who this instance is in the group, and what it holds. The group's
// goroutine writes it, committers read it.
type membership struct {
	mu       sync.Mutex // guards what follows
	member   kafka.Member
	holdings decide.Holdings
	changed  chan struct{} // closed and replaced at every change
}

func newMembership() *membership { return &membership{changed: make(chan struct{})} }

func (m *membership) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
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

// speakFor returns the member of the moment, if it may commit for the holdings: all
// were held without a break. changed is closed when the answer may be another.
func (m *membership) speakFor(holdings []decide.Holding) (member kafka.Member, changed <-chan struct{}, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.member, m.changed, m.holdings.Intact(holdings)
}
