package fold

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// An Event is one delivery, as its metadata has it.
type Event struct {
	Entity      string
	Epoch       int64
	HasSequence bool
	Sequence    int64
	Version     int64
	Time        int64
	ID          string // empty: an event is known by its number
	Class       string
	Invalid     bool // its metadata is unusable: every delivery is refused
}

// AtGap says what becomes of an entity when a number is missing for good.
type AtGap uint8

// What happens at a gap.
const (
	Stop AtGap = iota // what follows the gap is refused
	Pass              // the missing number is a hole, what follows is applied
	Wait              // what follows waits for ever
)

// Rules are the part of a contract that the fold asks for.
type Rules struct {
	AtGap     AtGap
	FirstSeen bool  // an entity starts at the number that is delivered first
	Start     int64 // else here
	// Passes says whether an event of the class that fails is passed over; else it
	// ends its entity. Nil: no class is.
	Passes func(class string) bool
	// NoStepBack refuses an event whose version is below the greatest applied.
	NoStepBack bool
	// MaxJump refuses a number further than this above all others; 0: none.
	MaxJump int64
	// MaxHeld makes an entity Unknown of which more events have to wait at a time; 0:
	// all may.
	MaxHeld int
	// Patient says that what may not wait stops the partition until the gap is given
	// up, so that MaxHeld changes nothing for what waits for a number that never comes.
	Patient bool
}

// Apply returns the state after an event. event is its index among the events; a
// nil state is that of an entity that has none. An error is the event's failure.
type Apply func(event int, state any) (any, error)

// A Span is the numbers From to To, both included.
type Span struct{ From, To int64 }

// String returns "4" or "4 to 7".
func (s Span) String() string {
	if s.From == s.To {
		return fmt.Sprint(s.From)
	}
	return fmt.Sprintf("%d to %d", s.From, s.To)
}

// A Result is what must become of one entity.
type Result struct {
	State   any     // nil: none
	Applied []int   // events, in their order
	Refused []int   // events that must be dead letters, a repeated delivery of Invalid ones too
	Waiting []int   // events that wait for ever
	Missing []Span  // numbers below the greatest delivered that were never delivered, ascending
	Passed  []int64 // numbers of events that failed and were passed over
	Parked  bool    // it ended at a gap or a failure
	Unknown string
}

// number is what the deliveries of one number of an entity amount to.
type number struct {
	sequence int64
	first    int // event
}

// Sequence folds the events, which are in the order of their delivery.
func Sequence(events []Event, rules Rules, apply Apply) map[string]*Result {
	results := make(map[string]*Result)
	of := make(map[string][]int)
	for i := range events {
		e := &events[i]
		r := results[e.Entity]
		if r == nil {
			r = &Result{}
			results[e.Entity] = r
		}
		if e.Invalid || !e.HasSequence || e.Sequence < 0 || e.Sequence > math.MaxInt64-1 || e.Entity == "" {
			r.Refused = append(r.Refused, i)
			continue
		}
		of[e.Entity] = append(of[e.Entity], i)
	}
	for entity, indices := range of {
		results[entity].sequence(events, indices, rules, apply)
	}
	return results
}

func (r *Result) sequence(events []Event, indices []int, rules Rules, apply Apply) {
	numbers, unknown := distinct(events, indices)
	start := rules.Start
	if rules.FirstSeen {
		start = events[indices[0]].Sequence
	}
	before := 0
	for before < len(numbers) && numbers[before].sequence < start {
		r.Refused = append(r.Refused, numbers[before].first)
		before++
	}
	numbers = numbers[before:]
	if n := mostWaiting(events, indices, numbers, start, rules.Patient); rules.MaxHeld > 0 && n > rules.MaxHeld {
		unknown = fmt.Sprintf("%d of its events had to wait at a time, and only %d may", n, rules.MaxHeld)
	}
	near := within(numbers, start, rules.MaxJump)
	for _, n := range numbers[near:] {
		r.Refused = append(r.Refused, n.first)
	}
	numbers = numbers[:near]
	r.Missing = missingOf(numbers, start)
	if len(r.Missing) > 0 && rules.MaxJump > 0 && numbers[near-1].sequence-start >= rules.MaxJump {
		unknown = fmt.Sprintf("its number %d is a jump, or is none, as the others arrive", numbers[near-1].sequence)
	}
	if r.Unknown = unknown; unknown != "" {
		return
	}
	next, version := start, int64(0)
	for i, n := range numbers {
		if n.sequence > next && rules.AtGap != Pass {
			r.end(numbers[i:], rules.AtGap)
			break
		}
		next = n.sequence + 1
		e := &events[n.first]
		if !rules.NoStepBack || e.Version == 0 || e.Version >= version {
			if state, err := apply(n.first, r.State); err == nil {
				r.State, r.Applied, version = state, append(r.Applied, n.first), max(version, e.Version)
				continue
			}
		}
		r.Refused = append(r.Refused, n.first)
		if rules.Passes == nil || !rules.Passes(e.Class) {
			r.end(numbers[i+1:], Stop)
			break
		}
		r.Passed = append(r.Passed, n.sequence)
	}
}

// mostWaiting returns how many events at most stand behind a number that is still to
// come, as they are delivered. A number that never comes makes none wait where patient.
func mostWaiting(events []Event, indices []int, numbers []number, start int64, patient bool) int {
	most, decided, next := 0, 0, start
	arrived := make(map[int64]bool, len(numbers))
	for _, i := range indices {
		if n := events[i].Sequence; n >= start {
			arrived[n] = true
		}
		for decided < len(numbers) && arrived[numbers[decided].sequence] && (patient || numbers[decided].sequence == next) {
			next = numbers[decided].sequence + 1
			decided++
		}
		most = max(most, len(arrived)-decided)
	}
	return most
}

// within returns how many numbers, ascending, stand before the first one that is a
// jump too far from the one before it, whatever has arrived by then. What is behind it
// is one too.
func within(numbers []number, start, maxJump int64) int {
	highest := start - 1
	for i, n := range numbers {
		if maxJump > 0 && n.sequence-highest > maxJump {
			return i
		}
		highest = n.sequence
	}
	return len(numbers)
}

// missingOf returns the numbers between start and the greatest that are not there.
func missingOf(numbers []number, start int64) (missing []Span) {
	next := start
	for _, n := range numbers {
		if next < n.sequence {
			missing = append(missing, Span{next, n.sequence - 1})
		}
		next = n.sequence + 1
	}
	return missing
}

// end gives up what follows.
func (r *Result) end(rest []number, how AtGap) {
	for _, n := range rest {
		if how == Wait {
			r.Waiting = append(r.Waiting, n.first)
		} else {
			r.Refused = append(r.Refused, n.first)
		}
	}
	r.Parked = r.Parked || how == Stop
}

// distinct returns the numbers that were delivered, ascending, and why the entity
// cannot be folded from them alone.
func distinct(events []Event, indices []int) (numbers []number, unknown string) {
	byNumber := make(map[int64]int, len(indices))
	byID := make(map[string]int64, len(indices))
	for _, i := range indices {
		e := &events[i]
		first, known := byNumber[e.Sequence]
		switch {
		case e.Epoch != events[indices[0]].Epoch:
			unknown = fmt.Sprintf("its events are of the producer epochs %d and %d", events[indices[0]].Epoch, e.Epoch)
		case known && events[first].ID != e.ID:
			unknown = fmt.Sprintf("the events %q and %q have the same number %d", events[first].ID, e.ID, e.Sequence)
		}
		if other, seen := byID[e.ID]; e.ID != "" && seen && other != e.Sequence {
			unknown = fmt.Sprintf("event %q has the numbers %d and %d", e.ID, other, e.Sequence)
		}
		byID[e.ID] = e.Sequence
		if !known {
			byNumber[e.Sequence] = i
			numbers = append(numbers, number{e.Sequence, i})
		}
	}
	slices.SortFunc(numbers, func(a, b number) int { return cmp.Compare(a.sequence, b.sequence) })
	return numbers, unknown
}
