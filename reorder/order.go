package reorder

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// order is a contract as topology.Order.
type order struct{ contract policies.Contract }

// New returns the order that a contract asks for; zero fields of the contract have
// the defaults of its shape.
func New(c policies.Contract) topology.Order { return order{c.WithDefaults()} }

// Contract implements topology.Order.
func (o order) Contract() policies.Contract { return o.contract }

// NewMachine implements topology.Order.
func (o order) NewMachine(host topology.OrderHost, sources int) topology.OrderMachine {
	return NewMachine(o.contract, host, sources)
}

// AppendEntityKey implements topology.Order.
func (o order) AppendEntityKey(dst []byte, entity string) []byte {
	return append(append(dst, kindEntity), entity...)
}

// EntityOf implements topology.Order.
func (o order) EntityOf(key []byte) (entity []byte, ok bool) {
	if len(key) < 2 || key[0] != kindEntity {
		return nil, false
	}
	return key[1:], true
}
