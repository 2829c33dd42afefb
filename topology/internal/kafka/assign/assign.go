package assign

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Member is one member of the group as it joined.
type Member struct {
	ID         string
	Topics     []string
	Owned      []record.TopicPartition // what it says it still has
	Generation int32                   // of that claim
	// State is how much it has of the state of tasks, by number; nil: it does not tell.
	State map[int32]int64
}

// A Share is what one member gets.
type Share struct {
	Partitions []record.TopicPartition // sorted
	Standby    []int32                 // numbers of tasks, sorted
	// Gives says that it has to let go of something that another waits for: once it has,
	// there is to be another generation.
	Gives bool
}

// Assign gives the partitions of topics to the members of a group, and each task to so
// many others as standbys. It keeps none of the arguments. An error says that no member
// reads all topics of a task.
func Assign(members []Member, partitions map[string]int32, standbys int) (map[string]Share, error) {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	tasks, err := tasksOf(members, partitions)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Share, len(members))
	for _, m := range members {
		out[m.ID] = Share{Partitions: []record.TopicPartition{}}
	}
	if len(members) == 0 {
		return out, nil
	}
	share(members, tasks)
	for _, t := range tasks {
		if !t.waits() {
			s := out[t.member]
			s.Partitions = append(s.Partitions, t.parts...)
			out[t.member] = s
			continue
		}
		for _, id := range t.holders {
			s := out[id]
			s.Gives = s.Gives || id != t.member
			out[id] = s
		}
	}
	for id, numbers := range standBy(members, tasks, standbys) {
		s := out[id]
		s.Standby = numbers
		out[id] = s
	}
	for _, s := range out {
		slices.SortFunc(s.Partitions, func(a, b record.TopicPartition) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	return out, nil
}

// A task is the partitions of one number.
type task struct {
	number   int32
	parts    []record.TopicPartition
	eligible map[string]bool // members that read all its topics
	holders  []string        // members that have a part of it, sorted
	owner    string          // the first of them that is eligible; empty: none
	member   string          // to whom it goes
}

// waits reports whether another member has to let go first.
func (t *task) waits() bool {
	return slices.ContainsFunc(t.holders, func(id string) bool { return id != t.member })
}

// tasksOf returns the tasks in the order of their numbers.
func tasksOf(members []Member, partitions map[string]int32) ([]*task, error) {
	var tasks []*task
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for n := range partitions[topic] {
			if int(n) == len(tasks) {
				tasks = append(tasks, &task{number: n})
			}
			tasks[n].parts = append(tasks[n].parts, record.TopicPartition{Topic: topic, Partition: n})
		}
	}
	has := holders(members)
	for n, t := range tasks {
		t.eligible = map[string]bool{}
		for _, m := range members {
			if !slices.ContainsFunc(t.parts, func(tp record.TopicPartition) bool { return !slices.Contains(m.Topics, tp.Topic) }) {
				t.eligible[m.ID] = true
			}
		}
		if len(members) > 0 && len(t.eligible) == 0 {
			return nil, fmt.Errorf("no member reads all topics of the tasks with number %d: members of one group must read the same topics", n)
		}
		for _, tp := range t.parts {
			if id, held := has[tp]; held && !slices.Contains(t.holders, id) {
				t.holders = append(t.holders, id)
			}
		}
		slices.Sort(t.holders)
		if i := slices.IndexFunc(t.holders, func(id string) bool { return t.eligible[id] }); i >= 0 {
			t.owner = t.holders[i]
		}
	}
	return tasks, nil
}

// holders returns who has a partition. When two say so the later generation is
// right: the other was away while it was taken from it.
func holders(members []Member) map[record.TopicPartition]string {
	holders := map[record.TopicPartition]string{}
	since := map[record.TopicPartition]int32{}
	for _, m := range members {
		for _, tp := range m.Owned {
			if _, held := holders[tp]; !held || m.Generation > since[tp] {
				holders[tp], since[tp] = m.ID, m.Generation
			}
		}
	}
	return holders
}

// An offer is a member that has state of a task.
type offer struct {
	task   *task
	member string
	amount int64
}

// offers returns all of them, the greatest first.
func offers(members []Member, tasks []*task) []offer {
	var all []offer
	for _, t := range tasks {
		for _, m := range members {
			if n := m.State[t.number]; n > 0 && t.eligible[m.ID] {
				all = append(all, offer{t, m.ID, n})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b offer) int { return cmp.Compare(b.amount, a.amount) })
	return all
}

// share decides to whom each task goes.
func share(members []Member, tasks []*task) {
	quota := quotas(members, tasks)
	has, got := map[string]int{}, map[string]int{}
	for _, t := range tasks {
		if t.owner != "" {
			has[t.owner]++
		}
	}
	// What nobody has, and what a member has too many of, goes to the state.
	for _, o := range offers(members, tasks) {
		t := o.task
		free := t.owner == "" || t.owner != o.member && has[t.owner] > quota[t.owner]
		if t.member != "" || !free || has[o.member]+got[o.member] >= quota[o.member] {
			continue
		}
		t.member = o.member
		got[o.member]++
		if t.owner != "" {
			has[t.owner]--
		}
	}
	// Each keeps what it has up to its share.
	var open []*task
	for _, t := range tasks {
		switch {
		case t.member != "":
		case t.owner != "" && got[t.owner] < quota[t.owner]:
			t.member = t.owner
			got[t.owner]++
		default:
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
			if t.eligible[m.ID] && (t.member == "" || better(m.ID, t.member)) {
				t.member = m.ID
			}
		}
		got[t.member]++
	}
}

// quotas returns how many tasks each may have. As many larger shares as there are go to
// those that have most, so that nothing moves in a balanced group; among them to those
// with state of most tasks.
func quotas(members []Member, tasks []*task) map[string]int {
	has, knows := map[string]int{}, map[string]int{}
	for _, t := range tasks {
		if t.owner != "" {
			has[t.owner]++
		}
	}
	for _, o := range offers(members, tasks) {
		knows[o.member]++
	}
	byHas := slices.Clone(members)
	slices.SortStableFunc(byHas, func(a, b Member) int {
		return cmp.Or(cmp.Compare(has[b.ID], has[a.ID]), cmp.Compare(knows[b.ID], knows[a.ID]))
	})
	quota := map[string]int{}
	for i, m := range byHas {
		quota[m.ID] = len(tasks) / len(members)
		if i < len(tasks)%len(members) {
			quota[m.ID]++
		}
	}
	return quota
}
