package runner

import (
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// confirming is a group that has confirmed a time.
type confirming struct {
	kafka.Group
	at time.Time
}

func (c confirming) Confirmed() time.Time { return c.at }

// What the group confirms is of the holdings that it knows of, and of no older ones.
func TestWhatAHoldingIsConfirmedFor(t *testing.T) {
	t.Parallel()
	m, at := newMembership(), time.Unix(7, 0)
	tasks := []decide.Task{{Partition: 3}}
	first := m.assigned(kafka.Member{ID: "a", Generation: 1}, tasks)[0]
	if got := m.owned(first); !got.IsZero() {
		t.Errorf("before there is a group: %v", got)
	}
	m.opened(confirming{at: at})
	if got := m.owned(first); got != at {
		t.Errorf("held: %v, want %v", got, at)
	}
	m.drop(tasks)
	if got := m.owned(first); !got.IsZero() {
		t.Errorf("lost: %v", got)
	}
	second := m.assigned(kafka.Member{ID: "b", Generation: 2}, tasks)[0]
	if got := m.owned(first); !got.IsZero() {
		t.Errorf("held again: the older holding is confirmed for %v", got)
	}
	if got := m.owned(second); got != at {
		t.Errorf("held again: %v, want %v", got, at)
	}
}
