package simulation

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() Script {
	return Script{
		Seed: 4711,
		Settings: Settings{
			Partitions: 2, Instances: 3, Standbys: 1, Static: true, MarkerDelay: 20 * time.Millisecond, Keys: 8, Ordered: true,
			MaxWait: 1000 * time.Hour, OnTimeout: "park", MaxHeld: 4, Late: "reject", Poison: "skip",
		},
		Steps: []Step{
			{3, "", "0s: write [{key-0 1}]"}, {12, "EndTxn lost, handled later", "1.204s: 0 -> End -0"}, {13, AnyFault, ""}, {440, "", ""},
		},
		Breaks: "I3", Seen: "I3: the state of key-0 is 2,, want 1,2,", Trace: 0x01c3a5f0d4e81b27,
	}
}

// unnoted is a script as its file is read.
func unnoted(s Script) Script {
	steps := make([]Step, len(s.Steps))
	for i, step := range s.Steps {
		steps[i] = Step{step.Number, step.Fault, ""}
	}
	s.Steps, s.Seen = steps, ""
	return s
}

// The bytes of a file do not change.
func TestTextIsTheGoldenFile(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := example()
	if diff := cmp.Diff(string(golden), string(s.Text())); diff != "" {
		t.Errorf("text (-golden +got):\n%s", diff)
	}
	got, err := Parse("example.yaml", golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unnoted(s), got); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

func TestParseSaysWhereAFileIsWrong(t *testing.T) {
	t.Parallel()
	s := example()
	text := string(s.Text())
	for _, c := range []struct{ old, is, want string }{
		{"runner-simulation/1", "runner-simulation/2", `simulation: f:3:9: schema "runner-simulation/2" is not known; this reader knows runner-simulation/1`},
		{"seed: 4711", "seed: -1", `simulation: f:4:7: a seed is a number, not "-1"`},
		{"keys: 8", "keys: 9", `simulation: f:12:7: keys is one of 1, 2, 3, 4, 5, 6, 7, 8, not "9"`},
		{"keys: 8\n", "", `simulation: f:12:1: want keys: ..., not "ordered: true"`},
		{"keys: 8", "keyes: 8", `simulation: f:12:1: want keys: ..., not "keyes: 8"`},
		{"keys: 8", "keys: 8\nkeys: 8", `simulation: f:13:1: want ordered: ..., not "keys: 8"`},
		{"steps:", "steps: 3", `simulation: f:20:8: steps stand on lines of their own, not "3"`},
		{"- 3 ", "- 0 ", `simulation: f:21:3: a step has a number from 1, not "0"`},
		{"- 3 ", "- three ", `simulation: f:21:3: a step has a number from 1, not "three"`},
		{"- 440", "- 13", `simulation: f:24:3: step 13 stands after step 13`},
		{"breaks: I3", "break: I3", `simulation: f:25:1: want breaks: ..., not "break: I3"`},
		{"trace: 01", "trace: 1", `simulation: f:26:8: a trace is 16 hexadecimal digits, not "1c3a5f0d4e81b27"`},
		{"trace: 01", "trace: 0x", `simulation: f:26:8: a trace is 16 hexadecimal digits, not "0xc3a5f0d4e81b27"`},
		{"1b27\n", "1b27\n- 500\n", `simulation: f:27:1: "- 500" is left over`},
	} {
		_, err := Parse("f", []byte(strings.Replace(text, c.old, c.is, 1)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%q for %q: %v, want %s", c.is, c.old, err, c.want)
		}
	}
	for n := range text {
		if _, err := Parse("f", []byte(text[:n])); err == nil && n < len(text)-1 {
			t.Errorf("what is left of the file after %d bytes is taken for a script", n)
		}
	}
}

func TestIsTellsAScriptFromOtherFiles(t *testing.T) {
	t.Parallel()
	s := example()
	for text, want := range map[string]bool{
		string(s.Text()):                         true,
		"schema: runner-simulation/7\n":          true,
		"\n# a case\nschema: ordering-vectors/1": false,
		"":                                       false,
		"x: y\nschema: runner-simulation/1\n":    false,
	} {
		if Is([]byte(text)) != want {
			t.Errorf("Is %v, want %v: %q", !want, want, text)
		}
	}
}

// What is read is written as what reads as the same.
func FuzzParse(f *testing.F) {
	s := example()
	f.Add(s.Text())
	f.Add(bytes.ReplaceAll(s.Text(), []byte("- 3"), []byte("- +3 #\t a # b")))
	f.Add(bytes.ReplaceAll(s.Text(), []byte("\n"), []byte("\r\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f", data)
		if err != nil {
			return
		}
		if !Is(data) {
			t.Error("what Parse reads is no script to Is")
		}
		again, err := Parse("f", s.Text())
		if err != nil {
			t.Fatalf("what was written does not read: %v\n%s", err, s.Text())
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("written and read again (-before +after):\n%s", diff)
		}
	})
}

// Draw draws every choice of every setting.
func TestDrawDrawsAllThatThereIs(t *testing.T) {
	t.Parallel()
	drawn := map[string]bool{}
	for seed := range uint64(200) {
		s := Draw(seed)
		for _, f := range s.Settings.all() {
			drawn[f.name+" "+f.text()] = true
		}
		if n := len(s.Steps); n < 240 || n >= 440 || s.Faults() != n {
			t.Errorf("seed %d: %d steps, %d with a fault", seed, n, s.Faults())
		}
		if diff := cmp.Diff(s, Draw(seed)); diff != "" {
			t.Errorf("seed %d drawn again:\n%s", seed, diff)
		}
	}
	for _, f := range new(Settings).all() {
		for _, choice := range f.distinct() {
			if !drawn[f.name+" "+choice] {
				t.Errorf("%s is never %s", f.name, choice)
			}
		}
	}
}
