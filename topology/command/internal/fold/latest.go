package fold

import (
	"cmp"
	"strings"
)

// Latest folds the events, which are in the order of their delivery, so that the
// greatest (version, time, id) of each entity wins: an event that is not greater
// than the winner so far is passed over.
func Latest(events []Event, rules Rules, apply Apply) map[string]*Result {
	results := make(map[string]*Result)
	winner := make(map[string]*Event)
	refused := make(map[string]bool) // "entity\x00id" of events that failed
	for i := range events {
		e := &events[i]
		r := results[e.Entity]
		if r == nil {
			r = &Result{}
			results[e.Entity] = r
		}
		name := e.Entity + "\x00" + e.ID
		switch w := winner[e.Entity]; {
		case e.Invalid || e.Entity == "":
			r.Refused = append(r.Refused, i)
		case refused[name], w != nil && w.ID == e.ID:
		case r.Parked:
			// It would have to be told from a repetition of any earlier one.
			r.Unknown = "events came after one that failed for good"
		case w == nil || later(e, w):
			state, err := apply(i, r.State)
			if err == nil {
				winner[e.Entity], r.State, r.Applied = e, state, append(r.Applied, i)
				continue
			}
			r.Refused, refused[name] = append(r.Refused, i), true
			r.Parked = rules.Passes == nil || !rules.Passes(e.Class)
		}
	}
	return results
}

func later(a, b *Event) bool {
	return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID)) > 0
}
