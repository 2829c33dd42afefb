package assign

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/internal/record"
)

func parts(topic string, numbers ...int32) []record.TopicPartition {
	var out []record.TopicPartition
	for _, n := range numbers {
		out = append(out, record.TopicPartition{Topic: topic, Partition: n})
	}
	return out
}

// active is Assign without standbys, and what it gives of partitions.
func active(members []Member, counts map[string]int32) (map[string][]record.TopicPartition, error) {
	shares, err := Assign(members, counts, 0)
	got := map[string][]record.TopicPartition{}
	for id, s := range shares {
		got[id] = s.Partitions
	}
	return got, err
}

func TestAssignsWholeTasksAndKeepsThemWhereTheyAre(t *testing.T) {
	t.Parallel()
	both := []string{"a", "b"}
	for _, c := range []struct {
		name    string
		members []Member
		counts  map[string]int32
		want    map[string][]record.TopicPartition
	}{
		{
			"one member takes all",
			[]Member{{ID: "x", Topics: both}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0, 1), parts("b", 0, 1)...)},
		},
		{
			"what must move is left out until it is let go",
			[]Member{{ID: "x", Topics: both, Owned: append(parts("a", 0, 1), parts("b", 0, 1)...), Generation: 1}, {ID: "y", Topics: both}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": {}},
		},
		{
			"then it goes to the other",
			[]Member{{ID: "x", Topics: both, Owned: append(parts("a", 0), parts("b", 0)...), Generation: 2}, {ID: "y", Topics: both, Generation: 2}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": append(parts("a", 1), parts("b", 1)...)},
		},
		{
			"half a task that was let go does not move alone",
			[]Member{{ID: "x", Topics: both, Owned: append(parts("a", 0), parts("b", 0, 1)...), Generation: 2}, {ID: "y", Topics: both, Generation: 2}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": {}},
		},
		{
			"of two that claim a partition the later generation has it",
			[]Member{{ID: "x", Topics: []string{"a"}, Owned: parts("a", 0, 1), Generation: 3}, {ID: "y", Topics: []string{"a"}, Owned: parts("a", 1), Generation: 7}},
			map[string]int32{"a": 2},
			map[string][]record.TopicPartition{"x": parts("a", 0), "y": parts("a", 1)},
		},
		{
			"topics of different sizes",
			[]Member{{ID: "x", Topics: both}, {ID: "y", Topics: both}},
			map[string]int32{"a": 3, "b": 1},
			map[string][]record.TopicPartition{"x": append(parts("a", 0, 2), parts("b", 0)...), "y": parts("a", 1)},
		},
		{
			"a member of the old program does not get a task with a topic that it does not read",
			[]Member{{ID: "new", Topics: both}, {ID: "old", Topics: []string{"a"}}},
			map[string]int32{"a": 2, "b": 1},
			map[string][]record.TopicPartition{"new": append(parts("a", 0), parts("b", 0)...), "old": parts("a", 1)},
		},
		{
			"a topic that is not there yet",
			[]Member{{ID: "x", Topics: both}},
			map[string]int32{"a": 1, "b": 0},
			map[string][]record.TopicPartition{"x": parts("a", 0)},
		},
	} {
		got, err := active(c.members, c.counts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if _, err := active([]Member{{ID: "x", Topics: []string{"a"}}, {ID: "y", Topics: []string{"b"}}}, map[string]int32{"a": 1, "b": 1}); err == nil {
		t.Error("members that share no task are not an error")
	}
}

// numbers returns the numbers of partitions of one topic.
func numbers(parts []record.TopicPartition) (all []int32) {
	for _, tp := range parts {
		all = append(all, tp.Partition)
	}
	return all
}

func TestPrefersStateWithinTheBalance(t *testing.T) {
	t.Parallel()
	const six = 6
	for _, c := range []struct {
		name    string
		members []Member
		want    map[string][]int32
	}{
		{
			"a group of all new members",
			[]Member{{ID: "x", State: map[int32]int64{1: 10, 3: 10, 5: 10}}, {ID: "y", State: map[int32]int64{0: 5, 1: 5, 2: 1}}},
			map[string][]int32{"x": {1, 3, 5}, "y": {0, 2, 4}},
		},
		{
			"the one with most of it",
			[]Member{{ID: "x", State: map[int32]int64{0: 10}}, {ID: "y", State: map[int32]int64{0: 11}}},
			map[string][]int32{"x": {1, 2, 4}, "y": {0, 3, 5}},
		},
		{
			"no more than its share",
			[]Member{{ID: "x", State: map[int32]int64{0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}}, {ID: "y"}},
			map[string][]int32{"x": {3, 4, 5}, "y": {0, 1, 2}},
		},
		{
			"what is owned stays",
			[]Member{{ID: "x", Owned: parts("a", 0, 1, 2)}, {ID: "y", State: map[int32]int64{0: 9, 1: 9, 2: 9}}},
			map[string][]int32{"x": {0, 1, 2}, "y": {3, 4, 5}},
		},
		{
			"one that comes back is left what it knows", // in the next generation
			[]Member{{ID: "x", Owned: parts("a", 0, 1, 2, 3, 4, 5)}, {ID: "y", State: map[int32]int64{0: 9, 2: 9, 3: 1, 4: 9}}},
			map[string][]int32{"x": {1, 3, 5}, "y": nil},
		},
	} {
		for i := range c.members {
			c.members[i].Topics = []string{"a"}
		}
		plan, err := active(c.members, map[string]int32{"a": six})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]int32{}
		for id, parts := range plan {
			got[id] = numbers(parts)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	// Of five tasks the larger share goes to the one that knows most.
	plan, err := active([]Member{{ID: "x", Topics: []string{"a"}}, {ID: "y", Topics: []string{"a"}, State: map[int32]int64{4: 1, 1: 1, 2: 1}}}, map[string]int32{"a": 5})
	if got := numbers(plan["y"]); err != nil || !slices.Equal(got, []int32{1, 2, 4}) {
		t.Errorf("y has %v, %v", got, err)
	}
}

func TestGivesEachTaskStandbys(t *testing.T) {
	t.Parallel()
	none := map[int32]int64{}
	for _, c := range []struct {
		name     string
		members  []Member
		standbys int
		want     map[string][]int32
	}{
		{"none were asked for", []Member{{ID: "x", State: none}, {ID: "y", State: none}}, 0, map[string][]int32{"x": nil, "y": nil}},
		{"one member", []Member{{ID: "x", State: none}}, 2, map[string][]int32{"x": nil}},
		{
			"each has the other's",
			[]Member{{ID: "x", State: none, Owned: parts("a", 0, 1)}, {ID: "y", State: none, Owned: parts("a", 2, 3)}},
			1,
			map[string][]int32{"x": {2, 3}, "y": {0, 1}},
		},
		{
			"as many as there are",
			[]Member{{ID: "x", State: none, Owned: parts("a", 0, 1)}, {ID: "y", State: none, Owned: parts("a", 2, 3)}},
			5,
			map[string][]int32{"x": {2, 3}, "y": {0, 1}},
		},
		{
			"those with state first, evenly",
			[]Member{
				{ID: "x", State: none, Owned: parts("a", 0, 1)},
				{ID: "y", State: map[int32]int64{1: 3, 0: 2}, Owned: parts("a", 2)},
				{ID: "z", State: map[int32]int64{1: 1, 0: 1, 2: 1}, Owned: parts("a", 3)},
			},
			1,
			map[string][]int32{"x": {3}, "y": {0, 1}, "z": {2}},
		},
		{
			"a member that does not tell what it has is none",
			[]Member{{ID: "x", State: none, Owned: parts("a", 0, 1)}, {ID: "y", Owned: parts("a", 2, 3)}},
			1,
			map[string][]int32{"x": {2, 3}, "y": nil},
		},
		{
			// x lets go of 2 and 3, y will have them: both stand by, x for as long as it is
			// told to, y until it has them.
			"a task that waits to be let go",
			[]Member{{ID: "x", State: none, Owned: parts("a", 0, 1, 2, 3)}, {ID: "y", State: none}},
			1,
			map[string][]int32{"x": {2, 3}, "y": {0, 1, 2, 3}},
		},
		{
			"the one that lets a task go has all of its state",
			[]Member{{ID: "z", State: none, Owned: parts("a", 0, 1, 2, 3)}, {ID: "x", State: map[int32]int64{3: 5}}, {ID: "y", State: map[int32]int64{2: 5}}},
			1,
			map[string][]int32{"x": {0, 3}, "y": {1, 2}, "z": {2, 3}},
		},
	} {
		for i := range c.members {
			c.members[i].Topics = []string{"a"}
		}
		shares, err := Assign(c.members, map[string]int32{"a": 4}, c.standbys)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]int32{}
		for id, s := range shares {
			got[id] = s.Standby
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// world is a group as the test knows it.
type world struct {
	topics   []string
	counts   map[string]int32
	standbys int
	owned    map[string][]record.TopicPartition
	state    map[string]map[int32]int64
}

func (w *world) members(generation int32) (all []Member) {
	for id, has := range w.owned {
		all = append(all, Member{ID: id, Topics: w.topics, Owned: has, Generation: generation, State: w.state[id]})
	}
	return all
}

// A group of any history comes to rest in a few generations: balanced, complete,
// and nobody ever has what another has. Whatever moves goes to where its state is.
func TestGroupsComeToRestBalanced(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{counts: map[string]int32{}, owned: map[string][]record.TopicPartition{}, state: map[string]map[int32]int64{}}
		for i := range rapid.IntRange(1, 3).Draw(t, "topics") {
			w.counts[fmt.Sprint("topic", i)] = rapid.Int32Range(1, 9).Draw(t, "partitions")
		}
		w.topics = slices.Sorted(maps.Keys(w.counts))
		w.standbys = rapid.IntRange(0, 3).Draw(t, "standbys")
		tasks := slices.Max(slices.Collect(maps.Values(w.counts)))
		next := 0
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "join") {
				next++
				id := fmt.Sprint("m", next)
				w.owned[id] = nil
				if rapid.IntRange(0, 4).Draw(t, "tells") > 0 {
					w.state[id] = rapid.MapOfN(rapid.Int32Range(0, 9), rapid.Int64Range(0, 5), 0, 9).Draw(t, "state")
				}
			}
			for _, id := range slices.Sorted(maps.Keys(w.owned)) {
				if rapid.IntRange(0, 4).Draw(t, "leave") == 0 {
					delete(w.owned, id)
				}
			}
			if len(w.owned) == 0 {
				continue
			}
			moved := w.rest(t, int32(step*10))
			shares := map[int]bool{}
			total := 0
			for _, parts := range w.owned {
				n := len(slices.Compact(slices.Sorted(slices.Values(numbers(parts)))))
				shares[n] = true
				total += n
			}
			sizes := slices.Collect(maps.Keys(shares))
			if total != int(tasks) || slices.Max(sizes)-slices.Min(sizes) > 1 {
				t.Fatalf("%d tasks of %d, shares %v: %v", total, tasks, shares, w.owned)
			}
			if again := w.rest(t, int32(step*10+5)); again != 0 {
				t.Fatalf("at rest %d partitions moved again, %d before", again, moved)
			}
		}
	})
}

// rest runs generations until nothing changes, and returns how many partitions were
// taken from a member.
func (w *world) rest(t *rapid.T, generation int32) (moved int) {
	for round := 0; ; round++ {
		if round == 4 {
			t.Fatalf("no rest after %d generations: %v", round, w.owned)
		}
		plan, err := Assign(w.members(generation), w.counts, w.standbys)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Assign(w.members(generation), w.counts, w.standbys); !cmp.Equal(plan, again) {
			t.Fatalf("A6: %v, then %v", plan, again)
		}
		w.preferState(t, generation)
		w.stood(t, generation, plan)
		changed := false
		holder := map[record.TopicPartition]string{}
		for id, has := range w.owned {
			for _, tp := range has {
				holder[tp] = id
			}
		}
		given := map[record.TopicPartition]string{}
		for id, s := range plan {
			for _, tp := range s.Partitions {
				if other, held := holder[tp]; held && other != id {
					t.Fatalf("A1: %v goes to %s while %s has it", tp, id, other)
				}
				if other, twice := given[tp]; twice {
					t.Fatalf("A1: %v goes to %s and %s", tp, id, other)
				}
				given[tp] = id
			}
		}
		for id, s := range plan {
			gone := slices.DeleteFunc(slices.Clone(w.owned[id]), func(tp record.TopicPartition) bool { return slices.Contains(s.Partitions, tp) })
			moved += len(gone)
			changed = changed || len(gone) > 0 || len(s.Partitions) != len(w.owned[id])
			w.owned[id] = s.Partitions
		}
		if !changed {
			return moved
		}
	}
}

// decided returns the members, and the tasks with the member that each goes to.
func (w *world) decided(t *rapid.T, generation int32) ([]Member, []*task) {
	members := w.members(generation)
	slices.SortFunc(members, func(a, b Member) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	tasks, err := tasksOf(members, w.counts)
	if err != nil {
		t.Fatal(err)
	}
	share(members, tasks)
	return members, tasks
}

// preferState checks A3 and A4: a member that does not get a task that moves, of which it
// has more state than the one that gets it, has its share of tasks that it had or has as
// much state of.
func (w *world) preferState(t *rapid.T, generation int32) {
	members, tasks := w.decided(t, generation)
	gets, had, kept := map[string]int{}, map[string]int{}, map[string]int{}
	for _, task := range tasks {
		gets[task.member]++
		had[task.owner]++
		if task.member == task.owner {
			kept[task.owner]++
		}
	}
	for _, task := range tasks {
		if task.owner == task.member {
			continue
		}
		if least := len(tasks) / len(members); task.owner != "" && kept[task.owner] < min(had[task.owner], least) {
			t.Fatalf("A3: %d is taken from %s, which keeps %d of %d", task.number, task.owner, kept[task.owner], had[task.owner])
		}
		for _, m := range members {
			n := m.State[task.number]
			if m.ID == task.owner || n <= w.state[task.member][task.number] {
				continue
			}
			if gets[m.ID] < len(tasks)/len(members) {
				t.Fatalf("A4: %d goes to %s, %s has more state of it and only %d tasks", task.number, task.member, m.ID, gets[m.ID])
			}
			for _, other := range tasks {
				if other.member == m.ID && other.owner != m.ID && m.State[other.number] < n {
					t.Fatalf("A4: %d goes to %s and not to %s, which gets %d, of which it has less", task.number, task.member, m.ID, other.number)
				}
			}
		}
	}
}

// stood checks A5.
func (w *world) stood(t *rapid.T, generation int32, plan map[string]Share) {
	members, tasks := w.decided(t, generation)
	load := map[string]int{}
	of := map[int32][]string{}
	for _, m := range members {
		for _, n := range plan[m.ID].Standby {
			of[n] = append(of[n], m.ID)
			if task := tasks[n]; task.member != m.ID {
				load[m.ID]++
			} else if !task.waits() {
				t.Fatalf("A5: %s stands by for %d, which it has", m.ID, n)
			}
		}
	}
	able := 0
	for _, m := range members {
		if m.State != nil {
			able++
		} else if len(plan[m.ID].Standby) > 0 {
			t.Fatalf("A5: %s does not tell, and stands by for %v", m.ID, plan[m.ID].Standby)
		}
	}
	for _, task := range tasks {
		others, want := able, 0
		if w.state[task.member] != nil {
			others--
			if task.waits() && w.standbys > 0 {
				want++ // until it has it
			}
		}
		want += min(w.standbys, others)
		got := of[task.number]
		if len(got) != want || len(slices.Compact(slices.Sorted(slices.Values(got)))) != want {
			t.Fatalf("A5: %d has the standbys %v, want %d of %d others", task.number, got, want, others)
		}
		for _, id := range got {
			for _, m := range members {
				if id != task.member && m.ID != task.member && m.State != nil && !slices.Contains(got, m.ID) && load[id] > load[m.ID]+1 {
					t.Fatalf("A5: %s stands by for %d tasks, %s for %d, which could have %d", id, load[id], m.ID, load[m.ID], task.number)
				}
			}
		}
	}
}

// Who holds what another waits for is told so: it may be a process that was started
// again since, and remembers nothing of it.
func TestTellsWhoHasToLetGo(t *testing.T) {
	t.Parallel()
	topics := []string{"a"}
	for _, c := range []struct {
		name    string
		members []Member
		want    map[string]bool
	}{
		{"nothing moves", []Member{{ID: "x", Topics: topics, Owned: parts("a", 0, 1)}, {ID: "y", Topics: topics, Owned: parts("a", 2, 3)}}, map[string]bool{"x": false, "y": false}},
		{"one waits for the other", []Member{{ID: "x", Topics: topics, Owned: parts("a", 0, 1, 2)}, {ID: "y", Topics: topics, Owned: parts("a", 3)}}, map[string]bool{"x": true, "y": false}},
		{"it was let go", []Member{{ID: "x", Topics: topics, Owned: parts("a", 0, 1)}, {ID: "y", Topics: topics, Owned: parts("a", 3)}}, map[string]bool{"x": false, "y": false}},
		{"a stale claim", []Member{{ID: "x", Topics: topics, Owned: parts("a", 0, 1, 2), Generation: 1}, {ID: "y", Topics: topics, Owned: parts("a", 2, 3), Generation: 2}}, map[string]bool{"x": false, "y": false}},
	} {
		shares, err := Assign(c.members, map[string]int32{"a": 4}, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for id, s := range shares {
			got[id] = s.Gives
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
