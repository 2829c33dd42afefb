package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPackagesKeepTheImportRules(t *testing.T) {
	t.Parallel()
	packages := readPackages(t)
	if len(packages) < 5 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	for _, p := range packages {
		for _, v := range violations(p, reach(packages, p.path), rooms(), homes()) {
			t.Error(v)
		}
	}
}

// readPackages reads the imports of all Go files of the module.
func readPackages(t *testing.T) []pkg {
	t.Helper()
	root := filepath.Join("..", "..")
	byDir := map[string]*pkg{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipped(path, root, entry.Name())
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if byDir[dir] == nil {
			byDir[dir] = &pkg{path: filepath.ToSlash(dir)}
		}
		return byDir[dir].add(file, strings.HasSuffix(path, "_test.go"))
	})
	if err != nil {
		t.Fatal(err)
	}
	packages := make([]pkg, 0, len(byDir))
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		packages = append(packages, *byDir[dir])
	}
	return packages
}

// skipped says which folders hold no packages of the module, as the go command has it.
func skipped(path, root, name string) error {
	if path != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
		return fs.SkipDir
	}
	return nil
}

func (p *pkg) add(file *ast.File, isTest bool) error {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if isTest {
			p.testImports = append(p.testImports, path)
		} else {
			p.imports = append(p.imports, path)
		}
	}
	return nil
}

// Each planted package breaks one rule, or none, of the real tables.
func TestViolationsAreFoundAndExplained(t *testing.T) {
	t.Parallel()
	at := func(path string) string { return module + "/" + path }
	others := []pkg{
		{path: "topology/config", imports: []string{at("processors")}},
		{path: "processors", imports: []string{at("topology/config"), at("reorder")}}, // a cycle must not keep the search
		{path: "reorder", imports: []string{at("policies")}, testImports: []string{at("topology/runner")}},
		{path: "policies"},
	}
	for _, c := range []struct {
		name string
		pkg  pkg
		want []string
	}{
		{
			"the standard library is for all",
			pkg{path: "policies", imports: []string{"time", "encoding/json"}},
			nil,
		},
		{
			"a leaf imports a room",
			pkg{path: "policies", imports: []string{at("topology")}},
			[]string{"policies imports topology: it is a leaf that everybody may import, so it imports nobody"},
		},
		{
			"a leaf imports a library",
			pkg{path: "topology/serde", imports: []string{"github.com/IBM/sarama"}},
			[]string{"topology/serde imports github.com/IBM/sarama, whose home is topology/internal/kafka/wire, statestore/gokastore, processors/gokagroup, integration/...: the seam to Kafka hides the client; only where a foreign API has sarama's types is it seen"},
		},
		{
			"the vocabulary imports the task",
			pkg{path: "topology", imports: []string{at("topology/internal/task"), at("topology/internal/graph")}},
			[]string{"topology imports topology/internal/task: the vocabulary builds and validates; it runs nothing, so it never imports the task or the runner"},
		},
		{
			"tests may import a driver, the code may not",
			pkg{path: "topology/runner", imports: []string{at("topology/internal/kafka/mem")}, testImports: []string{at("topology/internal/kafka/mem")}},
			[]string{"topology/runner imports topology/internal/kafka/mem: it carries out what pure parts decide; it knows orders and operators by the topology only"},
		},
		{
			"the runner imports its own parts",
			pkg{path: "topology/runner", imports: []string{at("topology/runner/internal/decide"), at("topology/runner/internal/commit")}},
			nil,
		},
		{
			"a pure part imports the shell",
			pkg{path: "topology/runner/internal/decide", imports: []string{at("topology/runner")}},
			[]string{"topology/runner/internal/decide imports topology/runner: it decides and does nothing, so that what it decides can be tested without a broker, clock or disk"},
		},
		{
			"the fold reaches the sequencer on a longer path",
			pkg{path: "topology/command/internal/fold", imports: []string{at("topology/config"), at("policies"), "fmt"}},
			[]string{"topology/command/internal/fold reaches reorder: it is an independent witness: an error that it shared with what it judges would go unseen"},
		},
		{
			"the twin reaches the sequencer",
			pkg{path: "reorder/internal/twin", imports: []string{at("reorder")}},
			[]string{
				"reorder/internal/twin imports reorder: it is an independent witness: an error that it shared with what it judges would go unseen",
				"reorder/internal/twin reaches reorder: it is an independent witness: an error that it shared with what it judges would go unseen",
			},
		},
		{
			"a test library in code",
			pkg{path: "processors", imports: []string{"github.com/google/go-cmp/cmp"}, testImports: []string{"pgregory.net/rapid"}},
			[]string{"processors imports github.com/google/go-cmp/cmp, whose home is reorder/scenario, topology/internal/kafka/kafkatest, statestore/storetest, topology/topologytest: it serves tests"},
		},
		{
			"kfake beside the embedded broker, in a test",
			pkg{path: "topology/internal/kafka/wire", testImports: []string{"github.com/twmb/franz-go/pkg/kfake"}},
			[]string{"topology/internal/kafka/wire (in its tests) imports github.com/twmb/franz-go/pkg/kfake, whose home is topology/embedded: the embedded broker is replaceable; nothing else may lean on it"},
		},
		{
			"an example reaches inside",
			pkg{path: "examples/orders", imports: []string{at("topology/internal/task")}},
			[]string{"examples/orders imports topology/internal/task: it uses the project as others do; internal parts are out of reach for those"},
		},
		{
			"somebody imports integration",
			pkg{path: "topology/command", imports: []string{at("integration/mutants")}},
			[]string{"topology/command imports integration/mutants: the command line puts everything together"},
		},
		{
			"a package without a row",
			pkg{path: "topology/surprise"},
			[]string{"topology/surprise is not in the table of rooms: add it to rooms_test.go, and say what it may import and why"},
		},
		{
			"a library without a home",
			pkg{path: "processors", imports: []string{"github.com/sirupsen/logrus"}},
			[]string{"processors imports github.com/sirupsen/logrus, which is not in the table of libraries: add it to rooms_test.go, with its home and why"},
		},
	} {
		if diff := cmp.Diff(c.want, violations(c.pkg, reach(append(others, c.pkg), c.pkg.path), rooms(), homes())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
