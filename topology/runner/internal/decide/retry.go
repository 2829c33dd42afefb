package decide

import "time"

// A Retry says when to try again after failures in a row. The zero value has seen
// none.
type Retry struct {
	since time.Time // of the first failure
	wait  time.Duration
}

const (
	firstWait = 50 * time.Millisecond
	maxWait   = 5 * time.Second
)

// Failed notes a failure and returns when to try again, or gives up when failures
// in a row have gone on for longer than patience.
func (r *Retry) Failed(now time.Time, patience time.Duration) (again time.Time, giveUp bool) {
	if r.wait == 0 {
		r.since = now
	}
	r.wait = min(max(2*r.wait, firstWait), maxWait)
	return now.Add(r.wait), now.Sub(r.since) > patience
}

// Succeeded ends the row.
func (r *Retry) Succeeded() { *r = Retry{} }
