package generate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"
)

// Options says what is generated. Zero values stand for the defaults.
type Options struct {
	Seed     uint64    // of everything that is drawn
	Events   int       // in total; default 10,000
	Entities int       // orders or cases; default one for every six events
	Start    time.Time // no event is before it; default 2026-01-05 08:00 UTC, a Monday
}

func (o Options) withDefaults() Options {
	if o.Events == 0 {
		o.Events = 10_000
	}
	if o.Entities == 0 {
		o.Entities = max(1, o.Events/6)
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC)
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.Events < 0:
		return fmt.Errorf("generate: %d events: give a number above 0", o.Events)
	case o.Entities < 0:
		return fmt.Errorf("generate: %d entities: give a number above 0", o.Entities)
	case o.Entities > o.Events:
		return fmt.Errorf("generate: %d entities in %d events: every entity has at least one event", o.Entities, o.Events)
	}
	return nil
}

// Random streams besides those of the entities, which are numbered from 0.
const (
	streamLengths = 1<<63 + iota
	streamArrivals
)

func stream(seed, number uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, number)) }

// lengths draws how many events each entity has: at least one each, in total events.
func lengths(o Options, natural func(*rand.Rand) int) []int {
	rng := stream(o.Seed, streamLengths)
	of := make([]int, o.Entities)
	total := 0
	for i := range of {
		of[i] = natural(rng)
		total += of[i]
	}
	for total != o.Events {
		i := rng.IntN(len(of))
		switch {
		case total < o.Events:
			of[i]++
			total++
		case of[i] > 1:
			of[i]--
			total--
		}
	}
	return of
}

// Write writes one event a line as JSON.
func Write[E any](w io.Writer, events iter.Seq[E]) error {
	buffered := bufio.NewWriter(w)
	enc := json.NewEncoder(buffered)
	enc.SetEscapeHTML(false)
	for e := range events {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("generate: writing events: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("generate: writing events: %w", err)
	}
	return nil
}
