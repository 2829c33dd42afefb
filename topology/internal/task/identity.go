package task

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/graph"
)

// Kinds of steps of a plan.
const (
	SourceStep = "source"
	OrderStep  = "order"
	StoreStep  = "store"
)

// A PlanStep is what a plan says of one step that gives the state its meaning. The
// code of handlers is not in it.
type PlanStep struct {
	Name  string // of a source: the topic
	Kind  string
	Terms []policies.Term
	// Renamed says that Name is what the step says that it was. It is not recorded.
	Renamed bool
}

// identify finds the steps, and the hash of them and of how everything is joined.
func (p *Plan) identify() {
	h := xxhash.New()
	word := func(words ...string) {
		for _, w := range words {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(w)))
			_, _ = h.Write(n[:])
			_, _ = h.WriteString(w)
		}
	}
	for i, topic := range p.Sources {
		// Whether it skips batches is not in it: those that were are in the journal.
		p.Steps = append(p.Steps, PlanStep{Name: topic, Kind: SourceStep, Terms: formats(p.sources[i].Bytes[0])})
	}
	for _, n := range p.Sub.Nodes {
		word(n.Name, n.Kind.String())
		word(n.Topics...)
		word(n.Stores...)
		switch n.Kind {
		case graph.Order:
			p.Steps = append(p.Steps, PlanStep{Name: n.Owner(), Kind: OrderStep, Terms: p.order.Contract().Terms(), Renamed: n.Was != ""})
		case graph.Processor:
			for i, s := range n.Stores {
				if !slices.ContainsFunc(p.Steps, func(st PlanStep) bool { return st.Kind == StoreStep && st.Name == s }) {
					p.Steps = append(p.Steps, PlanStep{Name: s, Kind: StoreStep, Terms: formats(n.Bytes[i])})
				}
			}
		case graph.Source, graph.Sink, graph.TableSink:
		}
	}
	for _, s := range p.Steps {
		word(s.Name, s.Kind)
		for _, t := range s.Terms {
			if t.Weight != policies.Label {
				word(t.Name, t.Value)
			}
		}
	}
	p.Hash = h.Sum64()
}

func formats(f graph.Format) []policies.Term {
	return []policies.Term{{Name: "key", Value: f.Key}, {Name: "value", Value: f.Value}}
}

// As returns the plan under the name that its topics bear already, with the source
// topics in the order in which the state knows them; topics that are not among
// them come last.
func (p *Plan) As(name string, topics []string) *Plan {
	q, sub := *p, *p.Sub
	sub.Name, q.Sub = name, &sub
	q.Journal = q.Names.Journal(name)
	q.Sources, q.sources, q.Steps = nil, nil, nil
	for _, t := range topics {
		if i := slices.Index(p.Sources, t); i >= 0 {
			q.Sources, q.sources = append(q.Sources, t), append(q.sources, p.sources[i])
		}
	}
	for i, t := range p.Sources {
		if !slices.Contains(topics, t) {
			q.Sources, q.sources = append(q.Sources, t), append(q.sources, p.sources[i])
		}
	}
	q.identify()
	return &q
}
