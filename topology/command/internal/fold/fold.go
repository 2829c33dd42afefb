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
	// Clock is when the delivery was taken, in milliseconds; it never goes back. It
	// counts where numbers are given up after a time.
	Clock int64
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
	// MaxHoles makes an entity Unknown that may have more holes at a time; 0: all may.
	MaxHoles int
	// MaxWait is after how many milliseconds a number is given up for which events
	// wait, even if its own comes later; 0: only one that never comes is.
	MaxWait int64
	// Drops says whether an event of the class is dropped if it comes when its number
	// has been passed; else it is refused. Nil: no class is.
	Drops func(class string) bool
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
	State   any       // nil: none
	Applied []int     // events, in their order
	Refused []int     // events that must be dead letters, a repeated delivery of Invalid ones too
	Waiting []int     // events that wait for ever
	Missing []Span    // numbers below the greatest delivered that were never delivered, ascending
	Holes   []Span    // numbers that were passed over, ascending: missing ones, and those of events that failed
	Dropped []int     // events that came too late, and are no dead letters
	GivenUp []GivenUp // of the events that are late, or with whose number the entity ended
	Held    int       // how many events waited at a time, at most
	Parked  bool      // it ended at a gap or a failure
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
	near := within(numbers, start, rules.MaxJump)
	for _, n := range numbers[near:] {
		r.Refused = append(r.Refused, n.first)
	}
	numbers = numbers[:near]
	r.Missing = missingOf(numbers, start)
	if len(r.Missing) > 0 && rules.MaxJump > 0 && numbers[near-1].sequence-start >= rules.MaxJump {
		unknown = fmt.Sprintf("its number %d is a jump, or is none, as the others arrive", numbers[near-1].sequence)
	}
	wait := follow(events, indices, numbers, start, rules)
	if r.Held = wait.most; unknown == "" {
		unknown = wait.unknown()
	}
	if r.Unknown = unknown; unknown != "" {
		return
	}
	next, version := start, int64(0)
	for i, n := range numbers {
		late, isLate := wait.late[n.sequence]
		if isLate {
			r.GivenUp = append(r.GivenUp, late)
		}
		if n.sequence > next && rules.AtGap != Pass || isLate && rules.AtGap == Stop {
			r.end(numbers[i:], rules.AtGap)
			break
		}
		if n.sequence > next {
			r.Holes = append(r.Holes, Span{next, n.sequence - 1})
		}
		next = n.sequence + 1
		e := &events[n.first]
		if isLate {
			r.late(n, e, rules)
			continue
		}
		if !rules.NoStepBack || e.Version == 0 || e.Version >= version {
			if state, err := apply(n.first, r.State); err == nil {
				r.State, r.Applied, version = state, append(r.Applied, n.first), max(version, e.Version)
				continue
			}
		}
		r.Refused = append(r.Refused, n.first)
		if rules.Passes == nil || !rules.Passes(e.Class) {
			if len(r.GivenUp) > 0 {
				r.Unknown = "an event failed for good, and whether that was before others came too late is not known"
				return
			}
			r.end(numbers[i+1:], Stop)
			break
		}
		r.Holes = append(r.Holes, Span{n.sequence, n.sequence})
	}
}

// late takes an event that came when its number had been passed.
func (r *Result) late(n number, e *Event, rules Rules) {
	if rules.Drops != nil && rules.Drops(e.Class) {
		r.Dropped = append(r.Dropped, n.first)
		return
	}
	r.Refused = append(r.Refused, n.first)
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
