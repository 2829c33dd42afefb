package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
)

// A puppet answers every step with the same outcome; make fills it in after the steps.
type puppet struct {
	steps []Step
	make  func(steps []Step) (Outcome, error)
}

func (p *puppet) Do(s Step) error {
	p.steps = append(p.steps, s)
	if s.Kind == Redrive {
		return errors.New("no operator here")
	}
	return nil
}
func (p *puppet) Outcome() (Outcome, error) { return p.make(p.steps) }

func puppets(make func(steps []Step) (Outcome, error)) NewHost {
	return func(policies.Contract) (Host, error) { return &puppet{make: make}, nil }
}

func always(o Outcome) NewHost {
	return puppets(func([]Step) (Outcome, error) { return o, nil })
}

func fileOf(t *testing.T, body string) *File {
	t.Helper()
	f, err := Parse("c.yaml", []byte("schema: ordering-vectors/1\ncases:\n"+body))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func entries(texts ...string) []Entry {
	var es []Entry
	for _, s := range texts {
		id, note, _ := strings.Cut(s, " ")
		entity, _, _ := strings.Cut(id, "-")
		es = append(es, Entry{Entity: entity, ID: id, Note: note})
	}
	return es
}

// What each expectation accepts and refuses. The steps deliver and B-1.
func TestAFieldIsComparedAsTheSchemaSays(t *testing.T) {
	applied := Outcome{Applied: entries("A-1", "A-2"), Effects: map[string]int{"A/0/1": 1, "A/0/2": 1}}
	with := func(change func(o *Outcome)) Outcome {
		o := applied
		change(&o)
		return o
	}
	for _, tt := range []struct {
		name, expect string
		outcome      Outcome
		differs      string // field; empty: it passes
	}{
		{"applied in order", "{applied: [A-1, A-2]}", applied, ""},
		{"applied in another order", "{applied: [A-2, A-1]}", applied, "applied"},
		{"one applied too few", "{applied: [A-1, A-2, B-1]}", applied, "applied"},
		{"one applied too many", "{applied: [A-1]}", applied, "applied"},
		{"nothing applied expected", "{}", applied, "applied"},
		{"a multiset in any order", "{only: [dlq], dlq: [A-2 late, A-1 gap]}", Outcome{DLQ: entries("A-1 gap", "A-2 late")}, ""},
		{"a multiset counts", "{only: [dropped], dropped: [A-1 duplicate]}", Outcome{Dropped: entries("A-1 duplicate", "A-1 duplicate")}, "dropped"},
		{"a reason counts", "{only: [dlq], dlq: [A-1 gap]}", Outcome{DLQ: entries("A-1 late")}, "dlq"},
		{"omitted held must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Held = entries("B-1") }), "held"},
		{"omitted paused must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Paused = entries("B-1") }), "paused"},
		{"omitted retrying must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Retrying = entries("B-1") }), "retrying"},
		{"omitted fenced must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Fenced = entries("B-1") }), "fenced"},
		{"omitted rebuilds must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Rebuilds = entries("A from 2") }), "rebuilds"},
		{"omitted compensated must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Compensated = entries("B-1") }), "compensated"},
		{"omitted resolved must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Resolved = entries("A-1") }), "resolved"},
		{"omitted parked must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Parked = entries("A") }), "parked"},
		{"omitted unordered must be empty", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Unordered = entries("A-1") }), "unordered"},
		{"omitted holes are none", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Holes = map[string][]Span{"A": {{3, 3}}} }), "holes"},
		{"no holes are no holes", "{applied: [A-1, A-2], holes: {B: []}}", with(func(o *Outcome) { o.Holes = map[string][]Span{"A": {}} }), ""},
		{"holes are compared whole", "{only: [holes], holes: {A: [3, 4]}}", Outcome{Holes: map[string][]Span{"A": {{4, 4}, {3, 3}}}}, ""},
		{"a hole too many", "{only: [holes], holes: {A: [3]}}", Outcome{Holes: map[string][]Span{"A": {{3, 4}}}}, "holes"},
		{"omitted effects: two attempts", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Effects = map[string]int{"A/0/1": 2, "A/0/2": 1} }), "effects"},
		{"omitted effects: one is missing", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Effects = map[string]int{"A/0/1": 1} }), "effects"},
		{"omitted effects: one of nothing applied", "{applied: [A-1, A-2]}", with(func(o *Outcome) {
			o.Effects = map[string]int{"A/0/1": 1, "A/0/2": 1, "B/0/1": 1}
		}), "effects"},
		{"effects as given", "{only: [effects], effects: {A/0/1: 3}}", Outcome{Effects: map[string]int{"A/0/1": 3}}, ""},
		{"effects are compared whole", "{only: [effects], effects: {A/0/1: 1}}", applied, "effects"},
		{"only the named last", "{only: [last], last: {A: 2}}", Outcome{Last: map[string]int64{"A": 2, "B": 7}}, ""},
		{"last differs", "{only: [last], last: {A: 2}}", Outcome{Last: map[string]int64{"A": 1}}, "last"},
		{"last of nobody", "{only: [last], last: {A: 0}}", Outcome{}, "last"},
		{"only the named state", "{only: [state], state: {A: x}}", Outcome{State: map[string]string{"A": "x", "B": "y"}}, ""},
		{"state differs", "{only: [state], state: {A: x}}", Outcome{State: map[string]string{"A": "xx"}}, "state"},
		{"no state is empty", "{only: [state], state: {A: ''}}", Outcome{}, ""},
		{"only the named commit", "{only: [commit], commit: {0: 2}}", Outcome{Commit: map[int]int64{0: 2, 1: 1}}, ""},
		{"commit differs", "{only: [commit], commit: {1: 0}}", Outcome{Commit: map[int]int64{1: 1}}, "commit"},
		{"suppressed is not compared unless present", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Suppressed = entries("A/0/1") }), ""},
		{"suppressed is compared whole", "{only: [suppressed], suppressed: []}", Outcome{Suppressed: entries("A/0/1")}, "suppressed"},
		{"diff is not compared unless present", "{applied: [A-1, A-2]}", with(func(o *Outcome) { o.Diff = map[string][2]string{"A": {"a", "b"}} }), ""},
		{"diff is compared whole", "{only: [diff], diff: {}}", Outcome{Diff: map[string][2]string{"A": {"a", "b"}}}, "diff"},
		{"diff as given", "{only: [diff], diff: {A: [a, b]}}", Outcome{Diff: map[string][2]string{"A": {"a", "b"}}}, ""},
		{"only what only names", "{only: [held]}", applied, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fileOf(t, `
- id: x
  steps: [{at: 0, ev: {e: A, s: 1}}, {at: 0, ev: {e: A, s: 2}}, {at: 0, ev: {e: B, s: 1}}]
  expect: `+tt.expect)
			r := Run(f, always(tt.outcome))[0]
			if r.Field != tt.differs || r.Pass != (tt.differs == "") || r.Err != nil {
				t.Errorf("got %q: %s", r.Field, r.String())
			}
		})
	}
}

func TestTheEffectOfARenumberedEventMayHaveEitherNumber(t *testing.T) {
	f := fileOf(t, `
- id: x
  steps: [{at: 0, ev: {e: A, s: 1, id: k}}, {at: 0, ev: {e: A, s: 2, id: k}}]
  expect: {applied: [k]}
`)
	for key, pass := range map[string]bool{"A/0/1": true, "A/0/2": true, "A/0/3": false} {
		o := Outcome{Applied: []Entry{{Entity: "A", ID: "k"}}, Effects: map[string]int{key: 1}}
		if r := Run(f, always(o))[0]; r.Pass != pass {
			t.Errorf("%s: %s", key, r.String())
		}
	}
}

func TestTheDecisionAboutTheFirstDifferingEntryIsNamed(t *testing.T) {
	f := fileOf(t, `
- id: x
  steps: [{at: 0, ev: {e: A, s: 1}}, {at: 0, ev: {e: A, s: 2}}]
  expect: {only: [dlq, last], dlq: [A-2 late]}
- id: y
  steps: [{at: 0, ev: {e: A, s: 1}}]
  expect: {only: [last], last: {A: 3}}
`)
	o := Outcome{
		DLQ: entries("A-2 gap"), Last: map[string]int64{"A": 1},
		Decisions: []Decision{
			{Entity: "A", ID: "A-2", Rule: 8, Explanation: "first"},
			{Entity: "A", ID: "A-2", Rule: 10, Explanation: "number 2 is not next"},
			{Entity: "A", Rule: policies.NoRule, Explanation: "an operator came"},
		},
	}
	want := `FAIL x: dlq: expected [A-2 late], happened [A-2 gap], decided by R10: number 2 is not next
FAIL y: last: expected A: 3, happened A: 1, decided by no rule: an operator came
2 cases: 0 pass, 2 FAIL
`
	var b bytes.Buffer
	if err := WriteText(&b, Run(f, always(o))); err != nil || b.String() != want {
		t.Errorf("got\n%s\nwant\n%s(%v)", b.String(), want, err)
	}
}

// The k-th event keeps its slot's time; the others keep their slots.
func TestPermuteTriesEveryOrder(t *testing.T) {
	f := fileOf(t, `
- id: x
  permute: true
  steps: [{at: 0, ev: {e: A, s: 1}}, {at: 1, tick: true}, {at: 2, ev: {e: B, s: 1}}, {at: 3, ev: {e: A, s: 2}}]
  expect: {only: [applied], applied: [A-1, B-1, A-2]}
`)
	orders := map[string]bool{}
	hosts := puppets(func(steps []Step) (Outcome, error) {
		order := ""
		for _, s := range steps {
			order += fmt.Sprintf("%d:%s ", s.At, s.Event.ID)
		}
		orders[order] = true
		return Outcome{Applied: entries("B-1", "A-1", "A-2")}, nil // per entity as expected
	})
	if r := Run(f, hosts)[0]; !r.Pass {
		t.Error(r.String())
	}
	if len(orders) != 6 || !orders["0:A-2 1: 2:B-1 3:A-1 "] {
		t.Errorf("tried %v", orders)
	}
	wrong := puppets(func(steps []Step) (Outcome, error) {
		if steps[0].Event.ID == "B-1" && steps[2].Event.ID == "A-2" {
			return Outcome{Applied: entries("A-2", "A-1", "B-1")}, nil
		}
		return Outcome{Applied: entries("A-1", "A-2", "B-1")}, nil
	})
	r := Run(f, wrong)[0]
	if r.Pass || r.String() != "FAIL x: applied: expected [A-1, A-2, B-1], happened [A-2, A-1, B-1] (events in the order 2 3 1)" {
		t.Error(r.String())
	}
}

func TestAHostThatBreaksFailsItsCaseOnly(t *testing.T) {
	f := fileOf(t, `
- id: error
  steps: [{at: 0, ev: {e: A, s: 1}}, {at: 3, redrive: A}]
  expect: {}
- id: panic
  steps: [{at: 0, crash: true}]
  expect: {}
- id: fine
  steps: [{at: 0, tick: true}]
  expect: {}
`)
	rs := Run(f, puppets(func(steps []Step) (Outcome, error) {
		if steps[0].Kind == Crash {
			panic("at the disco")
		}
		return Outcome{}, nil
	}))
	for i, want := range []string{
		"FAIL error: scenario: running case error: step 2, at 3: no operator here",
		"FAIL panic: scenario: running case panic: the host panicked: at the disco",
		"pass fine",
	} {
		if rs[i].String() != want {
			t.Errorf("got %s, want %s", rs[i].String(), want)
		}
	}
}

func TestSimulateAnswersWithAnExitCode(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.yaml")
	body := "schema: ordering-vectors/1\ncases:\n- {id: a, steps: [{at: 0, tick: true}], expect: {}}\n"
	if err := os.WriteFile(good, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := Outcome{Parked: entries("A")}
	for _, tt := range []struct {
		name, format string
		paths        []string
		outcome      Outcome
		code         int
		out, problem string // that must occur
	}{
		{"pass", "text", []string{good}, Outcome{}, ExitPass, "pass a\n1 cases: 1 pass, 0 FAIL\n", ""},
		{"differs", "text", []string{good, good}, wrong, ExitDiffers, "2 cases: 0 pass, 2 FAIL", ""},
		{"json", "json", []string{good}, wrong, ExitDiffers, `"field": "parked"`, ""},
		{"malformed", "text", []string{good, "testdata/malformed/two.yaml", "testdata/malformed/list.yaml"}, Outcome{}, ExitMalformed, "", "list.yaml:1:1:"},
		{"malformed: nothing to prove", "text", []string{"testdata/malformed/nothing.yaml"}, Outcome{}, ExitMalformed, "", "nothing.yaml:2:8:"},
		{"malformed: too much to try", "text", []string{"testdata/malformed/bounds.yaml"}, Outcome{}, ExitMalformed, "", "bounds.yaml:4:3:"},
		{"absent", "text", []string{"testdata/absent.yaml"}, Outcome{}, ExitMalformed, "", "absent.yaml"},
		{"unknown format", "jsn", []string{good}, Outcome{}, ExitUsage, "", "did you mean json?"},
		{"no file", "text", nil, Outcome{}, ExitUsage, "", "no file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, problems bytes.Buffer
			code := Simulate(&out, &problems, tt.paths, tt.format, always(tt.outcome))
			if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(problems.String(), tt.problem) {
				t.Errorf("code %d, out %q, problems %q", code, out.String(), problems.String())
			}
			if code > ExitDiffers && out.Len() > 0 || tt.problem == "" && problems.Len() > 0 {
				t.Errorf("out %q, problems %q", out.String(), problems.String())
			}
		})
	}
}

func TestJSONSaysWhatTextSays(t *testing.T) {
	var b bytes.Buffer
	rs := []Result{
		{ID: "a", File: "f", Line: 3, Pass: true, Rule: policies.NoRule},
		{ID: "b", File: "f", Line: 5, Field: "held", Expected: "[]", Happened: "[k]", Rule: 10, Explanation: "why", Order: []int{2, 1}},
		{ID: "c", File: "f", Line: 7, Rule: policies.NoRule, Err: errors.New("broken")},
	}
	if err := WriteJSON(&b, rs); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	err := json.Unmarshal([]byte(`{"schema": "streamrun/v1", "kind": "simulation",
		"summary": {"cases": 3, "passed": 1, "failed": 2},
		"results": [
			{"id": "a", "file": "f", "line": 3, "pass": true},
			{"id": "b", "file": "f", "line": 5, "pass": false, "field": "held", "expected": "[]", "happened": "[k]", "rule": "R10", "explanation": "why", "order": [2, 1]},
			{"id": "c", "file": "f", "line": 7, "pass": false, "error": "broken"}]}`), &want)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
