package decide

import (
	"cmp"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Task names a task: the number of its sub-topology, and its partition.
type Task struct {
	Sub       int
	Partition int32
}

// Compare orders tasks.
func (t Task) Compare(u Task) int {
	return cmp.Or(cmp.Compare(t.Sub, u.Sub), cmp.Compare(t.Partition, u.Partition))
}

// Tasks returns the tasks that the partitions make up, sorted. topics has the source
// topics of each sub-topology. split has the tasks of which only a part is there.
func Tasks(topics [][]string, partitions []record.TopicPartition) (tasks, split []Task) {
	for sub, names := range topics {
		count := map[int32]int{}
		for _, tp := range partitions {
			if slices.Contains(names, tp.Topic) {
				count[tp.Partition]++
			}
		}
		for p, n := range count {
			if n == len(names) {
				tasks = append(tasks, Task{sub, p})
			} else {
				split = append(split, Task{sub, p})
			}
		}
	}
	slices.SortFunc(tasks, Task.Compare)
	slices.SortFunc(split, Task.Compare)
	return tasks, split
}

// Spread gives n tasks to workers, one by one to the one with the fewest, and
// returns the worker of each. load has the number of tasks of each worker.
func Spread(load []int, n int) []int {
	load = slices.Clone(load)
	to := make([]int, n)
	for i := range to {
		to[i] = slices.Index(load, slices.Min(load))
		load[to[i]]++
	}
	return to
}

// A Holding is a task as it was assigned once.
type Holding struct {
	Task
	Stamp uint64
}

// Holdings are the tasks that an instance holds. The zero value holds none.
type Holdings struct {
	stamps map[Task]uint64
	last   uint64
}

// Assign holds tasks, and returns the holdings of those that were not held before,
// in their order.
func (h *Holdings) Assign(tasks []Task) []Holding {
	if h.stamps == nil {
		h.stamps = map[Task]uint64{}
	}
	var fresh []Holding
	for _, t := range tasks {
		if _, held := h.stamps[t]; held {
			continue
		}
		h.last++
		h.stamps[t] = h.last
		fresh = append(fresh, Holding{t, h.last})
	}
	return fresh
}

// Drop ends the holding of tasks, and returns those that were held.
func (h *Holdings) Drop(tasks []Task) []Holding {
	var dropped []Holding
	for _, t := range tasks {
		if stamp, held := h.stamps[t]; held {
			dropped = append(dropped, Holding{t, stamp})
			delete(h.stamps, t)
		}
	}
	return dropped
}

// Find returns the holdings of those tasks that are held.
func (h *Holdings) Find(tasks []Task) []Holding {
	var found []Holding
	for _, t := range tasks {
		if stamp, held := h.stamps[t]; held {
			found = append(found, Holding{t, stamp})
		}
	}
	return found
}

// Intact reports whether all of them are held without a break (D2).
func (h *Holdings) Intact(holdings []Holding) bool {
	return !slices.ContainsFunc(holdings, func(x Holding) bool { return h.stamps[x.Task] != x.Stamp })
}
