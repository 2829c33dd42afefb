package runner

import (
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/metrics"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/runner/internal/decide"
)

// assignment implements kafka.GroupHandler: it gives tasks to workers and takes them
// back. Its methods are called by the group's goroutine alone.
type assignment struct {
	*run
	owner map[decide.Task]*worker
	ended <-chan struct{} // closed when Run is to end
}

// moving says that tasks move, or, when Run is to end, that they go.
func (a *assignment) moving() {
	a.status.update(func(s *State) {
		select {
		case <-a.ended:
			enter(s, Stopping)
		default:
			enter(s, Rebalancing)
		}
	})
}

// Assigned implements kafka.GroupHandler. Tasks that are missing in the assignment
// stay until Revoked or Lost names them.
func (a *assignment) Assigned(member kafka.Member, partitions []record.TopicPartition) {
	if err := outgrown(partitions, a.counts); err != nil {
		// At once: what is consumed from here on may be of keys whose state is elsewhere.
		a.fail(err)
		partitions = slices.DeleteFunc(partitions, func(tp record.TopicPartition) bool { return tp.Partition >= a.counts[tp.Topic] })
	}
	tasks, split := decide.Tasks(a.sources, partitions)
	if len(split) > 0 {
		a.fail(fmt.Errorf("runner: the group assigned a part of task %s; give the app a group of its own: %s belongs to it alone", a.name(split[0]), a.names.Group()))
	}
	fresh := a.members.assigned(member, tasks)
	load := make([]int, len(a.workers))
	for _, w := range a.owner {
		load[w.id]++
	}
	to := map[*worker][]decide.Holding{}
	for i, n := range decide.Spread(load, len(fresh)) {
		w := a.workers[n]
		a.owner[fresh[i].Task] = w
		to[w] = append(to[w], fresh[i])
	}
	a.watch.rebalanced(metrics.Assigned)
	a.log.Info("tasks assigned", "member_generation", member.Generation, "tasks", len(a.owner), "new", len(fresh))
	a.status.update(func(s *State) {
		s.Tasks = len(a.owner)
		s.Restoring += len(fresh)
		settle(s)
	})
	a.tell(to, func(holdings []decide.Holding) message { return message{assign: holdings} })
}

// Revoked implements kafka.GroupHandler: it returns when the tasks are committed or
// dropped.
func (a *assignment) Revoked(partitions []record.TopicPartition) {
	tasks := a.touched(partitions)
	a.watch.rebalanced(metrics.Revoked)
	a.log.Info("tasks revoked", "tasks", len(tasks))
	a.moving()
	until := a.cfg.now().Add(a.cfg.releaseWait())
	done := map[*worker]chan struct{}{}
	to := a.byOwner(a.members.find(tasks))
	for w := range to {
		done[w] = make(chan struct{})
	}
	for w, holdings := range to {
		a.send(w, message{release: &release{holdings: holdings, until: until, done: done[w]}})
	}
	for w, released := range done {
		select {
		case <-released:
		case <-w.done:
		}
	}
	a.members.drop(tasks)
	a.forget(tasks)
}

// Lost implements kafka.GroupHandler. Nothing may speak for the tasks from here on.
func (a *assignment) Lost(partitions []record.TopicPartition) {
	tasks := a.touched(partitions)
	a.watch.rebalanced(metrics.Lost)
	a.log.Warn("tasks lost", "tasks", len(tasks))
	a.moving()
	to := a.byOwner(a.members.drop(tasks))
	a.tell(to, func(holdings []decide.Holding) message { return message{drop: holdings} })
	a.forget(tasks)
}

// State implements kafka.GroupHandler: up to where standbys and the data directory have
// the tasks that this instance does not hold.
func (a *assignment) State() map[int32]int64 {
	state := map[int32]int64{}
	for sub, p := range a.plans {
		for n := range a.counts[p.Sources[0]] {
			if t := (decide.Task{Sub: sub, Partition: n}); a.owner[t] == nil {
				state[n] += a.stores.amount(t, p)
			}
		}
	}
	return state
}

// Standby implements kafka.GroupHandler.
func (a *assignment) Standby(numbers []int32) {
	if a.stores.warm == nil {
		return
	}
	var tasks []decide.Task
	for sub, p := range a.plans {
		for _, n := range numbers {
			if n < a.counts[p.Sources[0]] {
				tasks = append(tasks, decide.Task{Sub: sub, Partition: n})
			}
		}
	}
	a.stores.warm.want(tasks)
}

// touched returns the held tasks that read any of the partitions.
func (a *assignment) touched(partitions []record.TopicPartition) []decide.Task {
	whole, split := decide.Tasks(a.sources, partitions)
	tasks := append(whole, split...)
	return slices.DeleteFunc(tasks, func(t decide.Task) bool { return a.owner[t] == nil })
}

func (a *assignment) byOwner(holdings []decide.Holding) map[*worker][]decide.Holding {
	to := map[*worker][]decide.Holding{}
	for _, h := range holdings {
		w := a.owner[h.Task]
		to[w] = append(to[w], h)
	}
	return to
}

func (a *assignment) forget(tasks []decide.Task) {
	for _, t := range tasks {
		delete(a.owner, t)
	}
	a.status.update(func(s *State) { s.Tasks = len(a.owner) })
	if a.stores.warm != nil {
		a.stores.warm.wake()
	}
}

func (a *assignment) tell(to map[*worker][]decide.Holding, say func([]decide.Holding) message) {
	for w, holdings := range to {
		a.send(w, say(holdings))
	}
}

func (a *assignment) send(w *worker, m message) {
	select {
	case w.mail <- m:
	case <-w.done:
	}
}

// A message is what the group's goroutine says to a worker: one of its fields.
type message struct {
	assign  []decide.Holding
	drop    []decide.Holding
	release *release
}

// A release asks a worker to commit tasks and give them up.
type release struct {
	holdings []decide.Holding
	until    time.Time     // past it they are dropped
	done     chan struct{} // closed when they are given up
}
