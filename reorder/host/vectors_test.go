package host_test

import (
	"testing"

	"github.com/streamrun/streamrun/reorder/host"
	"github.com/streamrun/streamrun/reorder/scenario"
)

func TestPassesEveryVector(t *testing.T) {
	file, err := scenario.Load("../scenario/testdata/ordering-vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 60 {
		t.Fatalf("%d cases: the file is not the one that was meant", len(file.Cases))
	}
	for _, r := range scenario.Run(file, host.New) {
		if !r.Pass {
			t.Error(r.String())
		}
	}
}
