package runner

import (
	"errors"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/serde"
)

// What a contract may depends on the guarantee, which only a runner knows.
func TestTheGuaranteeBelongsToTheContract(t *testing.T) {
	t.Parallel()
	str := serde.Of(serde.String(), serde.String())
	b := topology.New(app)
	ordered := reorder.InOrder(topology.Source(b, "in", str), "order", policies.Contract{
		EventsFor: "X", Because: "Y", Shape: policies.Snapshot, OrderBy: policies.ByVersion, Buffer: policies.BufferVolatile,
	}, reorder.Options[string, string]{})
	processors.Aggregate(ordered, statestore.KeyValue("last", str), func(_, v, _ string) (string, error) { return v, nil })
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewOn(topo, mem.New(mem.Options{}).Connect(), Config{Guarantee: AtLeastOnce}); err != nil {
		t.Error(err)
	}
	var node *topology.Error
	if _, err := NewOn(topo, mem.New(mem.Options{}).Connect(), Config{}); !errors.Is(err, policies.CodeVolatile) || !errors.As(err, &node) || node.Node != "order" {
		t.Error(err)
	}
}
