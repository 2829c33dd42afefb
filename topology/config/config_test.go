package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/streamrun/streamrun/topology/config"
)

func noEnv(string) (string, bool) { return "", false }

func envOf(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	var base string
	cases := 0
	datadriven.RunTest(t, "testdata/bad", func(t *testing.T, d *datadriven.TestData) string {
		text := d.Input + "\n"
		switch d.Cmd {
		case "base":
			base = text
		case "edit":
			text = base
			for _, edit := range strings.Split(d.Input, "\n--\n") {
				from, to, ok := strings.Cut(edit, "\n=>")
				from, to = strings.TrimLeft(from, " "), strings.TrimLeft(strings.TrimPrefix(to, "\n"), " ")
				if !ok || !strings.Contains(text, from) {
					d.Fatalf(t, "nothing to edit: %q", from)
				}
				text = strings.Replace(text, from, to, 1)
			}
		}
		_, err := config.Parse("f.yaml", []byte(text), noEnv)
		if err == nil {
			return "ok\n"
		}
		cases++
		var all *config.Error
		if !errors.As(err, &all) {
			d.Fatalf(t, "%T", err)
		}
		return err.Error() + "\n"
	})
	if cases < 40 {
		t.Fatalf("%d bad files, want 40", cases)
	}
}
