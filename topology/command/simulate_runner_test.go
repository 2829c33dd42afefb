package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a seed that failed was shrunk to is run, and says by its exit code how it went.
func TestSimulateRunsWhatASeedWasShrunkTo(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join("..", "internal", "simulation", "testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		old, new string
		code     int
		says     string
	}{
		{"passes", "", "", 0, "--- PASS: TestSimulation"},
		{"fails", "EndTxn lost, handled later", "EndTxn lost, found again ", exitNo, `there is no fault "EndTxn lost, found again"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "simulation.yaml")
			if err := os.WriteFile(path, bytes.Replace(script, []byte(c.old), []byte(c.new), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs text
			code := execute(t.Context(), nil, []string{"simulate", path}, &out, &errs)
			if code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit code %d, want %d with %q\n%s%s", code, c.code, c.says, out.String(), errs.String())
			}
			if next := "-scenario " + path + " -v tells every step"; (code != 0) != strings.Contains(errs.String(), next) {
				t.Errorf("exit code %d, and stderr says:\n%s", code, errs.String())
			}
		})
	}
}
