package reorder

import (
	"math"
	"strconv"

	"github.com/streamrun/streamrun/topology"
)

// DerivedID is the id of an event that carries none: "entity/epoch/sequence".
func DerivedID(entity string, epoch, sequence int64) string {
	b := append([]byte(entity), '/')
	b = strconv.AppendInt(b, epoch, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, sequence, 10))
}

// redrive begins a re-drive: letters are applied in sequence order, one attempt
// each, up to the first that is not next or fails.
func (s *Sequencer) redrive() {
	if s.busy() {
		return
	}
	s.row.more().redriving = true
	if s.row.parked {
		s.evacuate() // held events whose letters did not fit before
	}
}

// redriveOn applies the next letter, or ends the re-drive.
func (s *Sequencer) redriveOn() {
	x := s.row.rare
	if s.row.retrying() {
		x.redriving = false
		return
	}
	if s.bySeq {
		if l := s.held.NextLetter(s.passed()); l != nil && l.Epoch == s.row.epoch &&
			l.Number == s.row.nextWithout(l.Number) && s.free(l.Number) {
			try := tryOrder
			if s.causeMissing(l) {
				try = tryUnordered
			}
			s.apply(l, try, true)
			if s.flight.active {
				return
			}
		}
	} else if s.redriveUnnumbered() {
		return
	}
	x.redriving = false
	s.unpark()
}

// passed is a pivot after every letter that can never be next.
func (s *Sequencer) passed() *Event {
	var e Event
	e.Epoch, e.HasSequence, e.Sequence, e.Ordinal = s.row.epoch, true, s.row.last, math.MaxInt64-1
	return &e
}

// redriveUnnumbered applies the first letter that parks, in the orders without
// numbers. It reports whether one is in flight.
func (s *Sequencer) redriveUnnumbered() bool {
	for l := s.held.NextLetter(nil); l != nil; l = s.held.NextLetter(l) {
		if !l.Parks {
			continue
		}
		if s.byVersion && !s.wins(l) {
			s.held.RemoveLetter(l)
			s.remember(l)
			s.drop(l, "superseded", 14)
			continue
		}
		s.apply(l, tryOrder, true)
		return true
	}
	return false
}

// unpark ends the parking when no letter is left that keeps the entity parked and
// can still be next.
func (s *Sequencer) unpark() {
	if !s.row.parked || s.row.rare.evacuate != "" {
		return
	}
	var l *Event
	if s.bySeq {
		l = s.passed()
	}
	for l = s.held.NextLetter(l); l != nil; l = s.held.NextLetter(l) {
		if l.Parks && (!s.bySeq || l.Epoch == s.row.epoch) {
			return
		}
	}
	s.row.parked = false
	s.emit(topology.Decision{Kind: topology.DecideUnpark, Rule: 4})
}
