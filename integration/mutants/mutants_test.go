package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const calc = `package calc

func Add(a, b int) int { return a + b }

func Zero() int { return 0 }

func Count(n int) (c int) {
	for c < n {
		c++
	}
	return c
}
`

const calcTest = `package calc

import "testing"

func TestAdd(t *testing.T) {
	t.Run("small", func(t *testing.T) {
		if Add(1, 2) != 3 {
			t.Error()
		}
	})
}

func TestCount(t *testing.T) {
	if Count(3) != 3 {
		t.Error()
	}
}
`

// project makes a small checkout.
func project(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module example.test\n\ngo 1.26.0\n",
		"calc/calc.go":      calc,
		"calc/calc_test.go": calcTest,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "git", "-C", root, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	return root
}

// fault is a patch of the small checkout that replaces a text and, as diffs go,
// the whole file with it.
func fault(name, test, old, replacement string) patch {
	after := strings.Replace(calc, old, replacement, 1)
	lines := func(text, sign string) string {
		return sign + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+sign) + "\n"
	}
	hunk := fmt.Sprintf("@@ -1,%d +1,%d @@\n", strings.Count(calc, "\n"), strings.Count(after, "\n"))
	return patch{
		name: name, sets: []string{"s"}, why: "it is " + name,
		test:     strings.Fields(test)[1:],
		packages: []string{"./calc"},
		text:     []byte("--- a/calc/calc.go\n+++ b/calc/calc.go\n" + hunk + lines(calc, "-") + lines(after, "+")),
	}
}

func TestReportSaysWhatFoundEachFault(t *testing.T) {
	t.Parallel()
	root := project(t)
	elsewhere := fault("without-a-place", "go test ./calc", "return 0", "return 1")
	elsewhere.text = bytes.ReplaceAll(elsewhere.text, []byte("Zero"), []byte("Null"))
	patches := []patch{
		fault("found-by-its-test", "go test ./calc -run TestAdd", "a + b", "a - b"),
		fault("found-by-another", "go test ./calc -run TestCount", "a + b", "a - b"),
		fault("found-by-nothing", "go test ./calc -run TestAdd", "return 0", "return 1"),
		elsewhere,
		fault("without-sense", "go test ./calc", "return 0", "return nothing"),
		fault("panicking", "go test ./calc -run TestAdd", "return a + b", "panic(a)"),
		fault("dying", "go test ./calc -run TestCount", "func Zero() int { return 0 }", "func init() { panic(0) }"),
		fault("hanging", "go test ./calc -run TestCount", "c++", "c = 0"),
	}
	var out bytes.Buffer
	err := tryAll(t.Context(), root, patches, 3*time.Second, &out)
	if !errors.Is(err, errSurvived) || !strings.Contains(err.Error(), "SURVIVED found-by-nothing: ") || strings.Contains(err.Error(), "killed") {
		t.Errorf("error %v, want %v, and what was not found", err, errSurvived)
	}
	for _, want := range []string{
		"killed   found-by-its-test by example.test/calc.TestAdd/small (",
		"killed   found-by-another by example.test/calc.TestAdd/small (",
		"SURVIVED found-by-nothing: it is found-by-nothing (",
		"ERROR    without-a-place: does not apply: ",
		"ERROR    without-sense: does not compile: ",
		"killed   panicking by example.test/calc.TestAdd/small (",
		"killed   dying by example.test/calc (",
		"killed   hanging by example.test/calc (timed out) (",
		"mutants: 5 of 8 killed\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report", want)
		}
	}
	if t.Failed() {
		t.Logf("report:\n%s", &out)
	}
	text, err := os.ReadFile(filepath.Join(root, "calc", "calc.go"))
	if err != nil || string(text) != calc {
		t.Errorf("the checkout was changed: %v\n%s", err, text)
	}
}

func TestNothingCountsWhereTestsFailAnyway(t *testing.T) {
	t.Parallel()
	root := project(t)
	broken := strings.Replace(calcTest, "Add(1, 2) != 3", "Add(1, 2) != 4", 1)
	if err := os.WriteFile(filepath.Join(root, "calc", "calc_test.go"), []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := tryAll(t.Context(), root, []patch{fault("early", "go test ./calc -run TestCount", "a + b", "a - b")}, time.Minute, &out)
	if want := "ERROR    early: go test ./calc fails without any fault: example.test/calc.TestAdd/small"; !errors.Is(err, errSurvived) || !strings.HasPrefix(out.String(), want) {
		t.Errorf("error %v, report %s", err, &out)
	}
}

func TestCommandListsAndRefuses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := command(t.Context(), []string{"-list"}, &out); err != nil || out.Len() == 0 {
		t.Errorf("-list: error %v, output %q", err, &out)
	}
	if err := command(t.Context(), []string{"-set", "absent"}, &out); err == nil || !strings.Contains(err.Error(), `no fault of set "absent"`) {
		t.Errorf("-set absent: error %v", err)
	}
}
