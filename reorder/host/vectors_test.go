package host_test

import (
	"testing"

	"github.com/streamrun/streamrun/reorder/host"
	"github.com/streamrun/streamrun/reorder/scenario"
)

func TestPassesEveryVector(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ordering-vectors.yaml", "more-vectors.yaml"} {
		passes(t, "../scenario/testdata/"+name)
	}
}

func passes(t *testing.T, path string) {
	t.Helper()
	file, err := scenario.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 20 {
		t.Fatalf("%s: %d cases: the file is not the one that was meant", path, len(file.Cases))
	}
	for _, r := range scenario.Run(file, host.New) {
		if !r.Pass {
			t.Error(r.String())
		}
	}
}
