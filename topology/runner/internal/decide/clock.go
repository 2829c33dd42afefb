package decide

// maxMarks bounds the marks of a source that are not reached yet. Beyond it every
// second one is forgotten: the clock advances in larger steps then, never too far.
const maxMarks = 128

// A Clock is the clock of one task, in milliseconds since the Unix epoch. It
// advances to a wall time only when the task has read everything that its source
// partitions held then. NewClock makes one; it is not safe for concurrent use.
type Clock struct {
	now     int64
	lag     int64 // how far it stays behind what it has reached, so that a jump ends no wait
	started bool  // every source has reached something
	sources []sourceClock
}

// sourceClock is what a Clock knows of one source partition.
type sourceClock struct {
	position int64
	marks    []mark // not reached, ends ascending
	reached  int64  // everything held at that wall time was read
	some     bool   // reached is known

	blocked bool
	since   int64 // wall time of blocking
	base    int64 // reached then
}

// mark says that the partition ended at end when it was the wall time at.
type mark struct{ at, end int64 }

// NewClock returns a clock that stands at start, for a task that reads on from the
// positions.
func NewClock(start int64, positions []int64) Clock {
	c := Clock{now: start, sources: make([]sourceClock, len(positions))}
	for i, p := range positions {
		c.sources[i].position = p
	}
	return c
}

// Now returns the time.
func (c *Clock) Now() int64 { return c.now }

// Mark says that a request sent at the wall time at was answered with an end of the
// partition: nothing behind it was there at that time.
func (c *Clock) Mark(source int, at, end int64) {
	s := &c.sources[source]
	if end <= s.position {
		s.reach(at)
		s.marks = s.marks[:0]
		return
	}
	if n := len(s.marks); n > 0 {
		last := &s.marks[n-1]
		if end <= last.end { // an end that went back is no end
			last.at = max(last.at, at)
			return
		}
	}
	if len(s.marks) == maxMarks {
		for i := range maxMarks / 2 {
			s.marks[i] = s.marks[2*i+1]
		}
		s.marks = s.marks[:maxMarks/2]
	}
	s.marks = append(s.marks, mark{at, end})
}

// Read says that the task has consumed everything before the position.
func (c *Clock) Read(source int, position int64) {
	s := &c.sources[source]
	s.position = position
	n := 0
	for n < len(s.marks) && s.marks[n].end <= position {
		s.reach(s.marks[n].at)
		n++
	}
	s.marks = append(s.marks[:0], s.marks[n:]...)
}

func (s *sourceClock) reach(at int64) {
	s.reached, s.some = max(s.reached, at), true
}

// Block says that the next record of the source cannot be consumed until something
// else happens in the task, which may be a timer: from now on time passes for the
// source although it is not read.
func (c *Clock) Block(source int, wall int64) {
	s := &c.sources[source]
	if s.blocked {
		return
	}
	s.blocked, s.since, s.base = true, wall, wall
	if s.some {
		s.base = min(s.reached, wall)
	}
}

// Unblock ends Block.
func (c *Clock) Unblock(source int, wall int64) {
	s := &c.sources[source]
	if !s.blocked {
		return
	}
	s.reach(s.upTo(wall))
	s.blocked = false
}

func (s *sourceClock) upTo(wall int64) int64 {
	if s.blocked {
		return max(s.reached, s.base+max(0, wall-s.since))
	}
	return s.reached
}

// Advance moves the clock as far as it may go at a wall time and returns it. due is
// when the task's earliest timer fires, if armed.
func (c *Clock) Advance(wall, due int64, armed bool) int64 {
	to := wall
	for i := range c.sources {
		s := &c.sources[i]
		if !s.some && !s.blocked {
			return c.now
		}
		to = min(to, s.upTo(wall))
	}
	if !c.started {
		c.started = true
		c.lag = max(0, to-c.now)
	}
	if !armed || due > to {
		c.lag = 0
	}
	c.now = max(c.now, to-c.lag)
	return c.now
}
