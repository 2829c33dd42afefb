package task

import (
	"encoding/binary"
	"fmt"

	"github.com/streamrun/streamrun/policies"
)

const journalFormat = 1

// journalMax is the size from which a commit's journal is continued in another
// record of the same transaction.
const journalMax = 512 << 10

// StepKind says what a step of a task was about.
type StepKind uint8

// Kinds of steps. The numbers are part of the journal's format.
const (
	StepRecords StepKind = 1 // records of the source partitions
	StepMore    StepKind = 2 // what an earlier step left
	StepTick    StepKind = 3 // time passed
	StepOpen    StepKind = 4 // the task began anew from its rows: a start, an assignment, an aborted transaction
	StepCommand StepKind = 5 // an operator's command
	StepRewind  StepKind = 6 // committed offsets were moved back from outside, or to a place of which nothing else is known
	StepJump    StepKind = 7 // committed offsets were moved forward from outside: what lay between was skipped
	StepSkip    StepKind = 8 // a batch that cannot be decoded was passed over, as the source's policy says
)

// moves reports whether steps of the kind change positions without reading.
func (k StepKind) moves() bool { return k >= StepRewind && k <= StepSkip }

// A Slice is the part of one source partition that a step consumed: the offsets
// From to To, To not included. In a rewind, a jump or a skip it is where the source
// stood and where it goes on; in a rewind both are the same where nobody knows any
// more where it stood.
type Slice struct {
	Source   int // index in Plan.Sources
	From, To int64
}

// A Fact is what a replay cannot compute anew: the handler of the record failed
// retryably in that attempt.
type Fact struct {
	Source  int
	Offset  int64
	Attempt int
	Node    string // that failed
}

// A JournalStep is one step as the journal has it.
type JournalStep struct {
	Kind   StepKind
	Clock  int64
	Wall   int64 // at least Clock
	Budget int
	Slices []Slice
	Entity string // of StepCommand
	Word   string // of StepCommand: what the operator said
	Facts  []Fact
}

// A JournalSource is a source partition of the task as a commit left it. A source
// that the last commit does not have is new.
type JournalSource struct {
	Topic  string
	Offset int64           // committed
	Counts policies.Counts // totals
}

// A JournalRecord is what one commit of a task consumed and decided, or the
// continuation of one.
type JournalRecord struct {
	Commit    int64
	Plan      uint64 // hash
	Continued bool   // another record of the same commit follows
	Steps     []JournalStep
	// Where Continued, the following stand in the last record of the commit.
	StreamTime int64
	Sources    []JournalSource // in the order of Plan.Sources
}

// Source returns what the record says of the partition of a topic, or nil. A nil
// record says nothing.
func (j *JournalRecord) Source(topic string) *JournalSource {
	if j == nil {
		return nil
	}
	for i := range j.Sources {
		if j.Sources[i].Topic == topic {
			return &j.Sources[i]
		}
	}
	return nil
}

// Append appends the bytes of the record.
func (j *JournalRecord) Append(b []byte) []byte {
	b = append(b, journalFormat)
	b = binary.AppendVarint(b, j.Commit)
	b = binary.BigEndian.AppendUint64(b, j.Plan)
	b = append(b, flag(j.Continued))
	b = binary.AppendUvarint(b, uint64(len(j.Steps)))
	for i := range j.Steps {
		b = j.Steps[i].append(b)
	}
	b = binary.AppendVarint(b, j.StreamTime)
	b = binary.AppendUvarint(b, uint64(len(j.Sources)))
	for i := range j.Sources {
		s := &j.Sources[i]
		b = appendString(b, s.Topic)
		b = binary.AppendVarint(b, s.Offset)
		b = appendCounts(b, &s.Counts)
	}
	return b
}

func (s *JournalStep) append(b []byte) []byte {
	b = append(b, byte(s.Kind))
	b = binary.AppendVarint(b, s.Clock)
	b = binary.AppendUvarint(b, uint64(s.Wall-s.Clock))
	b = binary.AppendUvarint(b, uint64(s.Budget))
	b = binary.AppendUvarint(b, uint64(len(s.Slices)))
	for _, sl := range s.Slices {
		b = binary.AppendUvarint(b, uint64(sl.Source))
		b = binary.AppendVarint(b, sl.From)
		b = binary.AppendVarint(b, sl.To)
	}
	if s.Kind == StepCommand {
		b = appendString(b, s.Entity)
		b = appendString(b, s.Word)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Facts)))
	for _, f := range s.Facts {
		b = binary.AppendUvarint(b, uint64(f.Source))
		b = binary.AppendVarint(b, f.Offset)
		b = binary.AppendUvarint(b, uint64(f.Attempt))
		b = appendString(b, f.Node)
	}
	return b
}

// DecodeJournal reads a journal record.
func DecodeJournal(b []byte) (JournalRecord, error) {
	r := reader{b: b}
	if f := r.byte(); r.err == nil && f != journalFormat {
		return JournalRecord{}, fmt.Errorf("task: journal record: unknown format %d", f)
	}
	var j JournalRecord
	j.Commit = r.varint()
	if r.err == nil && len(r.b) >= 8 {
		j.Plan = binary.BigEndian.Uint64(r.b)
		r.b = r.b[8:]
	} else {
		r.fail(errCut.Error())
	}
	j.Continued = r.flag()
	if n := r.length(6); n > 0 {
		j.Steps = make([]JournalStep, 0, n)
		for range n {
			j.Steps = append(j.Steps, r.step())
		}
	}
	j.StreamTime = r.varint()
	if n := r.length(3); n > 0 {
		j.Sources = make([]JournalSource, n)
		for i := range j.Sources {
			s := &j.Sources[i]
			s.Topic, s.Offset = string(r.bytes()), r.varint()
			r.counts(&s.Counts)
		}
	}
	if err := r.end(); err != nil {
		return JournalRecord{}, fmt.Errorf("task: journal record: %w", err)
	}
	return j, nil
}

func (r *reader) step() (s JournalStep) {
	s.Kind = StepKind(r.byte())
	if r.err == nil && (s.Kind < StepRecords || s.Kind > StepSkip) {
		r.fail(fmt.Sprintf("unknown kind of step %d", s.Kind))
	}
	s.Clock = r.varint()
	s.Wall = s.Clock + int64(r.uvarint())
	if s.Wall < s.Clock {
		r.fail("a wall clock behind the task clock")
	}
	s.Budget = r.int()
	for range r.length(3) {
		s.Slices = append(s.Slices, Slice{r.int(), r.varint(), r.varint()})
	}
	if s.Kind == StepCommand {
		s.Entity, s.Word = string(r.bytes()), string(r.bytes())
	}
	for range r.length(4) {
		s.Facts = append(s.Facts, Fact{r.int(), r.varint(), r.int(), string(r.bytes())})
	}
	return s
}

func (r *reader) int() int {
	n := r.uvarint()
	if n > 1<<31 {
		r.fail("a number out of range")
		return 0
	}
	return int(n)
}

func (r *reader) flag() bool {
	b := r.byte()
	if b > 1 {
		r.fail("a flag that is neither 0 nor 1")
	}
	return b == 1
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
