package generate

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

// A Permit is one event of a permit case.
type Permit struct {
	CaseID     string `json:"case_id"`
	Sequence   int    `json:"sequence"` // per case, from 1
	EventID    string `json:"event_id"` // unique
	Activity   string `json:"activity"`
	EventTime  string `json:"event_time"` // RFC 3339 with milliseconds
	Resource   string `json:"resource"`   // who did it
	Department string `json:"department"`
	Channel    string `json:"channel"` // of the case: how it came in
	Last       bool   `json:"last"`    // nothing follows for this case
}

// An activity is a step of a case: who does it, and how long it takes to get to it
// on average, in working hours.
type activity struct {
	name       string
	department string
	takes      time.Duration
}

// The steps of a case in order. Between them go rounds of questions: for documents
// while the application is checked, for advice while it is decided on.
const (
	stepReceived = iota
	stepChecked
	stepAssessed
	stepDrafted
	stepApproved
	stepSent
	stepWithdrawn
	stepAskDocuments
	stepGetDocuments
	stepAskAdvice
	stepGetAdvice
	stepNote
	steps
)

// regular is the number of steps of a case without questions.
const regular = stepSent + 1

// activities describes the steps.
func activities() [steps]activity {
	return [steps]activity{
		stepReceived:     {"Receive application", "Front office", 0},
		stepChecked:      {"Check completeness", "Front office", 2 * time.Hour},
		stepAssessed:     {"Assess fee", "Permits", 6 * time.Hour},
		stepDrafted:      {"Draft decision", "Permits", 12 * time.Hour},
		stepApproved:     {"Approve decision", "Management", 9 * time.Hour},
		stepSent:         {"Send decision", "Front office", 2 * time.Hour},
		stepWithdrawn:    {"Withdraw application", "Front office", 20 * time.Hour},
		stepAskDocuments: {"Request documents", "Front office", time.Hour},
		stepGetDocuments: {"Receive documents", "Front office", 40 * time.Hour},
		stepAskAdvice:    {"Request advice", "Permits", 3 * time.Hour},
		stepGetAdvice:    {"Give advice", "Experts", 60 * time.Hour},
		stepNote:         {"Add note", "Permits", time.Hour},
	}
}

// Permits returns the events of an authority's permit cases. Work is done on
// weekdays from 8:00 to 17:00; most cases take the regular course, some come back
// with questions, a few are withdrawn or stay where they are. It fails when an option
// is out of range. The result may be iterated more than once.
func Permits(o Options) (iter.Seq[Permit], error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return func(yield func(Permit) bool) {
		known := activities()
		lives := make(map[int]*permitLife)
		of := lengths(o, permitLength)
		life := func(entity int) *permitLife {
			if lives[entity] == nil {
				lives[entity] = newPermitLife(stream(o.Seed, uint64(entity)), of[entity])
			}
			return lives[entity]
		}
		number := 0
		next := func(entity, number int) time.Duration {
			l := life(entity)
			return exponential(l.rng, known[l.path[number]].takes)
		}
		for m := range interleave(o, of, 75*time.Minute, next) {
			number++
			l := life(m.entity)
			does := known[l.path[m.number-1]]
			e := Permit{
				CaseID:     fmt.Sprintf("case-%06d", m.entity+1),
				Sequence:   m.number,
				EventID:    fmt.Sprintf("task-%07d", number),
				Activity:   does.name,
				EventTime:  timestamp(working(o.Start, m.at)),
				Resource:   l.resource(does.department),
				Department: does.department,
				Channel:    l.channel,
				Last:       m.last,
			}
			if m.last {
				delete(lives, m.entity)
			}
			if !yield(e) {
				return
			}
		}
	}, nil
}

// permitLength draws how many events a case has by nature.
func permitLength(rng *rand.Rand) int {
	switch n := rng.IntN(100); {
	case n < 6:
		return 1
	case n < 10:
		return 2 + rng.IntN(3)
	case n < 78:
		return regular
	default:
		return regular + 1 + int(rng.ExpFloat64()*3)
	}
}

// A permitLife is what one case goes through.
type permitLife struct {
	rng     *rand.Rand
	path    []int // steps
	channel string
}

func newPermitLife(rng *rand.Rand, length int) *permitLife {
	l := &permitLife{rng: rng, channel: channel(rng)}
	if length < regular {
		for step := range length {
			l.path = append(l.path, step)
		}
		if length > 1 {
			l.path[length-1] = stepWithdrawn
		}
		return l
	}
	documents, advice := 0, 0 // rounds of two events each
	for range (length - regular) / 2 {
		if rng.IntN(2) == 0 {
			documents++
		} else {
			advice++
		}
	}
	for step := stepReceived; step <= stepSent; step++ {
		l.path = append(l.path, step)
		switch step {
		case stepChecked:
			l.rounds(documents, stepAskDocuments, stepGetDocuments)
		case stepAssessed:
			if (length-regular)%2 == 1 {
				l.path = append(l.path, stepNote)
			}
			l.rounds(advice, stepAskAdvice, stepGetAdvice)
		}
	}
	return l
}

func (l *permitLife) rounds(n, ask, get int) {
	for range n {
		l.path = append(l.path, ask, get)
	}
}

// resource draws who of a department does a step; some do more than others.
func (l *permitLife) resource(department string) string {
	return fmt.Sprintf("%s %d", department, 1+min(l.rng.IntN(12), l.rng.IntN(12)))
}

// channel draws how a case came in.
func channel(rng *rand.Rand) string {
	switch n := rng.IntN(100); {
	case n < 85:
		return "Internet"
	case n < 93:
		return "Desk"
	case n < 98:
		return "Post"
	default:
		return "E-mail"
	}
}

// Working time.
const (
	dayBegins = 8 * time.Hour
	dayLasts  = 9 * time.Hour
	weekLasts = 5 * dayLasts
)

// working returns the time that is reached when so much working time has passed
// since the start. It grows strictly with it.
func working(start time.Time, passed time.Duration) time.Time {
	day := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, start.Location())
	if since := start.Sub(day) - dayBegins; since > 0 {
		passed += since
	}
	day = day.AddDate(0, 0, 7*int(passed/weekLasts))
	for passed %= weekLasts; ; day = day.AddDate(0, 0, 1) {
		if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			continue
		}
		if passed < dayLasts {
			return day.Add(dayBegins + passed)
		}
		passed -= dayLasts
	}
}
