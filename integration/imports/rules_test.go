package imports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const module = "github.com/streamrun/streamrun"

// A pkg is one package with what its files import.
type pkg struct {
	path        string // below the module
	imports     []string
	testImports []string
}

// reach returns the packages of the module that a package reaches through code
// that is not a test, as paths below the module, sorted.
func reach(packages []pkg, from string) []string {
	byPath := make(map[string]pkg, len(packages))
	for _, p := range packages {
		byPath[p.path] = p
	}
	reached := map[string]bool{}
	next := []string{from}
	for len(next) > 0 {
		p := byPath[next[0]]
		next = next[1:]
		for _, i := range p.imports {
			if to, ok := within(i); ok && !reached[to] {
				reached[to] = true
				next = append(next, to)
			}
		}
	}
	return slices.Sorted(maps.Keys(reached))
}

// violations judges one package and what it reaches by the tables.
func violations(p pkg, reached []string, rooms []room, homes []home) []string {
	path := p.path
	r, ok := rowOf(path, rooms)
	if !ok {
		return []string{fmt.Sprintf("%s is not in the table of rooms: add it to rooms_test.go, and say what it may import and why", path)}
	}
	var found []string
	judge := func(imported string, isTest bool) {
		if v := violation(path, imported, isTest, r, homes); v != "" && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	for _, i := range p.imports {
		judge(i, false)
	}
	for _, i := range p.testImports {
		judge(i, true)
	}
	for _, to := range reached {
		if fitsAny(to, r.never) {
			found = append(found, fmt.Sprintf("%s reaches %s: %s", path, to, r.why))
		}
	}
	return found
}

// violation judges one import of a package; empty when it is allowed.
func violation(path, imported string, isTest bool, r room, homes []home) string {
	to, ours := within(imported)
	switch {
	case ours:
		if to == path || fitsAny(to, r.imports) || isTest && fitsAny(to, r.tests) || ownPart(to, r) {
			return ""
		}
		return fmt.Sprintf("%s%s imports %s: %s", path, inTests(isTest), to, r.why)
	case isStandard(imported):
		return ""
	}
	for _, h := range homes {
		if !below(imported, h.library) {
			continue
		}
		if fitsAny(path, h.rooms) || isTest && slices.Contains(testLibraries(), h.library) {
			return ""
		}
		return fmt.Sprintf("%s%s imports %s, whose home is %s: %s", path, inTests(isTest), imported, homesOf(h), h.why)
	}
	return fmt.Sprintf("%s%s imports %s, which is not in the table of libraries: add it to rooms_test.go, with its home and why", path, inTests(isTest), imported)
}

// ownPart reports whether a package imports another one of its own row.
func ownPart(to string, r room) bool {
	return strings.HasSuffix(r.path, "/...") && fits(to, r.path)
}

// rowOf returns the row of a package: its own, else the one with the longest path
// that fits.
func rowOf(path string, rooms []room) (best room, ok bool) {
	for _, r := range rooms {
		if r.path == path {
			return r, true
		}
		if fits(path, r.path) && len(r.path) > len(best.path) {
			best, ok = r, true
		}
	}
	return best, ok
}

// fits reports whether a path is meant by a row's path.
func fits(path, pattern string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return below(path, tree)
	}
	return path == pattern
}

func fitsAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return fits(path, pattern) })
}

func below(path, tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") }

// within returns the path of a package below the module.
func within(importPath string) (path string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// isStandard reports whether a package is of the standard library: the first part
// of every other path is a domain.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func inTests(isTest bool) string {
	if isTest {
		return " (in its tests)"
	}
	return ""
}

func homesOf(h home) string {
	if len(h.rooms) == 0 {
		return "test files"
	}
	return strings.Join(h.rooms, ", ")
}
