package task

import (
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/graph"
)

// A Plan is what the tasks of one sub-topology share. It is immutable and safe for
// concurrent use.
type Plan struct {
	Names      topology.Names
	Sub        *graph.Sub
	Sources    []string // source topics: a task reads one partition of each
	Changelogs []Changelog
	Journal    string // topic
	Hash       uint64 // of everything that decides what becomes of an event, as far as the plan knows it
	Steps      []PlanStep

	sources []*graph.Node  // of each source topic
	order   topology.Order // nil without an order
	node    *graph.Node    // the order's node
	stores  []string       // changelog topic of each store
	tables  [][]string     // per store: the topics that publish it
}

// A Changelog is a topic from which a part of the state is restored.
type Changelog struct {
	Topic string
	part  int // of the slot: 0 is the order row, with the order's other rows beside it
}

// Plans returns the plans of a topology, one for each sub-topology.
func Plans(t *topology.Topology) []*Plan {
	plans := make([]*Plan, 0, len(t.Subs()))
	for _, sub := range t.Subs() {
		p := &Plan{Names: topology.Names{App: t.App()}, Sub: sub, Sources: sub.Topics, tables: make([][]string, len(sub.Stores))}
		p.Journal = p.Names.Journal(sub.Name)
		for _, n := range sub.Nodes {
			switch n.Kind {
			case graph.Source:
				for range n.Topics {
					p.sources = append(p.sources, n)
				}
			case graph.Order:
				p.node, p.order = n, n.Order.(topology.Order)
				p.Changelogs = append(p.Changelogs, Changelog{p.Names.Order(n.Owner()), 0})
			case graph.TableSink:
				i := slices.Index(sub.Stores, n.Stores[0])
				p.tables[i] = append(p.tables[i], n.Topics...)
			case graph.Processor, graph.Sink:
			}
		}
		for i, s := range sub.Stores {
			p.stores = append(p.stores, p.Names.Changelog(s))
			p.Changelogs = append(p.Changelogs, Changelog{p.stores[i], 1 + i})
		}
		p.identify()
		plans = append(plans, p)
	}
	return plans
}

// DeadLetters returns the dead-letter topic, or "" without an order.
func (p *Plan) DeadLetters() string {
	if p.node == nil {
		return ""
	}
	return p.node.DLQ
}

// Outputs returns the topics of the sinks and tables.
func (p *Plan) Outputs() []Output {
	var out []Output
	for _, n := range p.Sub.Nodes {
		if n.Kind == graph.Sink || n.Kind == graph.TableSink {
			for _, t := range n.Topics {
				out = append(out, Output{t, n.Kind == graph.TableSink})
			}
		}
	}
	return out
}

// SkipsBatches reports whether batches of a source that cannot be decoded are passed
// over.
func (p *Plan) SkipsBatches(source int) bool { return p.sources[source].SkipBatches }

// Writer says what of the sub-topology writes a topic, "" if nothing does.
func (p *Plan) Writer(topic string) string {
	if topic == p.Journal {
		return "the journal of sub-topology " + p.Sub.Name
	}
	if p.node != nil && topic == p.node.DLQ {
		return fmt.Sprintf("a dead letter of order %q", p.node.Name)
	}
	for _, c := range p.Changelogs {
		if c.Topic != topic {
			continue
		}
		if c.part == 0 {
			return fmt.Sprintf("order %q", p.node.Name)
		}
		return fmt.Sprintf("store %q", p.Sub.Stores[c.part-1])
	}
	for _, n := range p.Sub.Nodes {
		if (n.Kind == graph.Sink || n.Kind == graph.TableSink) && slices.Contains(n.Topics, topic) {
			return fmt.Sprintf("%s %q", n.Kind, n.Name)
		}
	}
	return ""
}

// An Output is a topic that a sub-topology writes for others to read.
type Output struct {
	Topic string
	Table bool // compacted: the last value of each key
}
