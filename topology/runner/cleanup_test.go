package runner

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/serde"
)

func TestCleanupThatLosesSomethingIsRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role    Role
		kind    kind
		compact bool
		policy  string
		refused bool
	}{
		{RoleChangelog, internal, true, "compact", false},
		{RoleChangelog, internal, true, "delete", true},
		{RoleOrder, internal, true, "compact,delete", true},
		{RoleJournal, internal, false, "delete", false},
		{RoleJournal, internal, false, "compact", true},
		{RoleDeadLetters, letters, false, "compact,delete", true},
		{RoleTable, public, true, "delete", false}, // its owner's business
		{RoleOutput, public, false, "compact", false},
	} {
		w := wanted{"t", c.kind, c.compact, c.role}
		err := w.cleans(map[string]string{"cleanup.policy": c.policy})
		if (err != nil) != c.refused {
			t.Errorf("%s with %s: %v", c.role, c.policy, err)
		}
		if fix := "--entity-name t --add-config cleanup.policy=" + w.cleanup(); err != nil && !strings.Contains(err.Error(), fix) {
			t.Errorf("%s with %s: no fix in: %v", c.role, c.policy, err)
		}
	}
	if err := (&wanted{"t", internal, true, RoleOrder}).cleans(nil); err != nil {
		t.Errorf("configs that are not known: %v", err)
	}
}

func TestJournalIsKeptAsLongAsTheInputs(t *testing.T) {
	t.Parallel()
	plans := joined(t)
	for _, c := range []struct {
		left, right map[string]string
		want        string // retention.ms; empty: the cluster's
	}{
		{map[string]string{"retention.ms": "1000"}, map[string]string{"retention.ms": "5000"}, "5000"},
		{map[string]string{"retention.ms": "-1"}, map[string]string{"retention.ms": "5000"}, "-1"},
		{map[string]string{"retention.ms": "9000"}, map[string]string{"retention.ms": "5000", "cleanup.policy": "compact"}, "-1"},
		{map[string]string{"retention.ms": "9000", "cleanup.policy": "compact,delete"}, map[string]string{"retention.ms": "5000"}, "9000"},
		{map[string]string{"retention.ms": "9000"}, nil, ""},
	} {
		create, _, err := planTopics(topology.Names{App: app}, plans, found(kafka.Topic{Name: "left", Partitions: 2, Configs: c.left}, kafka.Topic{Name: "right", Partitions: 2, Configs: c.right}))
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range create {
			want := ""
			if topic.Name == plans[0].Journal {
				want = c.want
			}
			if got := topic.Configs["retention.ms"]; got != want {
				t.Errorf("%s under %v and %v: retention.ms is %q, want %q", topic.Name, c.left, c.right, got, want)
			}
		}
	}
}

func TestLettersHaveRoomForTheLargestInput(t *testing.T) {
	t.Parallel()
	plans := task.Plans(contracted(t, policies.Contract{}, "states", serde.String()))
	for _, c := range []struct{ input, want string }{
		{"1048588", "1114124"},
		{"10000000", "10065536"},
		{"2147483647", "2147483647"},
		{"", ""},
	} {
		create, _, err := planTopics(topology.Names{App: app}, plans, found(kafka.Topic{Name: "events", Partitions: 1, Configs: map[string]string{"max.message.bytes": c.input}}))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, topic := range create {
			if n := topic.Configs["max.message.bytes"]; n != "" {
				got[topic.Name] = n
			}
		}
		want := map[string]string{"app-in-order-order": c.want, plans[0].DeadLetters(): c.want}
		if c.want == "" {
			want = map[string]string{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("under %q (-want +got):\n%s", c.input, diff)
		}
	}
}

func TestDoubtsAreNoReasonToStop(t *testing.T) {
	t.Parallel()
	plans := task.Plans(concat(t))
	topics := func(input, journal, table string) map[string]kafka.Topic {
		return found(
			kafka.Topic{Name: "events", Partitions: 1, Configs: map[string]string{"retention.ms": input}},
			kafka.Topic{Name: "app-states-journal", Partitions: 1, Configs: map[string]string{"retention.ms": journal}},
			kafka.Topic{Name: "table", Partitions: 1, Configs: map[string]string{"cleanup.policy": table}},
		)
	}
	for _, c := range []struct {
		found map[string]kafka.Topic
		want  []string
	}{
		{topics("1000", "1000", "compact"), nil},
		{topics("1000", "-1", "compact"), nil},
		{topics("1000", "999", "compact"), []string{"set it to 1000"}},
		{topics("-1", "999", "delete"), []string{"set it to -1", "set it to compact"}},
		{found(), nil},
	} {
		got := doubts(plans, c.found)
		if len(got) != len(c.want) {
			t.Errorf("got %v, want %v", got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i].Error(), c.want[i]) {
				t.Errorf("got %v, want %s", got[i], c.want[i])
			}
		}
	}
}

func TestAChangelogThatIsDeletedIsRefusedBeforeAnythingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.must(x.admin.Create(x.ctx, kafka.Topic{Name: "app-states-changelog", Partitions: 1}))
		r, err := NewOn(x.topology, x.cluster, Config{})
		x.must(err)
		if err := r.Run(x.ctx); err == nil || !strings.Contains(err.Error(), "app-states-changelog (changelog) has cleanup.policy=delete") {
			t.Errorf("got: %v", err)
		}
	})
}

func TestConfigsThatMayNotBeSeenAreNoReasonToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.broker.Inject(mem.Fault{Request: mem.DescribeConfigs, Code: 29, Outcome: mem.Answered, Times: 1 << 20})
		r, stop := x.observed(Config{})
		x.ready(r)
		stop()
		findings, problems, doubted, err := CompareTopics(x.ctx, x.topology, x.cluster, nil)
		if err != nil || len(problems) > 0 || len(doubted) != 1 || len(findings) == 0 || findings[0].Cleanup != "" {
			t.Errorf("got %v, %v, %v, %v", findings, problems, doubted, err)
		}
	})
}

func TestPlanTopicsNeedsNoCluster(t *testing.T) {
	t.Parallel()
	got := ""
	plan := PlanTopics(concat(t), map[string]int32{"updates": 9})
	for _, p := range plan.Topics {
		got += fmt.Sprintln(p.Name, p.Roles, p.Partitions, p.Like, p.Any, p.Cleanup, "w", p.Writers, "r", p.Readers, p.Created)
	}
	for _, a := range plan.ACLs {
		got += fmt.Sprintln(a.Resource, a.Name, a.Prefixed, a.Operations)
	}
	want := `events [input] 0  false  w [] r [states] false
app-states-changelog [changelog] 0 events false compact w [states] r [states] true
app-states-journal [journal] 0 events false delete w [states] r [states] true
updates [output] 9 events true delete w [states] r [] true
table [table] 0 events true compact w [states] r [] true
app-meta [meta] 1  true compact w [states] r [states] true
topic events false [Describe DescribeConfigs Read]
topic app-states-changelog false [Describe DescribeConfigs Read Write Create]
topic app-states-journal false [Describe DescribeConfigs Read Write Create]
topic updates false [Describe DescribeConfigs Write Create]
topic table false [Describe DescribeConfigs Write Create]
topic app-meta false [Describe DescribeConfigs Read Write Create]
group app false [Describe Read]
transactional-id app- true [Describe Write]
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCompareTopicsChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cluster := mem.New(mem.Options{}).Connect()
	defer cluster.Close()
	admin, err := cluster.Admin()
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []kafka.Topic{{Name: "events", Partitions: 4}, {Name: "app-states-changelog", Partitions: 3}, {Name: "app-states-journal", Partitions: 5}} {
		if err := admin.Create(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		findings, problems, _, err := CompareTopics(ctx, concat(t), cluster, map[string]int32{"events": 9, "updates": 9})
		want := []TopicFinding{
			{"events", true, 4, "delete"},
			{"app-states-changelog", true, 3, "delete"},
			{"app-states-journal", true, 5, "delete"},
			{"updates", false, 0, ""},
			{"table", false, 0, ""},
			{"app-meta", false, 0, ""},
		}
		if diff := cmp.Diff(want, findings); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if len(problems) != 3 {
			t.Errorf("%d problems: %v", len(problems), problems)
		}
	}
}
