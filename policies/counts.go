package policies

// Counts are the dispositions of the deliveries of one source partition. They
// add up at every commit: see Balanced. The zero value is "nothing delivered".
type Counts struct {
	Delivered      int64 // records consumed
	Applied        int64 // in order, ahead or late as a correction
	Duplicate      int64 // R3, R7
	DuplicateOfDLQ int64 // R4
	Superseded     int64 // R14
	LateDropped    int64 // R8, R17
	DeadLettered   int64 // letters not resolved
	Compensated    int64 // R8
	Absorbed       int64 // R8
	Fenced         int64 // R1
	Held           int64 // waiting for an earlier or a causing event
	Retrying       int64 // in local retry, or waiting for a look
	ResolvedAgain  int64 // second deliveries that resolved a letter (R4)
	Lost           int64 // volatile ones that a restart forgot; they are delivered again

	VersionBackward int64 // a mark on applied ones: their version was below the greatest

	// Skipped are offsets that were passed over and not delivered: by an accepted jump,
	// or with a batch that cannot be decoded. What stood there is not known: control
	// records and aborted ones count too.
	Skipped int64
}

// Balanced reports whether every delivery has exactly one disposition.
func (c Counts) Balanced() bool {
	return c.Delivered == c.Applied+c.Duplicate+c.DuplicateOfDLQ+c.Superseded+c.LateDropped+c.DeadLettered+
		c.Compensated+c.Absorbed+c.Fenced+c.Held+c.Retrying+c.ResolvedAgain+c.Lost
}

// Add returns the sum of two counts.
func (c Counts) Add(d Counts) Counts {
	c.Delivered += d.Delivered
	c.Applied += d.Applied
	c.Duplicate += d.Duplicate
	c.DuplicateOfDLQ += d.DuplicateOfDLQ
	c.Superseded += d.Superseded
	c.LateDropped += d.LateDropped
	c.DeadLettered += d.DeadLettered
	c.Compensated += d.Compensated
	c.Absorbed += d.Absorbed
	c.Fenced += d.Fenced
	c.Held += d.Held
	c.Retrying += d.Retrying
	c.ResolvedAgain += d.ResolvedAgain
	c.Lost += d.Lost
	c.VersionBackward += d.VersionBackward
	c.Skipped += d.Skipped
	return c
}
