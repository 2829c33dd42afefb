package twin

import (
	"testing"

	"github.com/streamrun/streamrun/reorder/scenario"
)

const vectors = "../../scenario/testdata/ordering-vectors.yaml"

func load(t *testing.T) *scenario.File {
	t.Helper()
	f, err := scenario.Load(vectors)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestVectors(t *testing.T) {
	more, err := scenario.Load("../../scenario/testdata/more-vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*scenario.File{load(t), more} {
		for _, r := range scenario.Run(f, New) {
			if !r.Pass {
				t.Error(r.String())
			}
		}
	}
}

func faults() []fault {
	return []fault{
		deadlineEarly, deadlineLate, timerRestarts, timerInRetry, lateIsDuplicate, conflictIsDuplicate, holesForgotten,
		aheadIsLast, voidIgnored, jumpIgnored, drainsOne, resetKeepsHeld, parkedIgnored, redriveIgnoresFailure, fencingOff,
		commitPastHeld, idsVolatile, outboxForgotten, ledgerIgnored, futureMovesWatermark,
	}
}
