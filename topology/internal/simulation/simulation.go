package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AnyFault as the Fault of a step is whatever fault the seed draws for it.
const AnyFault = "*"

// A Script says what one simulation does, and how the run ended that it was written of.
type Script struct {
	Seed     uint64
	Settings Settings
	Steps    []Step // by number
	Breaks   string // the promise that was broken; empty: none
	Seen     string // how it was broken, for people; Parse does not read it
	Trace    uint64 // hash of all that happened
}

// A Step is one step of a Script.
type Step struct {
	Number int    // from 1
	Fault  string // its kind, or AnyFault; empty: the step has none, whatever is drawn
	Note   string // what happened, for people; Parse does not read it
}

// Settings are what a simulation is of.
type Settings struct {
	Partitions     int           // of the input
	Instances      int           // at a time, at most
	Standbys       int           // of each task
	Static         bool          // instances keep their name
	CommitInterval time.Duration // 0: as soon as the last commit has ended
	Batch          int           // records of one that is full; 0: more than there are
	MarkerDelay    time.Duration // until a marker lands, at most
	Keys           int           // entities
	Ordered        bool          // by sequence, under the contract of what follows
	Poisonous      bool          // some events cannot be handled
	MaxWait        time.Duration
	OnTimeout      string
	MaxHeld        int
	Late           string
	Poison         string
}

// A setting is one field of Settings.
type setting struct {
	name    string
	value   any    // a pointer to it
	choices string // the values it may have, the simplest first, as often as they are to be drawn
}

func (s *Settings) all() []setting {
	return []setting{
		{"partitions", &s.Partitions, "1 2 3"},
		{"instances", &s.Instances, "1 2 3"},
		{"standbys", &s.Standbys, "0 1 2"},
		{"static", &s.Static, "false true"},
		{"commit_interval", &s.CommitInterval, "200ms 200ms 0s"},
		{"batch", &s.Batch, "0 0 4"},
		{"marker_delay", &s.MarkerDelay, "0s 20ms 2s"},
		{"keys", &s.Keys, "1 2 3 4 5 6 7 8"},
		{"ordered", &s.Ordered, "false true true true"},
		{"poisonous", &s.Poisonous, "false false true"},
		{"max_wait", &s.MaxWait, "1000h0m0s 5s 200ms"},
		{"on_timeout", &s.OnTimeout, "skip park"},
		{"max_held", &s.MaxHeld, "1000 4"},
		{"late", &s.Late, "drop reject"},
		{"poison", &s.Poison, "skip park"},
	}
}

// text returns the value as a file has it.
func (f setting) text() string {
	switch v := f.value.(type) {
	case *int:
		return strconv.Itoa(*v)
	case *bool:
		return strconv.FormatBool(*v)
	case *time.Duration:
		return v.String()
	case *string:
		return *v
	default:
		panic(fmt.Sprintf("simulation: setting %s is a %T", f.name, f.value))
	}
}

// set sets the value to one of the choices.
func (f setting) set(text string) (err error) {
	if !slices.Contains(strings.Fields(f.choices), text) {
		return fmt.Errorf("%s is one of %s, not %q", f.name, strings.Join(f.distinct(), ", "), text)
	}
	switch v := f.value.(type) {
	case *int:
		*v, err = strconv.Atoi(text)
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *time.Duration:
		*v, err = time.ParseDuration(text)
	case *string:
		*v = text
	}
	return err
}

func (f setting) distinct() []string { return slices.Compact(strings.Fields(f.choices)) }

// Draw returns the script of a seed: all steps, with the faults that are drawn.
func Draw(seed uint64) Script {
	rnd := rand.New(rand.NewPCG(seed, 4))
	s := Script{Seed: seed}
	for _, f := range s.Settings.all() {
		choices := strings.Fields(f.choices)
		if err := f.set(choices[rnd.IntN(len(choices))]); err != nil {
			panic(err) // a choice that is no value of its field
		}
	}
	for n := range 240 + rnd.IntN(200) {
		s.Steps = append(s.Steps, Step{Number: n + 1, Fault: AnyFault})
	}
	return s
}

// Faults returns how many steps have one.
func (s *Script) Faults() (n int) {
	for _, step := range s.Steps {
		if step.Fault != "" {
			n++
		}
	}
	return n
}
