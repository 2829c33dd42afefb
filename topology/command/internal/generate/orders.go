package generate

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

// An Order is one event of an order.
type Order struct {
	OrderID string `json:"order_id"`
	Seq     int    `json:"seq"`      // per order, from 1
	EventID string `json:"event_id"` // unique
	Type    string `json:"type"`     // created, viewed, paid, shipped or cancelled
	Amount  int    `json:"amount"`   // cents: the order's when created, what is received when paid, given back when cancelled; else 0
	At      string `json:"at"`       // event time, RFC 3339 with milliseconds
	Last    bool   `json:"last"`     // nothing follows for this order
}

// Orders returns the events of a shop's orders. Most are created, looked at, paid
// and shipped; one in six is cancelled, before or after it was paid. It fails when an option is
// out of range. The result may be iterated more than once.
func Orders(o Options) (iter.Seq[Order], error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return func(yield func(Order) bool) {
		lives := make(map[int]*orderLife)
		of := lengths(o, func(rng *rand.Rand) int { return 3 + int(rng.ExpFloat64()*3) })
		life := func(entity int) *orderLife {
			if lives[entity] == nil {
				lives[entity] = newOrderLife(stream(o.Seed, uint64(entity)), of[entity])
			}
			return lives[entity]
		}
		number := 0
		for m := range interleave(o, of, 40*time.Second, func(entity, number int) time.Duration { return life(entity).wait(number) }) {
			number++
			e := Order{
				OrderID: fmt.Sprintf("order-%06d", m.entity+1),
				Seq:     m.number,
				EventID: fmt.Sprintf("order-event-%07d", number),
				At:      timestamp(o.Start.Add(m.at)),
				Last:    m.last,
			}
			e.Type, e.Amount = life(m.entity).step(m.number)
			if m.last {
				delete(lives, m.entity)
			}
			if !yield(e) {
				return
			}
		}
	}, nil
}

// An orderLife is what one order goes through.
type orderLife struct {
	rng       *rand.Rand
	length    int
	amount    int
	paid      int // number of the event that pays; 0 when none does
	cancelled bool
}

func newOrderLife(rng *rand.Rand, length int) *orderLife {
	l := &orderLife{rng: rng, length: length, amount: 500 + rng.IntN(50_000)}
	l.cancelled = rng.IntN(6) == 0
	if length >= 3 && (!l.cancelled || rng.IntN(3) == 0) {
		l.paid = 2 + rng.IntN(length-2)
	}
	if length == 2 { // too short to be paid and shipped
		l.cancelled = true
	}
	return l
}

// step returns what the event with the number is.
func (l *orderLife) step(number int) (kind string, amount int) {
	switch {
	case number == 1:
		return "created", l.amount
	case number == l.paid:
		return "paid", l.amount
	case number == l.length && l.cancelled && l.paid > 0:
		return "cancelled", l.amount
	case number == l.length && l.cancelled:
		return "cancelled", 0
	case number == l.length:
		return "shipped", 0
	}
	return "viewed", 0
}

// wait draws the time between the event with the number and the next one.
func (l *orderLife) wait(number int) time.Duration {
	if number == l.length-1 && !l.cancelled {
		return exponential(l.rng, 8*time.Hour)
	}
	return exponential(l.rng, 4*time.Minute)
}

// timestamp writes a time in a form that sorts as text.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
