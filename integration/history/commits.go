package history

// A writer is a producer in one of its lives.
type writer struct {
	id    int64
	epoch int16
}

// position is where the commits of a task have come to.
type position struct {
	commit int64
	input  int64 // offset behind what is consumed
	behind int64 // offset behind the last journal record
	counts Counts
}

// journal walks through the commits: each follows the one before it, and its
// dispositions are as many as the records that are consumed.
func (j *judge) journal() position {
	l, in := &j.logs.Journal, &j.logs.Input
	at := position{input: in.Start}
	consumed, clock, plan, continued := 0, int64(0), uint64(0), false
	epochs, writers := map[int64]int16{}, map[writer]bool{}
	for i, r := range l.Records {
		rec, err := parseJournal(r.Value)
		if err != nil {
			j.differ("journal", "%s: %v", l.at(r.Offset), err)
			continue
		}
		if i > 0 && rec.plan != plan {
			j.differ("journal", "%s: plan %x, after %x", l.at(r.Offset), rec.plan, plan)
		}
		if want := at.commit + 1; !continued && rec.commit != want || continued && rec.commit != at.commit {
			j.differ("commit", "%s: commit %d after %d, of producer %d epoch %d", l.at(r.Offset), rec.commit, at.commit, r.ProducerID, r.Epoch)
		}
		if r.Epoch < epochs[r.ProducerID] {
			j.differ("fence", "%s: producer %d writes in epoch %d, after %d", l.at(r.Offset), r.ProducerID, r.Epoch, epochs[r.ProducerID])
		}
		epochs[r.ProducerID], writers[writer{r.ProducerID, r.Epoch}] = r.Epoch, true
		at.commit, plan, continued, at.behind = rec.commit, rec.plan, rec.continued, r.Offset+1
		for _, s := range rec.steps {
			if s.kind != openStep { // which has no time of its own
				if s.clock < clock {
					j.differ("clock", "%s: a step at %d, after one at %d", l.at(r.Offset), s.clock, clock)
				}
				clock = s.clock
			}
			for _, part := range s.slices {
				if s.kind >= rewindStep {
					j.differ("moved", "%s: commit %d goes on at %s, not at %d", l.at(r.Offset), rec.commit, in.at(part.to), part.from)
					at.input = part.to
					continue
				}
				if part.from != at.input || part.to <= part.from || part.source != 0 {
					j.differ("consumed", "%s: commit %d consumes %s to %d of source %d; %d is next",
						l.at(r.Offset), rec.commit, in.at(part.from), part.to, part.source, at.input)
				}
				at.input = part.to
			}
		}
		if rec.continued {
			continue
		}
		for consumed < len(in.Records) && in.Records[consumed].Offset < at.input {
			consumed++
		}
		if len(rec.sources) != 1 || rec.sources[0].topic != in.Topic {
			j.differ("journal", "%s: of the sources %v, there is only %s", l.at(r.Offset), rec.sources, in.Topic)
			continue
		}
		end := &rec.sources[0]
		if end.offset != at.input {
			j.differ("journal", "%s: %s is consumed, the commit says %d", l.at(r.Offset), in.at(at.input), end.offset)
		}
		j.addUp(l.at(r.Offset), &end.counts, &at.counts, int64(consumed))
		at.counts = end.counts
	}
	if continued {
		j.differ("journal", "%s-%d: commit %d is not whole", l.Topic, l.Partition, at.commit)
	}
	j.v.Commits, j.v.Writers = at.commit, len(writers)
	return at
}

// addUp judges the dispositions of a commit.
func (j *judge) addUp(place string, now, before *Counts, consumed int64) {
	if !now.balanced() {
		j.differ("counts", "%s: the dispositions do not add up to the %d delivered: %v", place, now[delivered], *now)
	}
	if now[delivered] != consumed {
		j.differ("counts", "%s: %d delivered, %d are consumed", place, now[delivered], consumed)
	}
	for _, i := range []int{applied, duplicate, deadLettered} {
		if now[i] < before[i] {
			j.differ("counts", "%s: counter %d is %d, after %d", place, i, now[i], before[i])
		}
	}
}

// committed judges the committed offset, and what is counted at the end.
func (j *judge) committed(last position) {
	in := &j.logs.Input
	place := in.at(j.logs.Committed.Offset)
	if j.logs.Committed.Offset < 0 {
		if len(in.Records) > 0 {
			j.differ("offset", "none is committed for %s-%d", in.Topic, in.Partition)
		}
		return
	}
	m, err := ParseMetadata(j.logs.Committed.Metadata)
	if err != nil {
		j.differ("offset", "%s: %v", place, err)
		return
	}
	if j.logs.Committed.Offset != last.input {
		j.differ("offset", "%s is committed, the last commit ended at %d", place, last.input)
	}
	if n := len(in.Records); n > 0 && j.logs.Committed.Offset <= in.Records[n-1].Offset {
		j.differ("offset", "%s is committed, the last record is at %d", place, in.Records[n-1].Offset)
	}
	if m.Commit != last.commit || m.Journal != last.behind {
		j.differ("offset", "%s names commit %d and journal %d, the journal has commit %d before %d", place, m.Commit, m.Journal, last.commit, last.behind)
	}
	if m.Counts != last.counts {
		j.differ("counts", "%s has %v, the journal %v", place, m.Counts, last.counts)
	}
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"applied", m.Counts[applied], int64(j.v.Events)},
		{"applied as the topic has them", m.Counts[applied], int64(len(j.logs.Applied.Records))},
		{"duplicate", m.Counts[duplicate], int64(j.v.Copies)},
		{"dead-lettered", m.Counts[deadLettered], int64(len(j.logs.Letters.Records))},
		{"held", m.Counts.Held(), 0},
	} {
		if c.got != c.want {
			j.differ("counts", "%s: %d are %s, it should be %d", place, c.got, c.name, c.want)
		}
	}
}
