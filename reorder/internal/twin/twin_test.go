package twin

import (
	"testing"

	"github.com/streamrun/streamrun/policies"
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
	for _, r := range scenario.Run(load(t), New) {
		if !r.Pass {
			t.Error(r.String())
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

func TestEveryPlantedFaultFailsAVector(t *testing.T) {
	f := load(t)
	for _, planted := range faults() {
		failed := ""
		for _, r := range scenario.Run(f, func(c policies.Contract) (scenario.Host, error) { return newFaulty(c, planted), nil }) {
			if !r.Pass {
				failed += " " + r.ID
			}
		}
		if failed == "" {
			t.Errorf("no case notices that %s", planted)
		}
		t.Logf("%s:%s", planted, failed)
	}
}
