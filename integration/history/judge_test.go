package history

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// The app of these tests keeps the values of an entity, one after the other. A value
// begins with its number, of one digit.
func testApp() *App {
	return &App{
		MaxHeld: 2,
		Sequence: func(v []byte) (int64, error) {
			if len(v) == 0 {
				return 0, fmt.Errorf("no number")
			}
			return int64(v[0] - '0'), nil
		},
		Next: func(state, v []byte) []byte { return append(append([]byte{}, state...), v...) },
	}
}

func logOf(topic string, offsets int, records ...Record) Log {
	l := Log{Topic: topic, Partition: 4, Records: records}
	for i := range l.Records {
		l.Records[i].Offset = int64(i * offsets)
		l.End = l.Records[i].Offset + 1
	}
	return l
}

func kv(key, value string) Record { return Record{Key: []byte(key), Value: []byte(value)} }

func standing(key, value string, sequence int) Record {
	r := kv(key, value)
	r.Order = fmt.Appendf(nil, "0/%d/0", sequence)
	return r
}

// counts of so many delivered, applied and duplicate ones; the others wait.
func countsOf(d, a, dup int64) (c Counts) {
	c[delivered], c[applied], c[duplicate], c[held] = d, a, dup, d-a-dup
	return c
}

func appendCounts(b []byte, c Counts) []byte {
	b = binary.AppendUvarint(b, uint64(len(c)))
	for _, n := range c {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// commit makes a journal record that consumes from from to to.
func commit(number, clock, from, to int64, c Counts) Record {
	return commitOf(1, number, clock, from, to, to, c)
}

// commitOf is commit with a step of another kind, and another committed offset.
func commitOf(kind byte, number, clock, from, to, offset int64, c Counts) Record {
	b := binary.AppendVarint([]byte{1}, number)
	b = append(b, "planhash"...)
	b = append(b, 0, 1, kind) // whole, one step
	b = binary.AppendVarint(b, clock)
	b = append(b, 0, 0, 1, 0) // wall, budget, one slice of source 0
	b = binary.AppendVarint(b, from)
	b = binary.AppendVarint(b, to)
	b = append(b, 0, 0, 1, 2, 'i', 'n') // no fact, no stream time, one source
	b = binary.AppendVarint(b, offset)
	return Record{Value: appendCounts(b, c), ProducerID: 7, Epoch: int16(number)}
}

func committed(offset, commit, journal int64, c Counts) Committed {
	b := []byte{1}
	for _, v := range []int64{commit, 7, commit, 0, 0, journal} {
		b = binary.AppendVarint(b, v)
	}
	return Committed{offset, base64.RawStdEncoding.EncodeToString(appendCounts(b, c))}
}

func heldKey(entity string, number byte) string {
	return string([]byte{heldRow, byte(len(entity))}) + entity + strings.Repeat("\x00", 15) + string(rune(number))
}

func row(entity string, last byte) Record {
	return kv(string(rune(entityRow))+entity, string([]byte{1, 0, last}))
}

// sound is a partition in which everything is as it should be: A has three events,
// one of them twice and the last two swapped; B has one.
func sound() *Logs {
	gone := Record{Key: []byte(heldKey("A", 3))}
	return &Logs{
		Input:     logOf("in", 1, kv("A", "1a"), kv("A", "3c"), kv("B", "1x"), kv("A", "1a"), kv("A", "2b")),
		Applied:   logOf("out", 2, kv("A", "1a"), kv("B", "1x"), kv("A", "2b"), kv("A", "3c")),
		Changelog: logOf("log", 2, standing("A", "1a", 1), standing("B", "1x", 1), standing("A", "1a2b3c", 3)),
		Table:     logOf("tab", 2, standing("A", "1a", 1), standing("B", "1x", 1), standing("A", "1a2b3c", 3)),
		Order:     logOf("ord", 2, kv(heldKey("A", 3), "held"), row("A", 1), row("B", 1), gone, row("A", 3)),
		Journal:   logOf("jou", 2, commit(1, 10, 0, 3, countsOf(3, 2, 0)), commit(2, 20, 3, 5, countsOf(5, 4, 1))),
		Letters:   logOf("dlq", 1),
		Committed: committed(5, 2, 3, countsOf(5, 4, 1)),
	}
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	v := Judge(testApp(), 4, sound())
	if len(v.Differences) > 0 || !v.InOrder {
		t.Errorf("differences: %q, in order: %v", v.Differences, v.InOrder)
	}
	if v.Entities != 2 || v.Events != 4 || v.Copies != 1 || v.Commits != 2 || v.Writers != 2 || v.MaxHeld != 1 {
		t.Errorf("entities, events, copies, commits, writers, held: %+v", v)
	}
	if v.Want == 0 || v.Applied != v.Want || v.Store != v.Want || v.Table != v.Want {
		t.Errorf("digests: %x %x %x %x", v.Want, v.Applied, v.Store, v.Table)
	}
	if r := (Report{[]Verdict{v}}); !r.OK() || !strings.Contains(r.String(), "yes") {
		t.Errorf("the report is not OK:\n%s", r)
	}
}

// Every fault that an engine could have is found, and its place is told.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		plant func(l *Logs)
		want  string // the beginning of a difference
	}{
		{"an event is applied twice", func(l *Logs) {
			l.Applied = logOf("out", 2, kv("A", "1a"), kv("A", "1a"), kv("B", "1x"), kv("A", "2b"), kv("A", "3c"))
		}, "twice: out-4@2: event 1 of A, after 1"},
		{"two are swapped", func(l *Logs) { l.Applied = logOf("out", 2, kv("A", "1a"), kv("B", "1x"), kv("A", "3c"), kv("A", "2b")) }, "order: out-4@4: event 3 of A, 2 is next"},
		{"one is not applied", func(l *Logs) { l.Applied = logOf("out", 2, kv("A", "1a"), kv("B", "1x"), kv("A", "2b")) }, `state: out-4 says "1a2b" of A, the inputs give "1a2b3c"`},
		{"one is applied with other bytes", func(l *Logs) { l.Applied.Records[1].Value = []byte("1y") }, `applied: out-4@2: event 1 of B is "1y"`},
		{"one comes from nowhere", func(l *Logs) { l.Applied.Records[1].Key = []byte("C") }, "applied: out-4@2: event 1 of C was never an input"},
		{"the state lacks an event", func(l *Logs) { l.Changelog.Records[2].Value = []byte("1a3c") }, `state: log-4 says "1a3c" of A`},
		{"the table lags", func(l *Logs) { l.Table.Records = l.Table.Records[:2] }, "state: tab-4 says that A stands at 1, the inputs go to 3"},
		{"the state goes back", func(l *Logs) {
			l.Changelog = logOf("log", 2, standing("A", "1a2b3c", 3), standing("B", "1x", 1), standing("A", "1a2b3c", 3))
		}, "back: log-4@4: A stands at 3, after 3"},
		{"an entity's state is missing", func(l *Logs) { l.Table = logOf("tab", 1, standing("A", "1a2b3c", 3)) }, "state: tab-4 has nothing of B"},
		{"the order row lags", func(l *Logs) { l.Order.Records = l.Order.Records[:4] }, "order row: ord-4: A is at 1, the inputs go to 3"},
		{"the order row goes back", func(l *Logs) { l.Order = logOf("ord", 1, row("A", 3), row("A", 1), row("B", 1), row("A", 3)) }, "back: ord-4@1: A is at 1, after 3"},
		{"an event waits for ever", func(l *Logs) { l.Order.Records[3].Value = []byte("held") }, "held: ord-4: 1 events of A wait"},
		{"too many wait", func(l *Logs) {
			l.Order.Records = append([]Record{kv(heldKey("A", 4), "h"), kv(heldKey("A", 5), "h")}, l.Order.Records...)
		}, "bound: ord-4: an entity had 3 held events, 2 are allowed"},
		{"a commit is missing", func(l *Logs) { l.Journal = logOf("jou", 2, l.Journal.Records[1]) }, "commit: jou-4@0: commit 2 after 0"},
		{"two owners commit the same", func(l *Logs) {
			l.Journal = logOf("jou", 2, l.Journal.Records[0], l.Journal.Records[1], l.Journal.Records[1])
		}, "consumed: jou-4@4: commit 2 consumes in-4@3 to 5 of source 0; 5 is next"},
		{"the offsets were moved", func(l *Logs) { l.Journal.Records[1].Value = commitOf(7, 2, 20, 3, 5, 5, countsOf(5, 4, 1)).Value }, "moved: jou-4@2: commit 2 goes on at in-4@5, not at 3"},
		{"another offset than what is consumed", func(l *Logs) { l.Journal.Records[1].Value = commitOf(1, 2, 20, 3, 5, 4, countsOf(5, 4, 1)).Value }, "journal: jou-4@2: in-4@5 is consumed, the commit says 4"},
		{"a part of the input is passed over", func(l *Logs) { l.Journal.Records[1] = commit(2, 20, 4, 5, countsOf(5, 4, 1)) }, "consumed: jou-4@0: commit 2 consumes in-4@4"},
		{"an old producer writes", func(l *Logs) { l.Journal.Records[1].Epoch = 0 }, "fence: jou-4@2: producer 7 writes in epoch 0, after 1"},
		{"time goes back", func(l *Logs) {
			l.Journal = logOf("jou", 2, l.Journal.Records[0], commit(2, 9, 3, 5, countsOf(5, 4, 1)))
		}, "clock: jou-4@2: a step at 9, after one at 10"},
		{"dispositions do not add up", func(l *Logs) {
			c := countsOf(3, 2, 0)
			c[held] = 0
			l.Journal.Records[0].Value = commit(1, 10, 0, 3, c).Value
		}, "counts: jou-4@0: the dispositions do not add up to the 3 delivered"},
		{"one is not counted", func(l *Logs) { l.Journal.Records[0].Value = commit(1, 10, 0, 3, countsOf(2, 2, 0)).Value }, "counts: jou-4@0: 2 delivered, 3 are consumed"},
		{"the offset lags", func(l *Logs) { l.Committed.Offset = 4 }, "offset: in-4@4 is committed, the last commit ended at 5"},
		{"the offset is of another commit", func(l *Logs) { l.Committed = committed(5, 1, 1, countsOf(5, 4, 1)) }, "offset: in-4@5 names commit 1 and journal 1"},
		{"no offset", func(l *Logs) { l.Committed = Committed{Offset: -1} }, "offset: none is committed for in-4"},
		{"a duplicate is counted as applied", func(l *Logs) {
			l.Journal.Records[1].Value = commit(2, 20, 3, 5, countsOf(5, 5, 0)).Value
			l.Committed = committed(5, 2, 3, countsOf(5, 5, 0))
		}, "counts: in-4@5: 5 are applied, it should be 4"},
		{"a letter that is not counted", func(l *Logs) { l.Letters = logOf("dlq", 1, kv("A", "1a")) }, "counts: in-4@5: 0 are dead-lettered, it should be 1"},
		{"two events have one number", func(l *Logs) { l.Input.Records[3].Value = []byte("1z") }, "input: in-4@3: another event 1 of A"},
		{"an event was never sent", func(l *Logs) { l.Input.Records[4].Value = []byte("4b") }, "input: in-4 has no event 2 of A"},
	} {
		logs := sound()
		c.plant(logs)
		v := Judge(testApp(), 4, logs)
		if !strings.Contains("\n"+strings.Join(v.Differences, "\n"), "\n"+c.want) {
			t.Errorf("%s: not found. What was found:\n%s", c.name, strings.Join(v.Differences, "\n"))
		}
		if (Report{[]Verdict{v}}).OK() {
			t.Errorf("%s: the report is OK", c.name)
		}
	}
}
