package scenario

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
)

const vectors = "testdata/ordering-vectors.yaml"

func TestReadsEveryVector(t *testing.T) {
	data, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("v.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Count(string(data), "\n- id: ")
	if len(f.Cases) != ids || ids < 60 {
		t.Errorf("read %d cases of %d", len(f.Cases), ids)
	}
	for _, c := range f.Cases {
		lines := strings.Split(string(data), "\n")
		if got := lines[c.Line-1]; got != "- id: "+c.ID {
			t.Errorf("case %s: line %d is %q", c.ID, c.Line, got)
		}
	}
}

func TestReadsEveryPartOfACase(t *testing.T) {
	f, err := Parse("all.yaml", []byte(`
schema: ordering-vectors/1
defaults: {contract: {max_wait: 500, retry: {max: 7}, late: drop, classes: {view: {early: apply}}}}
cases:
- id: all
  from: here
  doc: there
  permute: true
  contract: {start: first_seen, retry: {delay: 9}, classes: {pay: {poison: skip}}, dlq_max: 0}
  steps:
  - {at: -1, ev: {e: A, s: 99999999999999999999999, id: k, c: view, v: 2, et: 3, ep: 4, d: 5, p: 6, offset: 7, gen: 8, after: x, fail: 9, sink: {lost_ack: 1, down: 2}, crash: after_state}}
  - {at: 0, ev: {s: -99999999999999999999999, fail: poison}}
  - {at: 0, ev: {e: A}}
  - {at: 0, tick: true}
  - {at: 0, crash: true}
  - {at: 0, flush: true}
  - {at: 0, assign: {gen: 2}}
  - {at: 0, redrive: A}
  - {at: 0, fix: k}
  - {at: 0, rebuild: {e: A, cutoff: 3, log: [{s: 1, d: a}]}}
  expect:
    only: [applied, diff]
    applied: [k, 7]
    holes: {A: [1, 2]}
    effects: {A/0/1: 2}
    last: {A: 1}
    state: {A: 12}
    commit: {0: 1}
    diff: {A: [a, ab]}
`))
	if err != nil {
		t.Fatal(err)
	}
	contract := schemaDefaults()
	contract.Because = "case all says so"
	contract.Start = policies.StartFirstSeen()
	contract.MaxWait = 500 * time.Millisecond
	contract.Retry = policies.Retry{Max: 7, Delay: 9 * time.Millisecond}
	contract.MaxDLQ = 0
	contract.Class.Late = policies.LateDrop
	view, pay := contract.Class, contract.Class
	view.Early = policies.EarlyApply
	pay.Poison = policies.PoisonSkip
	contract.Classes = map[string]policies.Class{"view": view, "pay": pay}
	want := Case{
		ID: "all", From: "here", Doc: "there", Line: 5, Permute: true, Contract: contract,
		Steps: []Step{
			{At: -1, Event: Event{
				Entity: "A", HasSequence: true, Sequence: math.MaxInt64, ID: "k", Class: "view", Version: 2, EventTime: 3, Epoch: 4,
				Data: "5", Partition: 6, HasOffset: true, Offset: 7, HasGeneration: true, Generation: 8, After: "x", Fail: 9,
				Sink: SinkFaults{LostAck: 1, Down: 2}, Crash: AfterState,
			}},
			{Event: Event{HasSequence: true, Sequence: math.MinInt64, ID: "--9223372036854775808", Poison: true}},
			{Event: Event{Entity: "A", ID: "A-"}},
			{Kind: Tick},
			{Kind: Crash},
			{Kind: Flush},
			{Kind: Assign, Generation: 2},
			{Kind: Redrive, Entity: "A"},
			{Kind: Fix, ID: "k"},
			{Kind: RebuildEntity, Rebuild: Rebuild{
				Entity: "A", Cutoff: 3, Log: []Event{{Entity: "A", HasSequence: true, Sequence: 1, ID: "A-1", Data: "a"}},
			}},
		},
		Expect: Expect{
			Only: []string{"applied", "diff"}, Applied: []string{"k", "7"}, Holes: map[string][]int64{"A": {1, 2}},
			Effects: map[string]int{"A/0/1": 2}, Last: map[string]int64{"A": 1}, State: map[string]string{"A": "12"},
			Commit: map[int]int64{0: 1}, Diff: map[string][2]string{"A": {"a", "ab"}},
		},
	}
	start := cmp.Comparer(func(a, b policies.Start) bool { return a == b })
	if diff := cmp.Diff(want, f.Cases[0], start); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Beside each file of testdata/malformed stands what must be said about it.
func TestReportsEveryFaultInOnePass(t *testing.T) {
	files, err := filepath.Glob("testdata/malformed/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(path, ".yaml") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(path)
			var bad *MalformedError
			if !errors.As(err, &bad) {
				t.Fatalf("no MalformedError but %v", err)
			}
			got := strings.ReplaceAll(err.Error(), "testdata/malformed/", "") + "\n"
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAFileThatCannotBeReadIsNotMalformed(t *testing.T) {
	_, err := Load("testdata/absent.yaml")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAliasesStandForWhatTheyName(t *testing.T) {
	f, err := Parse("a.yaml", []byte(`
schema: ordering-vectors/1
cases:
- id: a
  contract: &c {max_held: 2}
  steps: &s [{at: 0, ev: {e: A, s: 1}}]
  expect: {applied: [A-1]}
- {id: b, contract: *c, steps: *s, expect: {applied: [A-1]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	a, b := f.Cases[0], f.Cases[1]
	if b.Contract.MaxHeld != 2 || !cmp.Equal(a.Steps, b.Steps) {
		t.Errorf("b is %+v", b)
	}
}

// Some editors put a byte order mark before the text.
func TestAByteOrderMarkIsNoPartOfTheText(t *testing.T) {
	for _, body := range []string{
		"schema: ordering-vectors/1\ncases:\n- {id: a, steps: [{at: 0, tick: true}], expect: {}}\n",
		"schema: ordering-vectors/3\ncases:\n- {id: a, steps: [{at: 0, tick: true}], expect: {}}\n",
	} {
		_, plain := Parse("a.yaml", []byte(body))
		if _, marked := Parse("a.yaml", []byte("\ufeff"+body)); fmt.Sprint(marked) != fmt.Sprint(plain) {
			t.Errorf("with a mark %v, without %v", marked, plain)
		}
	}
}

func TestWhatIsNotUTF8IsNamedByItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"schema: ordering-vectors/1\n# gr\u00fc\u00df dich, J\xfcrgen\ncases: []\n": "a.yaml:2:15: not UTF-8 text; save the file as UTF-8",
		"\xff\xfes\x00":   "a.yaml:1:1: not UTF-8 text; save the file as UTF-8",
		"\ufeffa\xe2\x82": "a.yaml:1:2: not UTF-8 text; save the file as UTF-8",
	} {
		if _, err := Parse("a.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	paths, err := filepath.Glob("testdata/malformed/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.yaml", data)
		if (file == nil) == (err == nil) {
			t.Errorf("file %v and error %v", file, err)
		}
	})
}
