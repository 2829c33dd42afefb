package wire

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A candidate is one member as the leader of a generation sees it.
type candidate struct {
	id         string
	topics     []string
	owned      []record.TopicPartition // what it says it still has
	generation int32                   // of that claim
}

// assign gives the partitions of topics to the members of a group. The unit is a
// task: the partitions of one number, of every topic that has it, stay together.
// A task stays where it is as far as the balance allows (the members' shares differ
// by one at most), and is left out of this generation while another member still has
// some of it: when that one has let go it joins again, and the next generation gives
// the task to its new member. The result depends on the arguments only.
func assign(members []candidate, partitions map[string]int32) (map[string][]record.TopicPartition, error) {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b candidate) int { return cmp.Compare(a.id, b.id) })
	holders := holders(members)
	tasks, err := tasksOf(members, partitions)
	if err != nil {
		return nil, err
	}
	share(members, tasks, holders)

	out := make(map[string][]record.TopicPartition, len(members))
	for _, m := range members {
		out[m.id] = []record.TopicPartition{}
	}
	for _, t := range tasks {
		if t.heldBy(holders, func(id string) bool { return id != t.member }) {
			continue
		}
		out[t.member] = append(out[t.member], t.parts...)
	}
	for _, parts := range out {
		sortPartitions(parts)
	}
	return out, nil
}

// A task is the partitions of one number.
type task struct {
	parts    []record.TopicPartition
	eligible map[string]bool // members that read all its topics
	member   string          // to whom it goes
}

// heldBy reports whether a member that match accepts has a part of the task.
func (t *task) heldBy(holders map[record.TopicPartition]string, match func(id string) bool) bool {
	return slices.ContainsFunc(t.parts, func(tp record.TopicPartition) bool {
		id, held := holders[tp]
		return held && match(id)
	})
}

// holders returns who has a partition. When two say so the later generation is
// right: the other was away while it was taken from it.
func holders(members []candidate) map[record.TopicPartition]string {
	holders := map[record.TopicPartition]string{}
	since := map[record.TopicPartition]int32{}
	for _, m := range members {
		for _, tp := range m.owned {
			if _, held := holders[tp]; !held || m.generation > since[tp] {
				holders[tp], since[tp] = m.id, m.generation
			}
		}
	}
	return holders
}

// tasksOf returns the tasks in the order of their numbers.
func tasksOf(members []candidate, partitions map[string]int32) ([]*task, error) {
	var tasks []*task
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for n := range partitions[topic] {
			if int(n) == len(tasks) {
				tasks = append(tasks, &task{})
			}
			tasks[n].parts = append(tasks[n].parts, record.TopicPartition{Topic: topic, Partition: n})
		}
	}
	for n, t := range tasks {
		t.eligible = map[string]bool{}
		for _, m := range members {
			if !slices.ContainsFunc(t.parts, func(tp record.TopicPartition) bool { return !slices.Contains(m.topics, tp.Topic) }) {
				t.eligible[m.id] = true
			}
		}
		if len(t.eligible) == 0 {
			return nil, fmt.Errorf("no member reads all topics of the tasks with number %d: members of one group must read the same topics", n)
		}
	}
	return tasks, nil
}

// share decides to whom each task goes.
func share(members []candidate, tasks []*task, holders map[record.TopicPartition]string) {
	if len(members) == 0 {
		return
	}
	// Each keeps what it has up to the larger share; as many larger shares as there
	// are go to those that have most, so that nothing moves in a balanced group.
	has := map[string]int{}
	for _, t := range tasks {
		for id := range t.eligible {
			if t.heldBy(holders, func(h string) bool { return h == id }) {
				has[id]++
			}
		}
	}
	byHas := slices.Clone(members)
	slices.SortStableFunc(byHas, func(a, b candidate) int { return cmp.Compare(has[b.id], has[a.id]) })
	quota := map[string]int{}
	for i, m := range byHas {
		quota[m.id] = len(tasks) / len(members)
		if i < len(tasks)%len(members) {
			quota[m.id]++
		}
	}
	var open []*task
	got := map[string]int{}
	for _, t := range tasks {
		for _, m := range members {
			if t.eligible[m.id] && got[m.id] < quota[m.id] && t.heldBy(holders, func(h string) bool { return h == m.id }) {
				t.member = m.id
				got[m.id]++
				break
			}
		}
		if t.member == "" {
			open = append(open, t)
		}
	}
	// The rest goes to whoever has the fewest and may have more: in turns, so that
	// tasks of more topics, the low numbers, are spread.
	better := func(a, b string) bool {
		if full := got[a] >= quota[a]; full != (got[b] >= quota[b]) {
			return !full
		}
		return got[a] < got[b]
	}
	for _, t := range open {
		for _, m := range members {
			if t.eligible[m.id] && (t.member == "" || better(m.id, t.member)) {
				t.member = m.id
			}
		}
		got[t.member]++
	}
}

func sortPartitions(parts []record.TopicPartition) {
	slices.SortFunc(parts, func(a, b record.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// without returns the partitions of a that are not in b.
func without(a, b []record.TopicPartition) []record.TopicPartition {
	in := make(map[record.TopicPartition]bool, len(b))
	for _, tp := range b {
		in[tp] = true
	}
	var out []record.TopicPartition
	for _, tp := range a {
		if !in[tp] {
			out = append(out, tp)
		}
	}
	return out
}

var errNoTopics = errors.New("no topic given")
