package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// A Role is what a topic is for.
type Role string

// Roles of topics.
const (
	RoleInput       Role = "input"
	RoleChangelog   Role = "changelog"
	RoleOrder       Role = "order"
	RoleJournal     Role = "journal"
	RoleDeadLetters Role = "dead letters"
	RoleOutput      Role = "output"
	RoleTable       Role = "table"
	RoleMeta        Role = "meta"
)

// A TopicPlan is a topic that an app reads or writes, as the app wants it.
type TopicPlan struct {
	Name  string `json:"name"`
	Roles []Role `json:"roles"`
	// Partitions is the number that was planned; 0: that of Like.
	Partitions int32 `json:"partitions,omitempty"`
	// Like is the topic that has as many partitions; empty of an input that no other
	// one goes with: its owner chooses, for good.
	Like    string   `json:"partitions_like,omitempty"`
	Any     bool     `json:"any_partitions,omitempty"` // created like Like, but any number will do
	Cleanup string   `json:"cleanup,omitempty"`        // empty: the owner's business
	Writers []string `json:"writers,omitempty"`        // sub-topologies
	Readers []string `json:"readers,omitempty"`        // sub-topologies, restores included
	Created bool     `json:"created"`                  // by the app, where it does not exist
}

// An ACL is what the app must be allowed to do.
type ACL struct {
	Resource   string   `json:"resource"` // topic, group or transactional-id
	Name       string   `json:"name"`
	Prefixed   bool     `json:"prefixed,omitempty"` // Name is how the names begin
	Operations []string `json:"operations"`
	Why        string   `json:"why"`
}

// A TopicsPlan is everything that an app asks of a cluster.
type TopicsPlan struct {
	App    string      `json:"app"`
	Topics []TopicPlan `json:"topics"`
	ACLs   []ACL       `json:"acls"`
}

// PlanTopics says what an app asks of a cluster, without asking one. planned has
// topics, with their partitions, that are created before the runner starts.
func PlanTopics(topo *topology.Topology, planned map[string]int32) TopicsPlan {
	plans := task.Plans(topo)
	plan := TopicsPlan{App: topo.App()}
	at := map[string]int{}
	topic := func(name string, role Role) *TopicPlan {
		i, ok := at[name]
		if !ok {
			i = len(plan.Topics)
			at[name] = i
			plan.Topics = append(plan.Topics, TopicPlan{Name: name})
		}
		t := &plan.Topics[i]
		if !slices.Contains(t.Roles, role) {
			t.Roles = append(t.Roles, role)
		}
		return t
	}
	for _, p := range plans {
		for i, s := range p.Sources {
			t := topic(s, RoleInput)
			t.Readers = append(t.Readers, p.Sub.Name)
			if i > 0 {
				t.Like = p.Sources[0]
			}
		}
	}
	for _, p := range plans {
		for _, w := range written(p) {
			t := topic(w.name, w.role)
			t.Writers = append(t.Writers, p.Sub.Name)
			t.Cleanup = w.cleanup()
			if w.kind == internal {
				t.Readers = append(t.Readers, p.Sub.Name)
			}
			// A topic that is an input too must be there before the app is.
			if !slices.Contains(t.Roles, RoleInput) {
				t.Like, t.Any, t.Created = p.Sources[0], w.kind == public, true
			}
		}
	}
	names := topology.Names{App: topo.App()}
	m := metaTopic(names)
	of := topic(m.name, m.role)
	of.Partitions, of.Any, of.Cleanup, of.Created = 1, true, m.cleanup(), true
	for _, p := range plans {
		of.Writers, of.Readers = append(of.Writers, p.Sub.Name), append(of.Readers, p.Sub.Name)
	}
	for i := range plan.Topics {
		t := &plan.Topics[i]
		if n := planned[t.Name]; n > 0 {
			t.Partitions, t.Created = n, true
		}
	}
	plan.ACLs = acls(names, plan.Topics)
	return plan
}

// acls returns what the app must be allowed to do with topics, its group and its
// transactional ids.
func acls(names topology.Names, topics []TopicPlan) []ACL {
	var all []ACL
	for _, t := range topics {
		operations := []string{"Describe", "DescribeConfigs"}
		why := "to look at it"
		if len(t.Readers) > 0 {
			operations, why = append(operations, "Read"), "read"
		}
		if len(t.Writers) > 0 {
			operations = append(operations, "Write")
			why = strings.TrimPrefix(why+" and written", "to look at it and ")
		}
		if t.Created {
			operations = append(operations, "Create")
			why += "; Create is not needed where it exists"
		}
		all = append(all, ACL{Resource: "topic", Name: t.Name, Operations: operations, Why: why})
	}
	return append(all,
		ACL{Resource: "group", Name: names.Group(), Operations: []string{"Describe", "Read"}, Why: "members share the tasks, offsets are committed"},
		ACL{Resource: "transactional-id", Name: names.Group() + "-", Prefixed: true, Operations: []string{"Describe", "Write"}, Why: "each worker of each instance has one"},
	)
}

// A TopicFinding is how a topic is in a cluster.
type TopicFinding struct {
	Name       string `json:"name"`
	Exists     bool   `json:"exists"`
	Partitions int32  `json:"partitions,omitempty"`
	Cleanup    string `json:"cleanup,omitempty"` // empty: it may not be seen
}

// CompareTopics looks at the topics of an app in a cluster, and changes nothing.
// planned is as in PlanTopics. problems are the reasons for which the app would not start, doubts those for which
// it would warn. err says that the cluster could not be asked.
func CompareTopics(ctx context.Context, topo *topology.Topology, cluster kafka.Cluster, planned map[string]int32) (findings []TopicFinding, problems, doubted []error, err error) {
	admin, err := cluster.Admin()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("runner: connecting: %w", err)
	}
	defer func() {
		if closing := admin.Close(); err == nil {
			err = closing
		}
	}()
	names := topology.Names{App: topo.App()}
	recorded, err := readMeta(ctx, cluster, admin, names, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	plans, _, notes, changed := settlePlans(topo.App(), task.Plans(topo), recorded)
	if changed != nil {
		plans, problems = task.Plans(topo), []error{changed}
	}
	for _, n := range notes {
		doubted = append(doubted, errors.New(n))
	}
	found, err := lookAtTopics(ctx, admin, names, plans)
	if found == nil {
		return nil, nil, nil, err
	}
	if err != nil {
		doubted = append(doubted, err)
	}
	for _, t := range PlanTopics(topo, planned).Topics {
		have, ok := found[t.Name]
		findings = append(findings, TopicFinding{Name: t.Name, Exists: ok, Partitions: have.Partitions, Cleanup: have.Configs[cleanupPolicy]})
	}
	for name, n := range planned {
		if _, exists := found[name]; !exists {
			found[name] = kafka.Topic{Name: name, Partitions: n}
		}
	}
	create, counts, wrong := planTopics(names, plans, found)
	if wrong == nil {
		var others []error
		others, wrong = checkKept(ctx, admin, plans, recorded.Generation, create, found, counts)
		doubted = append(doubted, others...)
	}
	if topics := (*TopicsError)(nil); errors.As(wrong, &topics) {
		problems = append(problems, topics.Problems...)
	} else if wrong != nil {
		return nil, nil, nil, wrong
	}
	return findings, problems, append(doubted, doubts(plans, found)...), nil
}
