package dev

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/command/internal/feed"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
)

// notesOf names every entity that did not go its whole way: parked, with holes,
// letters or waiting events, without its end although the file declares one, or not
// delivered at all.
func notesOf(w *world, v *verification, losses []feed.Loss) []Note {
	letters := make(map[string][]*letter)
	for i := range w.letters {
		l := &w.letters[i]
		id := l.Entity
		if id == "" {
			id = string(l.key)
		}
		letters[id] = append(letters[id], l)
	}
	ended, last := make(map[string]bool), make(map[string]int64)
	for i := range w.deliveries {
		d := &w.deliveries[i]
		ended[d.meta.Entity] = ended[d.meta.Entity] || d.end
		if n, ok := last[d.meta.Entity]; !d.invalid && d.meta.HasSequence && (!ok || d.meta.Sequence > n) {
			last[d.meta.Entity] = d.meta.Sequence
		}
	}
	var notes []Note
	for _, id := range slices.Sorted(maps.Keys(v.results)) {
		r := v.results[id]
		var parts []string
		if e := w.stored[id]; e != nil {
			if e.parked {
				parts = append(parts, "parked")
			}
			if len(e.holes) > 0 {
				parts = append(parts, "holes "+spanList(e.holes))
			}
		}
		if len(r.Missing) > 0 && r.Unknown == "" {
			parts = append(parts, "never delivered "+spanList(r.Missing))
		}
		if len(r.GivenUp) > 0 && r.Unknown == "" {
			parts = append(parts, "given up before it came "+w.givenUp(r.GivenUp))
		}
		if list := letters[id]; len(list) > 0 {
			parts = append(parts, "dead letters "+letterList(list))
		}
		if n := len(r.Waiting); n > 0 && r.Unknown == "" {
			parts = append(parts, fmt.Sprintf("%d events wait for ever", n))
		}
		if n, ok := last[id]; w.file.Input.HasEnd() && !ended[id] {
			if ok {
				parts = append(parts, fmt.Sprintf("without its end: the last event delivered is number %d", n))
			} else if len(parts) == 0 { // none of its events is usable
				parts = append(parts, "without its end")
			}
		}
		if len(parts) > 0 {
			notes = append(notes, Note{orNone(id), strings.Join(parts, "; ")})
		}
	}
	return append(notes, wholly(losses, v)...)
}

// orNone names an entity, or the lack of one.
func orNone(id string) string {
	if id == "" {
		return "(no key)"
	}
	return id
}

// givenUp lists the numbers of events that came too late.
func (w *world) givenUp(late []fold.GivenUp) string {
	words := make([]string, len(late))
	for i, g := range late {
		words[i] = fmt.Sprintf("%d (after %v)", w.deliveries[g.Event].meta.Sequence, time.Duration(g.Took)*time.Millisecond)
	}
	return strings.Join(words, ", ")
}

// tooLate counts the events whose numbers had been given up when they came, and
// returns the longest time that one of them took.
func tooLate(v *verification) (n int, longest time.Duration) {
	for _, r := range v.results {
		if r.Unknown != "" {
			continue
		}
		n += len(r.GivenUp)
		for _, g := range r.GivenUp {
			longest = max(longest, time.Duration(g.Took)*time.Millisecond)
		}
	}
	return n, longest
}

// wholly names the entities of which nothing was delivered.
func wholly(losses []feed.Loss, v *verification) []Note {
	lost := make(map[string]int)
	for _, l := range losses {
		if l.Kind == feed.Whole && v.results[l.Place.Entity] == nil {
			lost[l.Place.Entity]++
		}
	}
	var notes []Note
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		notes = append(notes, Note{id, fmt.Sprintf("nothing of it was delivered: %d withheld", lost[id])})
	}
	return notes
}

func spanList(spans []fold.Span) string {
	words := make([]string, len(spans))
	for i, s := range spans {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}

// letterList names the letters by number where they have one, grouped by reason.
func letterList(letters []*letter) string {
	byReason := make(map[policies.Reason][]string)
	for _, l := range letters {
		name := l.ID
		if l.HasSequence {
			name = fmt.Sprint(l.Sequence)
		} else if name == "" {
			name = fmt.Sprintf("at partition %d offset %d", l.Partition, l.Offset)
		}
		byReason[l.Reason] = append(byReason[l.Reason], name)
	}
	var groups []string
	for _, reason := range slices.SortedFunc(maps.Keys(byReason), func(a, b policies.Reason) int { return cmp.Compare(a, b) }) {
		groups = append(groups, strings.Join(byReason[reason], ", ")+" ("+string(reason)+")")
	}
	return strings.Join(groups, ", ")
}
