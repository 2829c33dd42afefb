package dev

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/record"
)

const small = `
version: 1
name: small
contract:
  events_for: k
  because: the test says so
  %s
inputs:
  events:
    topic: events
    key: event.k
    id: event.id
    sequence: event.n
    end: event.last ?? false
steps:
  - name: in_order
    from: events
    in_order: true
  - name: path
    from: in_order
    state:
      initial: {path: ""}
      update: '{"path": state.path + (event.bad ?? false ? fail() : "/" + string(event.n))}'
outputs:
  path: {from: path, kind: table, topic: path}
dlq: {topic: path-dlq}
`

func smallFile(t *testing.T, contract string) *config.File {
	t.Helper()
	text := strings.TrimSpace(fmt.Sprintf(strings.ReplaceAll(small, "fail()", `int("x")`), contract))
	f, err := config.Parse("small.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rightWorld is what an app leaves that did everything right: a has all its events
// and a repetition, b is parked behind its lost number 2, c lost its end.
func rightWorld(t *testing.T) *world {
	t.Helper()
	w := &world{file: smallFile(t, "max_wait: 1s")}
	for i, text := range []string{
		`{"k":"a","n":2,"id":"a2","last":true}`, `{"k":"a","n":1,"id":"a1"}`, `{"k":"a","n":2,"id":"a2","last":true}`,
		`{"k":"b","n":1,"id":"b1"}`, `{"k":"b","n":3,"id":"b3","last":true}`, `{"k":"c","n":1,"id":"c1"}`,
	} {
		r := record.Record{Offset: int64(10 + i), Key: []byte(text[6:7]), Value: []byte(text)}
		e, err := understand(w.file, &r)
		if err != nil {
			t.Fatal(err)
		}
		w.deliveries = append(w.deliveries, delivery{event: e, partition: 1, offset: r.Offset})
	}
	w.sent = int64(len(w.deliveries))
	w.total = policies.Counts{Delivered: 6, Applied: 4, Duplicate: 1, DeadLettered: 1}
	w.stored = map[string]*entity{
		"a": {value: []byte(`{"path":"/1/2"}`), last: 2},
		"b": {value: []byte(`{"path":"/1"}`), last: 1, parked: true},
		"c": {value: []byte(`{"path":"/1"}`), last: 1},
	}
	w.table = map[string][]byte{}
	for id, e := range w.stored {
		w.table[id] = e.value
	}
	w.letters = []letter{{Letter: policies.Letter{Topic: "events", Partition: 1, Offset: 14, Reason: policies.ReasonGapTimeout, Entity: "b", HasSequence: true, Sequence: 3}, key: []byte("b")}}
	return w
}

// addKeyless adds a record that nobody can read, with its letter.
func (w *world) addKeyless(reason policies.Reason) {
	r := record.Record{Offset: 70, Value: []byte("{")}
	e, _ := understand(w.file, &r)
	w.deliveries = append(w.deliveries, delivery{event: e, partition: 1, offset: r.Offset})
	w.letters = append(w.letters, letter{Letter: policies.Letter{Topic: "events", Partition: 1, Offset: 70, Reason: reason}})
	w.sent++
	w.total.Delivered++
	w.total.DeadLettered++
}

func TestVerifyOfARecordWithoutAKey(t *testing.T) {
	t.Parallel()
	w := rightWorld(t)
	w.addKeyless(policies.ReasonUndecodable)
	if got := verified(t, w); got != "" {
		t.Error(got)
	}
	if v, err := verify(w); err != nil || v.entities != 3 || w.keyless() != 1 || fmt.Sprint(notesOf(w, v, nil)[0]) != "{(no key) dead letters at partition 1 offset 70 (undecodable)}" {
		t.Errorf("%v, %d entities, %d without a key, notes %v", err, v.entities, w.keyless(), notesOf(w, v, nil))
	}
}

// verified returns the answers of the checks that are not as they should be.
func verified(t *testing.T, w *world) string {
	t.Helper()
	v, err := verify(w)
	if err != nil {
		t.Fatal(err)
	}
	var no []string
	for _, c := range v.checks {
		if !c.OK {
			no = append(no, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(no, "\n")
}

func TestVerifyAcceptsWhatIsRight(t *testing.T) {
	t.Parallel()
	w := rightWorld(t)
	if got := verified(t, w); got != "" {
		t.Fatal(got)
	}
	v, err := verify(w)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range notesOf(w, v, nil) {
		got = append(got, n.Entity+": "+n.Text)
	}
	want := []string{
		"b: parked; never delivered 2; dead letters 3 (gap_timeout)",
		"c: without its end: the last event delivered is number 1",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("notes %q, want %q", got, want)
	}
}

// Every fault is seen by the check that is there for it.
func TestVerifySeesEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(*world)
		want  []string // parts of the answers, one for each check that says no
	}{
		{"a state that was folded out of order", func(w *world) {
			w.stored["a"].value = []byte(`{"path":"/2/1"}`)
			w.table["a"] = w.stored["a"].value
		}, []string{`in-order fold: a is {"path":"/2/1"}, in order it is {"path":"/1/2"}`}},
		{"an event applied twice", func(w *world) {
			w.stored["a"].value = []byte(`{"path":"/1/2/2"}`)
			w.table["a"] = w.stored["a"].value
			w.total.Applied, w.total.Duplicate = 5, 0
		}, []string{"in-order fold: a is", "counts: applied: 5, must be 4"}},
		{"a table that lags behind", func(w *world) { w.table["a"] = []byte(`{"path":"/1"}`) }, []string{"table read back read_committed: a is"}},
		{"a row that is missing in the table", func(w *world) { delete(w.table, "c") }, []string{"c is absent in the table"}},
		{"a row too many", func(w *world) { w.table["x"] = []byte("1") }, []string{"x is in the table, but has no state"}},
		{"a state from nowhere", func(w *world) {
			w.stored["x"] = &entity{value: []byte("1")}
			w.table["x"] = []byte("1")
		}, []string{"x has a state, but no event of it was delivered"}},
		{"another second fold, where another one means nothing", func(w *world) { w.refold, w.replanned = "row x", "plan" }, []string{"folded again from inputs and journal: row x"}},
		{"another second fold", func(w *world) { w.refold = "row x" }, []string{"folded again from inputs and journal: row x"}},
		{"counts that do not add up", func(w *world) { w.total.Delivered++ }, []string{"they do not add up"}},
		{"a duplicate taken for a late one", func(w *world) { w.total.Duplicate, w.total.LateDropped = 0, 1 }, []string{"late: 1, must be 0"}},
		{"a record that is lost in the topic", func(w *world) { w.sent++ }, []string{"7 records were sent, the topic has 6"}},
		{"an offset that stands still", func(w *world) { w.behind = "offset 3" }, []string{"counts: offset 3"}},
		{"an event that still waits", func(w *world) { w.total.Held, w.total.DeadLettered = 1, 0 }, []string{"held: 1, must be 0"}},
		{"a letter that is missing", func(w *world) { w.letters = nil }, []string{"letters: b number 3 has no letter"}},
		{"a letter too many", func(w *world) { w.letters = append(w.letters, w.letters[0]) }, []string{"letters: b number 3 has a letter (gap_timeout), but should have none"}},
		{"a letter of an event that was applied", func(w *world) { w.letters[0].Offset = 13 }, []string{"b number 1 has a letter"}},
		{"a record without a key that has no letter", func(w *world) { w.addKeyless(policies.ReasonUndecodable); w.letters = w.letters[:1] }, []string{"a record without a key (partition 1 offset 70) has no letter"}},
		{"one that has a letter for another reason", func(w *world) { w.addKeyless(policies.ReasonWrongKey) }, []string{"a record without a key (partition 1 offset 70) has a letter because it is wrong_key, not undecodable"}},
		{"a letter of no event", func(w *world) { w.letters[0].Offset = 99 }, []string{"events-1@99, which is no event of the input"}},
		{"an entity that is parked without a reason", func(w *world) { w.stored["c"].parked = true }, []string{"c: parked true, must be false"}},
		{"an entity that is not parked", func(w *world) { w.stored["b"].parked = false }, []string{"b: parked false, must be true"}},
		{"a hole", func(w *world) { w.stored["a"].holes = []fold.Span{{From: 1, To: 1}} }, []string{"a: holes [1], must be []"}},
	} {
		w := rightWorld(t)
		c.spoil(w)
		got := verified(t, w)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
			}
		}
		if got == "" {
			t.Errorf("%s: unseen", c.name)
		}
	}
}

// A number that was given up before its event came is what the contract says, unless
// the event could be read before.
func TestVerifyOfANumberGivenUp(t *testing.T) {
	t.Parallel()
	givenUp := func(contract string) *world {
		w := rightWorld(t)
		w.file = smallFile(t, contract+"\n  max_wait: 1s")
		d := w.deliveries[4]
		d.offset, d.clock, d.readable, d.meta.Sequence, d.meta.ID, d.end = 20, 1_700, 1_200, 2, "b2", false
		w.deliveries = append(w.deliveries, d)
		w.deliveries[4].clock = 100
		w.sent++
		w.total.Delivered++
		return w
	}
	park := givenUp("on_timeout: park")
	park.total.DeadLettered++
	park.letters = append(park.letters, letter{Letter: policies.Letter{Topic: "events", Partition: 1, Offset: 20, Reason: policies.ReasonEntityParked, Entity: "b", HasSequence: true, Sequence: 2}})
	skip := givenUp("on_timeout: skip\n  late: drop")
	skip.total.Applied++
	skip.total.LateDropped++
	skip.total.DeadLettered--
	skip.letters, skip.stored["b"] = nil, &entity{value: []byte(`{"path":"/1/3"}`)}
	skip.table["b"] = skip.stored["b"].value
	for name, w := range map[string]*world{"park": park, "skip": skip} {
		if got := verified(t, w); got != "" {
			t.Errorf("%s: %s", name, got)
		}
		v, err := verify(w)
		if err != nil {
			t.Fatal(err)
		}
		if notes := fmt.Sprint(notesOf(w, v, nil)); !strings.Contains(notes, "given up before it came 2 (after 1.6s)") {
			t.Errorf("%s: notes %s", name, notes)
		}
		last := &w.deliveries[len(w.deliveries)-1]
		last.readable = 1_099
		if got := verified(t, w); got != "parked entities and holes: b number 2 was given up although it could be read 1 ms before its wait ended" {
			t.Errorf("%s: %s", name, got)
		}
		last.clock = 1_099
		if got := verified(t, w); !strings.Contains(got, "in-order fold: b is") || !strings.Contains(got, "in order it is {\"path\":\"/1/3/3\"}") { // its value says 3
			t.Errorf("%s: in time: %s", name, got)
		}
	}
}

func TestVerifyUnderOtherContracts(t *testing.T) {
	t.Parallel()
	w := rightWorld(t)
	w.file = smallFile(t, "on_timeout: skip")
	w.total = policies.Counts{Delivered: 6, Applied: 5, Duplicate: 1}
	w.stored["b"] = &entity{value: []byte(`{"path":"/1/3"}`), holes: []fold.Span{{From: 2, To: 2}}}
	w.table["b"], w.letters = w.stored["b"].value, nil
	if got := verified(t, w); got != "" {
		t.Errorf("skip: %s", got)
	}
	w.stored["b"].holes = nil
	if got := verified(t, w); !strings.Contains(got, "b: holes [], must be [2]") {
		t.Errorf("skip without its hole: %s", got)
	}

	w = rightWorld(t)
	w.file = smallFile(t, "on_timeout: hold\n  on_overflow: park")
	w.total = policies.Counts{Delivered: 6, Applied: 4, Duplicate: 1, Held: 1}
	w.stored["b"].parked, w.letters = false, nil
	if got := verified(t, w); got != "" {
		t.Errorf("hold: %s", got)
	}

	w = rightWorld(t)
	w.file = smallFile(t, "gap: apply")
	w.stored["a"].value = []byte(`{"path":"/2"}`)
	w.table["a"] = w.stored["a"].value
	v, err := verify(w)
	if err != nil {
		t.Fatal(err)
	}
	if c := v.checks[0]; c.Answer != "not compared" || !c.OK || !strings.Contains(c.Detail, "gap: apply") {
		t.Errorf("gap: apply: %+v", c)
	}
}

// A second run that delivers nothing new must change nothing.
func TestVerifyOfASecondRun(t *testing.T) {
	t.Parallel()
	again := func() *world {
		w := rightWorld(t)
		w.baseline = w.total
		for i := range w.deliveries {
			w.deliveries[i].before = true
		}
		for _, i := range []int{3, 1} {
			d := w.deliveries[i]
			d.before, d.offset = false, int64(20+i)
			w.deliveries = append(w.deliveries, d)
		}
		w.sent += 2
		w.total.Delivered += 2
		w.total.Duplicate += 2
		w.tableBefore = map[string][]byte{}
		for id, row := range w.table {
			w.tableBefore[id] = row
		}
		return w
	}
	w := again()
	if got := verified(t, w); got != "" {
		t.Error(got)
	}
	if first, known := w.news(); first != 0 || known != 2 {
		t.Errorf("%d new, %d known", first, known)
	}
	w.tableBefore["a"] = []byte("1")
	if got := verified(t, w); got != "fed again, the table is unchanged: the table is not what it was" {
		t.Error(got)
	}
	w = again()
	w.baseline.Applied--
	if got := verified(t, w); got != "fed again, the table is unchanged: 1 events were applied once more" {
		t.Error(got)
	}

	// What an earlier run gave up and this one delivers is late.
	w = again()
	late := w.deliveries[4]
	late.before, late.offset, late.clock, late.meta.Sequence, late.meta.ID = false, 30, 2000, 2, "b2"
	w.deliveries = append(w.deliveries, late)
	w.sent++
	w.total.Delivered++
	w.total.DeadLettered++
	if got := verified(t, w); got != "letters: b number 2 has no letter" {
		t.Error(got)
	}
	w.letters = append(w.letters, letter{Letter: policies.Letter{Topic: "events", Partition: 1, Offset: 30, Reason: policies.ReasonEntityParked, Entity: "b", HasSequence: true, Sequence: 2}})
	if got := verified(t, w); got != "" {
		t.Error(got)
	}
	v, err := verify(w)
	if err != nil {
		t.Fatal(err)
	}
	if n, took := tooLate(v); n != 1 || took != 2*time.Second {
		t.Errorf("%d given up, %v", n, took)
	}
	if len(v.checks) != 6 {
		t.Errorf("checks %+v", v.checks)
	}
}
