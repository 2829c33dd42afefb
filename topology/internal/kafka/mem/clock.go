package mem

import "time"

// A Clock tells the time and wakes who waits.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// machineClock is the machine's clock.
type machineClock struct{}

func (machineClock) Now() time.Time {
	return time.Now()
}

func (machineClock) After(d time.Duration) <-chan time.Time {
	return time.After(d)
}
