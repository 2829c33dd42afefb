package reorder

import (
	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// beginRedrive begins a re-drive: letters are applied in sequence order, one attempt
// each, up to the first that is not next or fails. An entity in local retry has none.
// The row remembers it: a restart goes on.
func beginRedrive(row *Row, held Held) {
	if !row.retrying() && held.Letters() > 0 {
		row.more().redriving = true
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
	if l := s.nextToRedrive(); l != nil {
		s.apply(l, s.unasked(l), true)
		return
	}
	s.endRedrive()
}

func (s *Sequencer) endRedrive() {
	s.row.more().redriving = false
	s.unpark()
}

// nextToRedrive returns the letter whose turn it is. A letter's number is taken as
// undecided even if it is void.
func (s *Sequencer) nextToRedrive() *Event {
	l := s.redrivableAfter(s.firstPivot())
	if l != nil && s.bySeq && (l.Number != s.row.nextWithout(l.Number) || s.taken(l.Number)) {
		return nil
	}
	return l
}

// redrivableAfter returns the first letter after the given one that is not passed over.
func (s *Sequencer) redrivableAfter(l *Event) *Event {
	for l = s.held.NextLetter(l); l != nil && !s.redrivable(l); l = s.held.NextLetter(l) {
	}
	return l
}

// firstPivot is what comes before every letter that can be next: in a sequence those
// of the epoch above last.
func (s *Sequencer) firstPivot() *Event {
	if !s.bySeq {
		return nil
	}
	var pivot Event
	pivot.Epoch, pivot.HasSequence, pivot.Sequence = s.row.epoch, true, s.row.last+1
	return &pivot
}

// unpark ends the parking when no letter is left that keeps the entity parked and
// can still be next.
func (s *Sequencer) unpark() {
	if !s.row.parked || s.row.rare.evacuate != "" {
		return
	}
	for l := s.redrivableAfter(s.firstPivot()); l != nil; l = s.redrivableAfter(l) {
		if l.Parks {
			return
		}
	}
	s.row.parked = false
	s.emit(topology.Decision{Kind: topology.DecideUnpark, Rule: policies.NoRule})
}
