package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodPatch = `# set: reorder engine
# test: go test ./reorder/ -run TestX
# why: a hole is forgotten
diff --git a/reorder/hold.go b/reorder/hold.go
--- a/reorder/hold.go
+++ b/reorder/hold.go
@@ -1 +1 @@
-a
+b
--- a/policies/contract.go
+++ b/policies/contract.go
@@ -1 +1 @@
-a
+b
`

func TestPatchNamesSetTestAndPackages(t *testing.T) {
	t.Parallel()
	got, err := parsePatch("hole-forgotten", []byte(goodPatch))
	if err != nil {
		t.Fatal(err)
	}
	want := patch{
		name: "hole-forgotten", sets: []string{"reorder", "engine"}, why: "a hole is forgotten",
		test:     []string{"test", "./reorder/", "-run", "TestX"},
		packages: []string{"./policies", "./reorder"},
		text:     []byte(goodPatch),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(patch{})); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
}

func TestFaultyPatchesAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"# set: reorder engine\n", "", "x.patch:1: the header lacks a line"},
		{"# why: a hole is forgotten\n", "# why:\n", "x.patch:1: the header lacks a line"},
		{"# why:", "# reason:", `x.patch:3: header line "reason: a hole is forgotten" is not known`},
		{"go test ./reorder/ -run TestX", "rm -r x", `x.patch:2: test is "rm -r x"`},
		{"-run TestX", "-run 'Test X'", "x.patch:2: test is"},
		{goodPatch[strings.Index(goodPatch, "diff"):], "", "x.patch:3: no diff follows"},
	} {
		_, err := parsePatch("x", []byte(strings.Replace(goodPatch, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: error %v, want one with %q", c.new, c.old, err, c.want)
		}
	}
}

func TestDrawIsBySeedAndFair(t *testing.T) {
	t.Parallel()
	var all []patch
	for i := range 20 {
		all = append(all, patch{name: fmt.Sprintf("fault-%02d", i)})
	}
	names := func(patches []patch) (names string) {
		for _, p := range patches {
			names += p.name + " "
		}
		return names
	}
	first := names(draw(all, 5, "a1b2"))
	if again := names(draw(all, 5, "a1b2")); again != first || len(strings.Fields(first)) != 5 {
		t.Errorf("drawn %s, then %s", first, again)
	}
	seen := map[string]bool{}
	for seed := range 60 {
		for _, p := range draw(all, 5, fmt.Sprint(seed)) {
			seen[p.name] = true
		}
	}
	if len(seen) != len(all) {
		t.Errorf("60 seeds drew only %d of %d faults", len(seen), len(all))
	}
	if len(draw(all, 0, "a1b2")) != 20 || len(draw(all, 30, "a1b2")) != 20 {
		t.Error("a draw of all is not all")
	}
}

func TestSetsAreKeptApart(t *testing.T) {
	t.Parallel()
	all := []patch{{name: "a", sets: []string{"engine"}}, {name: "b", sets: []string{"runner", "slice"}}}
	if got := inSet(all, "slice"); len(got) != 1 || got[0].name != "b" {
		t.Errorf("set slice is %v", got)
	}
	if got := inSet(all, ""); len(got) != 2 {
		t.Errorf("all sets are %v", got)
	}
}

func TestPatchesOfTheProjectStillApply(t *testing.T) {
	t.Parallel()
	root, err := checkout(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	patches, err := readPatches(root)
	if err != nil {
		t.Error(err)
	}
	if len(patches) == 0 {
		t.Errorf("no patch in %s", patchFolder)
	}
	for _, p := range patches {
		for _, dir := range p.packages { // looked at here too, so that a cached result is void when they change
			stat(t, filepath.Join(root, dir))
		}
		l := lab{dir: root}
		if err := l.apply(t.Context(), p, "--check"); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func stat(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}
