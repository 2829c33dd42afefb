package reorder

import (
	"math"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// redrive begins a re-drive: letters are applied in sequence order, one attempt
// each, up to the first that is not next or fails. An entity in local retry has none.
func (s *Sequencer) redrive() {
	if !s.row.retrying() && s.held.Letters() > 0 {
		s.row.more().redriving = true
	}
}

// redriving reports whether a re-drive goes on.
func (s *Sequencer) redriving() bool { return s.row.rare != nil && s.row.rare.redriving }

// redriveOne applies the letter whose turn it is, or ends the re-drive.
func (s *Sequencer) redriveOne() {
	x := s.row.rare
	if s.row.retrying() {
		x.redriving = false
		return
	}
	l := s.nextToRedrive()
	if l == nil {
		x.redriving = false
		s.unpark()
		return
	}
	if s.byVersion && !s.wins(l) {
		s.held.RemoveLetter(l)
		s.remember(l, false)
		s.drop(l, policies.ReasonSuperseded, 14)
		return
	}
	try := tryOrder
	if s.causeMissing(l) {
		try = tryUnordered // the operator's word
	}
	s.apply(l, try, true)
}

// nextToRedrive returns the letter whose turn it is. A letter's number is taken as
// undecided even if it is void. In the orders without numbers the letters that
// park have their turn one by one.
func (s *Sequencer) nextToRedrive() *Event {
	l := s.firstRedrivable()
	if !s.bySeq {
		for l != nil && !l.Parks {
			l = s.held.NextLetter(l)
		}
		return l
	}
	if l == nil || !s.redrivable(l, true) || l.Number != s.row.nextWithout(l.Number) || s.taken(l.Number) {
		return nil
	}
	return l
}

// firstRedrivable returns the first letter that is not passed over: with a number
// of the epoch above last.
func (s *Sequencer) firstRedrivable() *Event {
	if !s.bySeq {
		return s.held.NextLetter(nil)
	}
	var pivot Event
	pivot.Epoch, pivot.HasSequence, pivot.Sequence, pivot.Ordinal = s.row.epoch, true, s.row.last, math.MaxInt64-1
	return s.held.NextLetter(&pivot)
}

// unpark ends the parking when no letter is left that keeps the entity parked and
// can still be next.
func (s *Sequencer) unpark() {
	if !s.row.parked || s.row.rare.evacuate != "" {
		return
	}
	for l := s.firstRedrivable(); l != nil; l = s.held.NextLetter(l) {
		if l.Parks && s.redrivable(l, true) {
			return
		}
	}
	s.row.parked = false
	s.emit(topology.Decision{Kind: topology.DecideUnpark, Rule: policies.NoRule})
}
