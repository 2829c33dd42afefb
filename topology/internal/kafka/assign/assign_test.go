package wire

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func parts(topic string, numbers ...int32) []record.TopicPartition {
	var out []record.TopicPartition
	for _, n := range numbers {
		out = append(out, record.TopicPartition{Topic: topic, Partition: n})
	}
	return out
}

func TestAssignsWholeTasksAndKeepsThemWhereTheyAre(t *testing.T) {
	t.Parallel()
	both := []string{"a", "b"}
	for _, c := range []struct {
		name    string
		members []candidate
		counts  map[string]int32
		want    map[string][]record.TopicPartition
	}{
		{
			"one member takes all",
			[]candidate{{id: "x", topics: both}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0, 1), parts("b", 0, 1)...)},
		},
		{
			"what must move is left out until it is let go",
			[]candidate{{id: "x", topics: both, owned: append(parts("a", 0, 1), parts("b", 0, 1)...), generation: 1}, {id: "y", topics: both}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": {}},
		},
		{
			"then it goes to the other",
			[]candidate{{id: "x", topics: both, owned: append(parts("a", 0), parts("b", 0)...), generation: 2}, {id: "y", topics: both, generation: 2}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": append(parts("a", 1), parts("b", 1)...)},
		},
		{
			"half a task that was let go does not move alone",
			[]candidate{{id: "x", topics: both, owned: append(parts("a", 0), parts("b", 0, 1)...), generation: 2}, {id: "y", topics: both, generation: 2}},
			map[string]int32{"a": 2, "b": 2},
			map[string][]record.TopicPartition{"x": append(parts("a", 0), parts("b", 0)...), "y": {}},
		},
		{
			"of two that claim a partition the later generation has it",
			[]candidate{{id: "x", topics: []string{"a"}, owned: parts("a", 0, 1), generation: 3}, {id: "y", topics: []string{"a"}, owned: parts("a", 1), generation: 7}},
			map[string]int32{"a": 2},
			map[string][]record.TopicPartition{"x": parts("a", 0), "y": parts("a", 1)},
		},
		{
			"topics of different sizes",
			[]candidate{{id: "x", topics: both}, {id: "y", topics: both}},
			map[string]int32{"a": 3, "b": 1},
			map[string][]record.TopicPartition{"x": append(parts("a", 0, 2), parts("b", 0)...), "y": parts("a", 1)},
		},
		{
			"a member of the old program does not get a task with a topic that it does not read",
			[]candidate{{id: "new", topics: both}, {id: "old", topics: []string{"a"}}},
			map[string]int32{"a": 2, "b": 1},
			map[string][]record.TopicPartition{"new": append(parts("a", 0), parts("b", 0)...), "old": parts("a", 1)},
		},
		{
			"a topic that is not there yet",
			[]candidate{{id: "x", topics: both}},
			map[string]int32{"a": 1, "b": 0},
			map[string][]record.TopicPartition{"x": parts("a", 0)},
		},
	} {
		got, err := assign(c.members, c.counts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if _, err := assign([]candidate{{id: "x", topics: []string{"a"}}, {id: "y", topics: []string{"b"}}}, map[string]int32{"a": 1, "b": 1}); err == nil {
		t.Error("members that share no task are not an error")
	}
}

func TestClaimNamesItsGeneration(t *testing.T) {
	t.Parallel()
	m := &membership{Member: kafka.Member{ID: "x", Generation: 7}, owned: append(parts("a", 0, 2), parts("b", 1)...)}
	got := subscription([]string{"b", "a"}, m)
	want := &sarama.ConsumerGroupMemberMetadata{
		Version: 2, Topics: []string{"b", "a"}, GenerationID: 7,
		OwnedPartitions: []*sarama.OwnedPartition{{Topic: "a", Partitions: []int32{0, 2}}, {Topic: "b", Partitions: []int32{1}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A group of any history comes to rest in a few generations: balanced, complete,
// and nobody ever has what another has.
func TestGroupsComeToRestBalanced(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		counts := map[string]int32{}
		for i := range rapid.IntRange(1, 3).Draw(t, "topics") {
			counts[fmt.Sprint("topic", i)] = rapid.Int32Range(1, 9).Draw(t, "partitions")
		}
		topics := slices.Sorted(maps.Keys(counts))
		tasks := slices.Max(slices.Collect(maps.Values(counts)))
		owned := map[string][]record.TopicPartition{}
		next := 0
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "join") {
				next++
				owned[fmt.Sprint("m", next)] = nil
			}
			ids := slices.Sorted(maps.Keys(owned))
			for _, id := range ids {
				if rapid.IntRange(0, 4).Draw(t, "leave") == 0 {
					delete(owned, id)
				}
			}
			if len(owned) == 0 {
				continue
			}
			moved := rest(t, topics, counts, owned, int32(step*10))
			shares := map[int]bool{}
			total := 0
			for _, parts := range owned {
				numbers := map[int32]bool{}
				for _, tp := range parts {
					numbers[tp.Partition] = true
				}
				shares[len(numbers)] = true
				total += len(numbers)
			}
			if total != int(tasks) || len(shares) > 2 || len(shares) == 2 && slices.Max(slices.Collect(maps.Keys(shares)))-slices.Min(slices.Collect(maps.Keys(shares))) > 1 {
				t.Fatalf("%d tasks of %d, shares %v: %v", total, tasks, shares, owned)
			}
			if again := rest(t, topics, counts, owned, int32(step*10+5)); again != 0 {
				t.Fatalf("at rest %d partitions moved again, %d before", again, moved)
			}
		}
	})
}

// rest runs generations until nothing changes, and returns how many partitions were
// taken from a member.
func rest(t *rapid.T, topics []string, counts map[string]int32, owned map[string][]record.TopicPartition, generation int32) (moved int) {
	for round := 0; ; round++ {
		if round == 4 {
			t.Fatalf("no rest after %d generations: %v", round, owned)
		}
		var members []candidate
		for id, has := range owned {
			members = append(members, candidate{id: id, topics: topics, owned: has, generation: generation})
		}
		plan, err := assign(members, counts)
		if err != nil {
			t.Fatal(err)
		}
		changed := false
		holder := map[record.TopicPartition]string{}
		for id, has := range owned {
			for _, tp := range has {
				holder[tp] = id
			}
		}
		for id, parts := range plan {
			for _, tp := range parts {
				if other, held := holder[tp]; held && other != id {
					t.Fatalf("%v goes to %s while %s has it", tp, id, other)
				}
			}
		}
		for id, parts := range plan {
			gone := without(owned[id], parts)
			moved += len(gone)
			changed = changed || len(gone) > 0 || len(parts) != len(owned[id])
			owned[id] = parts
		}
		if !changed {
			return moved
		}
	}
}
