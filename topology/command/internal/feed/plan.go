package feed

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Options says how badly events are delivered. The zero value delivers every
// event once, in the order of the input.
type Options struct {
	Shuffle          int     // size of the windows that are permuted, in events; 0 or 1: input order
	DuplicatePercent float64 // share of the delivered events that are sent again, 0 to 100
	LosePercent      float64 // share of all events that are withheld, 0 to 100
	Seed             uint64  // of all draws
}

func (o Options) validate() error {
	if o.Shuffle < 0 {
		return fmt.Errorf("feed: shuffle window is %d: give 0 for the input order, or a number of events", o.Shuffle)
	}
	if !isPercent(o.DuplicatePercent) {
		return fmt.Errorf("feed: share of duplicates is %v%%: give 0 to 100", o.DuplicatePercent)
	}
	if !isPercent(o.LosePercent) {
		return fmt.Errorf("feed: share of lost events is %v%%: give 0 to 100", o.LosePercent)
	}
	return nil
}

func isPercent(p float64) bool { return p >= 0 && p <= 100 }

// A Delivery is one record to send.
type Delivery struct {
	Event int  // index of the event in the input
	Copy  bool // whether the event was sent before
}

// A Plan is what is sent, in order, and what a reader of the result must know of
// it. It is never changed after NewPlan and safe for concurrent use.
type Plan struct {
	Deliveries []Delivery
	Lost       []int // events withheld, ascending
	Duplicates []int // events delivered twice, ascending
}

// Random streams of the draws; their numbers are part of what a seed means.
const (
	streamOrder = iota + 1
	streamLoss
	streamDuplicates
)

// NewPlan draws the plan for so many events. It fails when an option is out of range.
func NewPlan(events int, o Options) (*Plan, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	order := shuffled(events, o.Shuffle, stream(o.Seed, streamOrder))
	lost := choose(events, o.LosePercent, stream(o.Seed, streamLoss))
	order = slices.DeleteFunc(order, func(event int) bool {
		_, found := slices.BinarySearch(lost, event)
		return found
	})
	deliveries, duplicates := withCopies(order, o.DuplicatePercent, stream(o.Seed, streamDuplicates))
	return &Plan{Deliveries: deliveries, Lost: lost, Duplicates: duplicates}, nil
}

func stream(seed, number uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, number)) }

// shuffled returns 0 to n-1 with each consecutive window permuted.
func shuffled(n, window int, rng *rand.Rand) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if window < 2 {
		return order
	}
	for w := range slices.Chunk(order, window) {
		rng.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
	}
	return order
}

// choose draws the given share of 0 to n-1 without repetition, ascending.
func choose(n int, percent float64, rng *rand.Rand) []int {
	count := int(math.Floor(float64(n)*percent/100 + 0.5))
	chosen := rng.Perm(n)[:count]
	slices.Sort(chosen)
	return chosen
}

// withCopies turns an order into deliveries and sends a share of it again later.
func withCopies(order []int, percent float64, rng *rand.Rand) (deliveries []Delivery, duplicates []int) {
	places := choose(len(order), percent, rng)
	behind := make(map[int][]int, len(places)) // events to send again behind a place
	duplicates = make([]int, 0, len(places))
	for _, first := range places {
		later := first + rng.IntN(len(order)-first)
		behind[later] = append(behind[later], order[first])
		duplicates = append(duplicates, order[first])
	}
	slices.Sort(duplicates)

	deliveries = make([]Delivery, 0, len(order)+len(places))
	for place, event := range order {
		deliveries = append(deliveries, Delivery{Event: event})
		for _, again := range behind[place] {
			deliveries = append(deliveries, Delivery{Event: again, Copy: true})
		}
	}
	return deliveries, duplicates
}
