package dev

import (
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
)

// An entity is what the app has stored of one.
type entity struct {
	value  []byte // nil: no state
	parked bool
	last   int64
	holes  []fold.Span
}

// entitiesOf reads the slots of a task's rows: the order row and the one store.
func entitiesOf(c policies.Contract, rows statestore.Backend, into map[string]*entity) error {
	machine := reorder.NewMachine(c, noHost{}, 1)
	parts := make([][]byte, 2)
	return rows.Scan([]byte{statestore.KindSlot}, func(key, row []byte) error {
		if err := statestore.DecodeRow(row, parts); err != nil {
			return fmt.Errorf("entity %q: %w", key[1:], err)
		}
		e := &entity{}
		if parts[1] != nil {
			e.value = append([]byte{}, parts[1]...)
		}
		id := string(key[1:])
		if parts[0] != nil {
			if err := reorder.CheckRow(parts[0]); err != nil {
				return fmt.Errorf("entity %q: %w", id, err)
			}
			order := machine.RowOf(&topology.Entity{ID: id, Stored: parts[0]})
			e.parked, e.last = order.Parked(), order.Last()
			order.Holes(func(from, to int64) { e.holes = append(e.holes, fold.Span{From: from, To: to}) })
		}
		into[id] = e
		return nil
	})
}

// noHost is the surroundings of a machine that only reads rows.
type noHost struct{}

// Entity implements topology.OrderHost.
func (noHost) Entity(id string) *topology.Entity { return &topology.Entity{ID: id} }

// Dirty implements topology.OrderHost.
func (noHost) Dirty(*topology.Entity) {}

// Payload implements topology.OrderHost.
func (noHost) Payload(*topology.OrderEvent) []byte { return nil }
