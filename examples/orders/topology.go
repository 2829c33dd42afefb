package main

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/processors"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
)

// An Event is one event of an order, as `streamrun generate orders` makes them.
type Event struct {
	OrderID string `json:"order_id"`
	Seq     int64  `json:"seq"`
	EventID string `json:"event_id"`
	Type    string `json:"type"` // created, viewed, paid, shipped, cancelled
	Amount  int64  `json:"amount"`
}

// A Total is what is known of an order.
type Total struct {
	Status string `json:"status"`
	Cents  int64  `json:"cents"`
	Events int    `json:"events"`
}

// Add returns the total after an event; it refuses a payment for a cancelled order.
func (t Total) Add(e Event) (Total, error) {
	if e.Type == "paid" && t.Status == "cancelled" {
		return t, fmt.Errorf("order %s: a payment after the cancellation", e.OrderID)
	}
	if e.Type != "viewed" {
		t.Status = e.Type
	}
	if e.Type == "paid" {
		t.Cents += e.Amount
	}
	t.Events++
	return t, nil
}

var contract = policies.Contract{
	EventsFor: "an order",
	Because:   "a payment applied after the cancellation would charge a closed order",
	Classes:   map[string]policies.Class{"viewed": {Poison: policies.PoisonSkip}},
}

// Build declares the topology.
func Build() (*topology.Topology, error) {
	eventSerde := serde.Of(serde.String(), serde.JSON[Event]())
	totals := statestore.KeyValue("order-totals", serde.Of(serde.String(), serde.JSON[Total]()))

	b := topology.New("orders-example")
	events := topology.Source(b, "orders", eventSerde)
	inOrder := reorder.InOrder(events, "in-order", contract, reorder.Options[string, Event]{
		Metadata: func(r topology.Record[string, Event], m *policies.Metadata) error {
			m.HasSequence, m.Sequence = r.Value.Seq > 0, r.Value.Seq
			m.ID, m.Class = r.Value.EventID, r.Value.Type
			return nil
		},
	})
	table := processors.Aggregate(inOrder, totals, func(_ string, e Event, t Total) (Total, error) {
		return t.Add(e)
	})
	topology.SinkTable(table, "order-totals")
	return b.Build()
}
