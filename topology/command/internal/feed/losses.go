package feed

import (
	"cmp"
	"slices"
)

// A Place is where an event stands in the order of its entity.
type Place struct {
	Entity   string
	Epoch    int64
	Sequence int64
}

// compare orders places of one entity.
func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Sequence, q.Sequence))
}

// LossKind says what a reader can know of a lost event.
type LossKind uint8

// Kinds of losses.
const (
	Followed LossKind = iota // a later event of the entity was delivered: its absence shows as a hole
	Tail                     // only earlier events of the entity were delivered: nothing shows without an end marker
	Whole                    // no event of the entity was delivered
	Covered                  // the input has another event at the same place, which was delivered: nothing is missing
	Unplaced                 // the event has no usable place
)

// String returns the kind as reports print it.
func (k LossKind) String() string {
	switch k {
	case Followed:
		return "followed"
	case Tail:
		return "tail"
	case Whole:
		return "whole"
	case Covered:
		return "covered"
	case Unplaced:
		return "unplaced"
	}
	return "unknown"
}

// A Loss is one lost event and what its absence means.
type Loss struct {
	Event int // index in the input
	Place Place
	Kind  LossKind
}

// Losses says of each lost event, in the order of lost, what its absence means.
// lost are indices below events, ascending, as a Plan has them. place returns
// where an event stands; false for an event that has no usable metadata, which then
// counts as neither delivered nor missing. It is called once per event.
func Losses(events int, lost []int, place func(event int) (Place, bool)) []Loss {
	delivered := make(map[string][]Place)
	losses := make([]Loss, 0, len(lost))
	for event := range events {
		at, ok := place(event)
		if _, found := slices.BinarySearch(lost, event); found {
			l := Loss{Event: event, Place: at}
			if !ok {
				l.Kind = Unplaced
			}
			losses = append(losses, l)
		} else if ok {
			delivered[at.Entity] = append(delivered[at.Entity], at)
		}
	}
	for _, places := range delivered {
		slices.SortFunc(places, Place.compare)
	}
	for i := range losses {
		if losses[i].Kind != Unplaced {
			losses[i].Kind = kindOf(losses[i].Place, delivered[losses[i].Place.Entity])
		}
	}
	return losses
}

// kindOf compares a lost place with the sorted places of its entity that were delivered.
func kindOf(lost Place, delivered []Place) LossKind {
	i, found := slices.BinarySearchFunc(delivered, lost, Place.compare)
	switch {
	case found:
		return Covered
	case i < len(delivered):
		return Followed
	case i > 0:
		return Tail
	default:
		return Whole
	}
}
