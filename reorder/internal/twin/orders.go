package twin

import (
	"math"

	"github.com/streamrun/streamrun/policies"
)

// placeVersion is R14: the greatest (version, event time, id) wins.
func (t *Twin) placeVersion(e *entity, n int) {
	d := t.deliveries[n]
	switch {
	case len(e.retries) > 0:
		t.hold(e, n, true, 13, "its entity is in local retry")
	case newer(&d.Event, e.winner):
		t.try(e, n, unsequenced)
	default:
		t.end(n, policies.Dropped, 14, policies.ReasonSuperseded, "version %d is not above the winner's %d", d.Version, e.winner.Version)
		t.remember(e, n)
	}
}

// placeTime is R17 up to the release.
func (t *Twin) placeTime(e *entity, n int) {
	d := t.deliveries[n]
	if minus(d.EventTime, t.now) > t.c.MaxFuture.Milliseconds() {
		if t.fault == futureMovesWatermark {
			t.marks[d.Partition] = minus(d.EventTime, t.c.Slack.Milliseconds())
		}
		t.letter(e, n, 17, policies.ReasonFutureTimestamp, false, "its event time %d is too far ahead of %d", d.EventTime, t.now)
		return
	}
	if d.EventTime <= t.watermark(d.Partition) {
		t.late(e, n, 17)
		return
	}
	mark := max(t.watermark(d.Partition), minus(d.EventTime, t.c.Slack.Milliseconds()))
	stay := 0 // how many would be held once the watermark has moved
	for _, h := range e.held {
		if o := t.deliveries[h.n]; len(e.retries) > 0 || o.Partition != d.Partition || o.EventTime > mark {
			stay++
		}
	}
	if (len(e.retries) > 0 || d.EventTime > mark) && stay >= t.c.MaxHeld {
		t.overflow(e, n)
		return
	}
	e.held = append(e.held, hold{n: n})
	t.end(n, policies.Held, 17, "", "its event time %d is above the watermark", d.EventTime)
	t.fates[n].buffered = t.c.Buffer == policies.BufferDurable
	t.marks[d.Partition] = mark
}

func (t *Twin) watermark(partition int) int64 {
	if mark, known := t.marks[partition]; known {
		return mark
	}
	if t.flushed {
		return math.MaxInt64
	}
	return math.MinInt64
}

// release applies what the watermarks have passed, in the order of event time,
// across entities. An entity in local retry keeps its events.
func (t *Twin) release() {
	if t.c.OrderBy != policies.ByEventTime {
		return
	}
	for {
		var first *delivery
		for _, e := range t.entities {
			for _, h := range e.held {
				d := t.deliveries[h.n]
				if len(e.retries) == 0 && d.EventTime <= t.watermark(d.Partition) && (first == nil || byTime(d, first) < 0) {
					first = d
				}
			}
		}
		if first == nil {
			return
		}
		if _, ok := t.unit(func() {
			e := t.entities[first.Entity]
			t.unhold(e, first.n)
			t.try(e, first.n, unsequenced)
		}); !ok {
			return
		}
	}
}
