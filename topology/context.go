package topology

import (
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/graph"
)

// A Context is what a processor sees of its task: its place, its time and its
// stores. It has no context.Context: a processor does no I/O. It is valid as long
// as the processor and not safe for concurrent use.
type Context interface {
	statestore.Opener
	// Task names the task: the sub-topology and the partition, as in "totals_3".
	Task() string
	// Topic, Partition and Offset say where the record in hand was read.
	Topic() string
	Partition() int32
	Offset() int64
	// StreamTime is the greatest event time that the task has seen, in milliseconds
	// since the Unix epoch; it never goes back, and survives a restart.
	StreamTime() int64
	// Clock is the task clock in milliseconds since the Unix epoch: the wall-clock
	// time up to which the task has read its sources.
	Clock() int64
}

// nodeContext is the Context of one node.
type nodeContext struct {
	env  graph.Env
	node *graph.Node
}

func (c *nodeContext) OpenStore(name string) (statestore.Raw, error) {
	return c.env.OpenStore(c.node, name)
}
func (c *nodeContext) Task() string      { return c.env.Position().Task }
func (c *nodeContext) Topic() string     { return c.env.Position().Topic }
func (c *nodeContext) Partition() int32  { return c.env.Position().Partition }
func (c *nodeContext) Offset() int64     { return c.env.Position().Offset }
func (c *nodeContext) StreamTime() int64 { return c.env.Position().StreamTime }
func (c *nodeContext) Clock() int64      { return c.env.Position().Clock }
