package topology

import (
	"fmt"
	"strings"

	"github.com/streamrun/streamrun/topology/internal/graph"
)

// A Description is the printable form of a topology: its sub-topologies, nodes,
// stores and topics. Keep its String as a golden file: a change that would orphan
// state shows in review.
type Description struct {
	App  string
	Subs []SubDescription
}

// A SubDescription is one sub-topology.
type SubDescription struct {
	Name  string
	Nodes []NodeDescription
}

// A NodeDescription is one node.
type NodeDescription struct {
	Name     string
	Kind     string   // source, processor, in order, sink, table
	Topics   []string // read or written, internal ones included
	Stores   []string
	From     []string // names of the nodes before it
	Contract string   // of an ordering node, in one sentence
}

// Describe returns the description of the topology.
func (t *Topology) Describe() Description {
	d := Description{App: t.App()}
	names := Names{App: t.App()}
	for _, s := range t.subs {
		sd := SubDescription{Name: s.Name}
		for _, n := range s.Nodes {
			nd := NodeDescription{Name: n.Name, Kind: n.Kind.String(), Topics: n.Topics}
			for _, p := range n.Parents {
				nd.From = append(nd.From, p.Name)
			}
			switch n.Kind {
			case graph.Order:
				nd.Topics = []string{names.Order(n.Owner()), n.DLQ}
				nd.Contract = n.Order.(Order).Contract().String()
			case graph.Processor:
				nd.Stores = n.Stores
				for _, st := range n.Stores {
					nd.Topics = append(nd.Topics, names.Changelog(st))
				}
			case graph.TableSink:
				nd.Stores = n.Stores
			case graph.Source, graph.Sink:
			}
			sd.Nodes = append(sd.Nodes, nd)
		}
		d.Subs = append(d.Subs, sd)
	}
	return d
}

// String returns the description as text.
func (d Description) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "topology %s\n", d.App)
	for _, s := range d.Subs {
		fmt.Fprintf(&b, "  sub-topology %s\n", s.Name)
		for _, n := range s.Nodes {
			fmt.Fprintf(&b, "    %-9s %s", n.Kind, n.Name)
			list(&b, "stores", n.Stores)
			list(&b, "topics", n.Topics)
			list(&b, "<-", n.From)
			b.WriteByte('\n')
			if n.Contract != "" {
				fmt.Fprintf(&b, "              %s\n", n.Contract)
			}
		}
	}
	return b.String()
}

func list(b *strings.Builder, word string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(b, "  %s %s", word, strings.Join(names, ", "))
	}
}
