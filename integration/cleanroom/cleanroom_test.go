package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// readmeOf has a run and a test block.
func readmeOf(run, test string) string {
	return "# Sample\nTry it:\n\n<!-- cleanroom: run -->\n```sh\n" + run + "\n```\nTest it:\n\n<!-- cleanroom: test -->\n\n```sh\n" + test + "\n```\nDone.\n"
}

// project commits a README, and then changes it without committing.
func project(t *testing.T, readme string) (root string) {
	t.Helper()
	root = t.TempDir()
	write(t, filepath.Join(root, "README.md"), readme)
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "README.md"},
		{"-c", "user.name=Test", "-c", "user.email=test@example.test", "commit", "-q", "-m", "sample"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	write(t, filepath.Join(root, "README.md"), "not committed")
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inRoom points the temporary folder to one of the test, and checks that nothing
// is left there. It keeps the test from running in parallel.
func inRoom(t *testing.T) {
	t.Helper()
	room := t.TempDir()
	t.Setenv("TMPDIR", room)
	t.Cleanup(func() {
		left, err := os.ReadDir(room)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

func TestRunsBothBlocksInACleanClone(t *testing.T) {
	inRoom(t)
	t.Setenv("STREAMRUN_REAL_INPUT", "somewhere")
	run := `test ! -e "$GOMODCACHE" && test ! -e "$GOCACHE" && test -d .git
test -z "$STREAMRUN_REAL_INPUT"
mkdir -p "$(go env GOMODCACHE)/module/part"
chmod -R a-w "$GOMODCACHE"
echo ran`
	test := `test -d "$GOMODCACHE/module/part"
echo tested`
	var out bytes.Buffer
	if err := try(t.Context(), project(t, readmeOf(run, test)), time.Minute, &out); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`(?m)^cleanroom: clone of [0-9a-f]{40}$`,
		`(?m)^cleanroom: 1 changed files are not committed`,
		`(?m)^ran$`,
		`(?m)^cleanroom: run took \d+\.\d s with downloads and builds: ok$`,
		`(?m)^tested$`,
		`(?m)^cleanroom: test took \d+\.\d s with downloads and builds: ok$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no line like %s in\n%s", want, &out)
		}
	}
}

func TestFailureOfOneBlockShowsBoth(t *testing.T) {
	inRoom(t)
	var out bytes.Buffer
	err := try(t.Context(), project(t, readmeOf("false\necho unreachable", "echo tested\nexit 3")), time.Minute, &out)
	if err == nil || err.Error() != "cleanroom: run: exit status 1\ncleanroom: test: exit status 3" {
		t.Errorf("error %v", err)
	}
	if text := out.String(); !strings.Contains(text, "downloads and builds: FAILED\n") || strings.Contains(text, "\nunreachable\n") {
		t.Errorf("report:\n%s", text)
	}
	if !strings.Contains(out.String(), "\ntested\n") {
		t.Errorf("the second block was not run:\n%s", &out)
	}
}

func TestHangingBlockIsEndedWithWhatItStarted(t *testing.T) {
	inRoom(t)
	var out bytes.Buffer
	err := try(t.Context(), project(t, readmeOf("sleep 600 & wait", "echo tested")), 300*time.Millisecond, &out)
	if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("error %v", err) // a child that went on would hold the output open, and this test with it
	}
}

func TestBlocksThatCannotBeFoundAreExplained(t *testing.T) {
	good := readmeOf("run", "test")
	for _, c := range []struct{ old, new, want string }{
		{"cleanroom: run", "cleanroom: walk", "has no line <!-- cleanroom: run -->"},
		{"<!-- cleanroom: test", "<!-- cleanroom: run -->\n<!-- cleanroom: test", "more than one line <!-- cleanroom: run -->"},
		{"```sh\nrun", "go run", `comes "go run"`},
		{"```\nTest it:", "Test it:", "behind <!-- cleanroom: run -->"},
		{"run\n```", "\n```", "is empty"},
	} {
		readme := strings.Replace(good, c.old, c.new, 1)
		if readme == good {
			t.Fatalf("%q is not in the README", c.old)
		}
		if commands, err := block(readme, "run"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %q, error %v, want one with %q", c.new, c.old, commands, err, c.want)
		}
	}
}
