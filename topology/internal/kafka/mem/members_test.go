package mem

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// Whoever comes and goes, a unit never has two owners, and when the group has
// settled every unit has one, none has two more than another, and who stayed
// lost no more than it had to.
func TestAssignmentIsDisjointBalancedAndSticky(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.IntRange(1, 12).Draw(t, "units")
		b := New(Options{})
		for range units {
			b.topics["in"] = append(b.topics["in"], newPartition())
		}
		g := b.group("group")
		now := time.Unix(0, 0)
		has := map[string][]int32{} // what each member's process has by its own account

		disjoint := func() {
			seen := map[int32]string{}
			for id, us := range has {
				for _, u := range us {
					if o, twice := seen[u]; twice {
						t.Fatalf("%s and %s both have %d", o, id, u)
					}
					seen[u] = id
				}
			}
		}
		settle := func() {
			for round := 0; len(g.members) > 0 && g.joining; round++ {
				if round > 3 {
					t.Fatalf("still joining after %d generations", round)
				}
				for _, m := range slices.Clone(g.members) {
					if g.joining && !m.joined {
						g.join(m, has[m.id], nil)
					}
				}
				again := false
				for _, m := range g.members {
					// Given up, then told: the order in which others may get it.
					again = again || len(without(has[m.id], m.assigned)) > 0
					has[m.id] = slices.Clone(m.assigned)
				}
				disjoint()
				if again {
					g.startJoin(now)
				}
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			before := map[string][]int32{}
			for id, us := range has {
				before[id] = us
			}
			arrived := len(g.members) == 0 || rapid.Bool().Draw(t, "arrives")
			if arrived {
				if _, c := g.enter(&handle{}, kafka.GroupOptions{Topics: []string{"in"}}, now); c != 0 {
					t.Fatalf("enter answered %d", c)
				}
			} else {
				m := g.members[rapid.IntRange(0, len(g.members)-1).Draw(t, "who")]
				delete(has, m.id)
				delete(before, m.id)
				g.remove(m, now)
			}
			settle()
			if len(g.members) == 0 {
				continue
			}
			total, least, most := 0, units, 0
			for _, m := range g.members {
				n := len(has[m.id])
				total, least, most = total+n, min(least, n), max(most, n)
			}
			if total != units || most-least > 1 {
				t.Fatalf("%d units, assigned %v", units, has)
			}
			for id, us := range before {
				moved := len(without(us, has[id]))
				switch {
				case !arrived && moved > 0:
					t.Fatalf("another left, and %s lost %d units", id, moved)
				case arrived && moved > max(0, len(us)-units/len(g.members)):
					t.Fatalf("another came, and %s lost %d of %d units of %d among %d", id, moved, len(us), units, len(g.members))
				}
			}
		}
	})
}

func TestCoordinatorChecksWhoCommits(t *testing.T) {
	b := New(Options{})
	b.topics["in"] = append(b.topics["in"], newPartition())
	g := b.group("group")
	id, _ := g.enter(&handle{}, kafka.GroupOptions{Topics: []string{"in"}, InstanceID: "i"}, time.Unix(0, 0))
	g.join(g.member(id), nil, nil)
	for _, c := range []struct {
		who  kafka.Member
		want code
	}{
		{kafka.Member{ID: id, InstanceID: "i", Generation: 1}, 0},
		{kafka.Member{ID: id, Generation: 1}, 0},
		{kafka.Member{Generation: -1}, 0}, // names nobody: not fenced at all
		{kafka.Member{}, unknownMemberID},
		{kafka.Member{ID: id, Generation: -1}, illegalGeneration},
		{kafka.Member{ID: id, Generation: 0}, illegalGeneration},
		{kafka.Member{ID: id, Generation: 2}, illegalGeneration},
		{kafka.Member{ID: "other", Generation: 1}, unknownMemberID},
		{kafka.Member{ID: "other", InstanceID: "i", Generation: 1}, fencedInstanceID},
	} {
		t.Run(fmt.Sprintf("%+v", c.who), func(t *testing.T) {
			if got := g.mayCommit(c.who); got != c.want {
				t.Errorf("answered %d, want %d", got, c.want)
			}
		})
	}
}
