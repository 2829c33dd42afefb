package kafkatest

import (
	"errors"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// adminCases are about topics.
func adminCases() []kase {
	return []kase{
		{name: "admin/ID", rule: "a cluster has an id, and keeps it", run: clusterID},
		{name: "admin/CreateAndDescribe", rule: "Create makes topics as asked, Describe returns those that exist", run: createAndDescribe},
		{name: "admin/TopicExists", rule: "creating a topic that exists is ErrTopicExists, and changes nothing", run: topicExists},
		{name: "admin/Configs", rule: "Configs returns what a topic was created with, over the defaults", run: configs},
	}
}

func clusterID(x *bench) {
	a, err := x.cluster.ID(x.ctx)
	if err != nil || a == "" {
		x.broken("ID is %q, %v", a, err)
	}
	b, err := x.cluster.ID(x.ctx)
	if err != nil || a != b {
		x.broken("ID was %q and is %q, %v", a, b, err)
	}
}

func createAndDescribe(x *bench) {
	one, eight := x.name("one"), x.name("eight")
	want := map[string]int32{one: 1, eight: 8}
	for name, partitions := range want {
		x.must("Create", x.adm().Create(x.ctx, kafka.Topic{Name: name, Partitions: partitions, Configs: map[string]string{"cleanup.policy": "compact"}}))
	}
	got, err := x.adm().Describe(x.ctx, one, "no-such-topic", eight)
	if err != nil || len(got) != 2 {
		x.broken("Describe: %+v, %v", got, err)
	}
	for name, partitions := range want {
		if got[name].Name != name || got[name].Partitions != partitions {
			x.broken("%s: %+v, want %d partitions", name, got[name], partitions)
		}
	}
	if got[one].ID == got[eight].ID || got[one].ID == [16]byte{} {
		x.broken("topics are told apart by their ids: %x and %x", got[one].ID, got[eight].ID)
	}
	if again, err := x.adm().Describe(x.ctx, one); err != nil || again[one].ID != got[one].ID {
		x.broken("a topic keeps its id: it was %x and is %x, %v", got[one].ID, again[one].ID, err)
	}
	if got, err := x.adm().Describe(x.ctx, "no-such-topic"); err != nil || len(got) != 0 {
		x.broken("Describe created a topic, or failed: %+v, %v", got, err)
	}
	if got, err := x.adm().Describe(x.ctx); err != nil || len(got) != 0 {
		x.broken("Describe of no topic: %+v, %v", got, err)
	}
}

func topicExists(x *bench) {
	twice := x.name("twice")
	x.must("Create", x.adm().Create(x.ctx, kafka.Topic{Name: twice, Partitions: 3}))
	if err := x.adm().Create(x.ctx, kafka.Topic{Name: twice, Partitions: 5}); !errors.Is(err, kafka.ErrTopicExists) {
		x.broken("got: %v", err)
	}
	got, err := x.adm().Describe(x.ctx, twice)
	if err != nil || got[twice].Partitions != 3 {
		x.broken("after it: %+v, %v", got, err)
	}
}

func configs(x *bench) {
	state, log := x.name("state"), x.name("log")
	x.must("Create", x.adm().Create(x.ctx, kafka.Topic{Name: state, Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact"}}))
	x.must("Create", x.adm().Create(x.ctx, kafka.Topic{Name: log, Partitions: 1, Configs: map[string]string{"retention.ms": "86400000"}}))
	got, err := x.adm().Configs(x.ctx, state, "no-such-topic", log)
	if err != nil || len(got) != 2 || got[state]["cleanup.policy"] != "compact" || got[log]["retention.ms"] != "86400000" || got[log]["cleanup.policy"] != "delete" {
		x.broken("Configs: %v, %v", got, err)
	}
	if got, err := x.adm().Configs(x.ctx); err != nil || len(got) != 0 {
		x.broken("Configs of no topic: %v, %v", got, err)
	}
}
