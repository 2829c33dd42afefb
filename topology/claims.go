package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/streamrun/streamrun/topology/internal/graph"
)

// ofKafka are the topics that a broker keeps for itself.
func ofKafka() []string {
	return []string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}
}

// claims returns the function that says whose a topic is that no node may read or
// write by its name: "" for a topic that is free. What a generation of a rebuild
// owns is taken already.
func claims(g *graph.Graph) func(topic string) string {
	names := Names{App: g.App}
	shared := map[string]string{names.Meta(): "the app's meta topic"}
	for _, t := range ofKafka() {
		shared[t] = "Kafka's own"
	}
	whose := map[string]string{} // of the live app, and likewise of each generation
	for _, s := range g.Stores {
		whose[names.Changelog(s)] = fmt.Sprintf("the changelog of store %q", s)
	}
	for _, n := range g.Nodes {
		if n.Kind == graph.Order {
			whose[names.Order(n.Owner())] = fmt.Sprintf("where %q keeps its order", n.Name)
		}
	}
	for _, s := range g.Cut() {
		whose[names.Journal(s.Name)] = fmt.Sprintf("the journal of sub-topology %q", s.Name)
		whose[names.Commands(s.Name)] = fmt.Sprintf("the commands of sub-topology %q", s.Name)
	}
	return func(topic string) string {
		if w := shared[topic]; w != "" {
			return w
		}
		return whose[names.live(topic)]
	}
}

// live returns the name that a topic of a generation has in the live app, and any
// other topic as it is.
func (n Names) live(topic string) string {
	rest, ok := strings.CutPrefix(topic, n.App+".g")
	if !ok {
		return topic
	}
	number, rest, ok := strings.Cut(rest, "-")
	if g, err := strconv.Atoi(number); !ok || err != nil || g < 2 {
		return topic
	}
	return n.App + "-" + rest
}
