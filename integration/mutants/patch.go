package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// patchFolder holds the patches, below the checkout.
const patchFolder = "integration/mutants/testdata"

// A patch is one fault to plant.
type patch struct {
	name     string
	sets     []string
	test     []string // arguments of go, tried first
	why      string
	packages []string // that it touches, as ./path
	text     []byte   // what git applies
}

// readPatches reads all patches, sorted by name; all faulty ones are in the error.
func readPatches(root string) ([]patch, error) {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(patchFolder), "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("mutants: looking for patches: %w", err)
	}
	var patches []patch
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("mutants: reading a patch: %w", err)
		}
		p, err := parsePatch(strings.TrimSuffix(filepath.Base(file), ".patch"), text)
		if err != nil {
			errs = append(errs, err)
		}
		patches = append(patches, p)
	}
	return patches, errors.Join(errs...)
}

// parsePatch reads the header and which packages the diff touches.
func parsePatch(name string, text []byte) (patch, error) {
	p := patch{name: name, text: text}
	fault := func(line int, problem string) error {
		return fmt.Errorf("mutants: %s/%s.patch:%d: %s", patchFolder, name, line, problem)
	}
	line, header := 0, true
	for s := bufio.NewScanner(strings.NewReader(string(text))); s.Scan(); {
		line++
		if header {
			if comment, ok := strings.CutPrefix(s.Text(), "#"); ok {
				if problem := p.setHeader(comment); problem != "" {
					return p, fault(line, problem)
				}
				continue
			}
			header = false
		}
		for _, prefix := range []string{"--- a/", "+++ b/"} {
			if file, ok := strings.CutPrefix(s.Text(), prefix); ok {
				p.packages = append(p.packages, "./"+path.Dir(file))
			}
		}
	}
	slices.Sort(p.packages)
	p.packages = slices.Compact(p.packages)
	switch {
	case len(p.sets) == 0 || p.why == "" || len(p.test) == 0:
		return p, fault(1, "the header lacks a line: it has # set:, # test: and # why:")
	case len(p.packages) == 0:
		return p, fault(line, "no diff follows the header: give one with a/ and b/ before the paths")
	}
	return p, nil
}

func (p *patch) setHeader(comment string) (problem string) {
	key, value, _ := strings.Cut(comment, ":")
	value = strings.TrimSpace(value)
	switch strings.TrimSpace(key) {
	case "set":
		p.sets = strings.Fields(value)
	case "why":
		p.why = value
	case "test":
		words := strings.Fields(value)
		if len(words) < 3 || words[0] != "go" || words[1] != "test" || strings.ContainsAny(value, `'"`) {
			return fmt.Sprintf("test is %q: write go test PACKAGE... [-run NAME], without quotes", value)
		}
		p.test = words[1:]
	default:
		return fmt.Sprintf("header line %q is not known: there are # set:, # test: and # why:", strings.TrimSpace(comment))
	}
	return ""
}

// inSet returns the patches of a set; of all sets for "".
func inSet(patches []patch, set string) []patch {
	return slices.DeleteFunc(slices.Clone(patches), func(p patch) bool { return set != "" && !slices.Contains(p.sets, set) })
}

// draw returns n patches as the seed has it, in order of name; all for 0.
func draw(patches []patch, n int, seed string) []patch {
	if n <= 0 || n >= len(patches) {
		return patches
	}
	lot := func(p patch) string {
		sum := sha256.Sum256([]byte(seed + "/" + p.name))
		return string(sum[:])
	}
	drawn := slices.SortedFunc(slices.Values(patches), func(p, q patch) int { return cmp.Compare(lot(p), lot(q)) })[:n]
	slices.SortFunc(drawn, func(p, q patch) int { return cmp.Compare(p.name, q.name) })
	return drawn
}
