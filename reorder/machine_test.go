package reorder

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

func TestAppliesWhatIsNextAndHoldsTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.seq("A", 3, 1, 2)
	r.wantApplied("A", "A-1 A-2 A-3")
}

func TestSaysEveryDecisionInWords(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.MaxHeld, c.OnTimeout = 1, policies.OnTimeoutSkip
	r := newRig(t, c)
	r.seq("A", 2, 3, 1, 1)
	r.deliver(policies.Metadata{Entity: "A"})
	r.tick(1000)
	want := []string{
		`number 2 of entity "A" (id "A-2") waits for number 1 (R10)`,
		`entity "A" waits for number 1 until 1000 (R11)`,
		`number 3 of entity "A" (id "A-3") is not consumed: entity "A" holds 1 events and no more (R12)`,
		`number 1 of entity "A" (id "A-1") is next and is applied (R9)`,
		`number 2 of entity "A" (id "A-2") is next and is applied (R9)`,
		`number 1 of entity "A" (id "A-1") is dropped: its id was decided before or is being decided (R3)`,
		`an event of entity "A" without number (id "A-0") is dead-lettered as invalid_metadata: it has no sequence number (R0)`,
	}
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Error(diff)
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	reasons := append(reasonCodes()[1:], policies.ReasonUndecodable, policies.ReasonWrongKey, policies.ReasonWrongPartition)
	for _, reason := range reasons {
		d := topology.Decision{Kind: topology.DecideDeadLetter, Reason: reason, Event: &topology.OrderEvent{Metadata: policies.Metadata{Entity: "A"}}}
		if text := Explain(bySequence(), d); strings.HasSuffix(text, ": "+string(reason)+" (R0)") {
			t.Errorf("%s is explained by itself: %s", reason, text)
		}
	}
}

func TestAVersionThatGoesBackIsCountedOrRefused(t *testing.T) {
	t.Parallel()
	c := bySequence()
	deliver := func(r *rig) {
		for n, version := range []int64{5, 4, 6} {
			r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: int64(n + 1), Version: version})
		}
	}
	r := newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1 A-2 A-3")
	if n := r.m.Counts()[0].VersionBackward; n != 1 {
		t.Errorf("%d versions went back, not 1", n)
	}
	c.OnVersionBackward = policies.VersionReject
	r = newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1")
	r.wantLast("entity_parked")
	c.Class.Poison = policies.PoisonSkip
	r = newRig(t, c)
	deliver(r)
	r.wantApplied("A", "A-1 A-3")
}

func TestADuplicateIsRefusedIfItsClassSaysSo(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Class.Duplicate = policies.DuplicateReject
	r := newRig(t, c)
	r.seq("A", 1, 1)
	r.wantLast("dead-lettered as duplicate")
	if n, en := r.m.Counts()[0].DeadLettered, r.m.entityOf(r.Entity("A")); n != 1 || en.aside != nil {
		t.Errorf("%d letters counted; kept aside: %+v", n, en.aside)
	}
}

func TestAConflictParksIfItsClassSaysSo(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Class.Conflict = policies.ConflictPark
	r := newRig(t, c)
	r.seq("A", 1)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 1, ID: "other"})
	r.seq("A", 2)
	r.wantApplied("A", "A-1")
	if !r.row("A").Parked() {
		t.Error("the entity is not parked")
	}
}

func TestHolesAreBounded(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Gap, c.MaxHoles = policies.GapApply, 2
	r := newRig(t, c)
	r.seq("A", 2, 4, 6)
	r.wantApplied("A", "A-2 A-4")
	r.wantLast("is parked")
	spans := 0
	r.row("A").Holes(func(int64, int64) { spans++ })
	if spans != 2 || !r.row("A").Parked() {
		t.Errorf("%d spans, parked %t", spans, r.row("A").Parked())
	}
}

func TestAnIDThatIsDerivedFromItsPlaceIsKnownAgain(t *testing.T) {
	t.Parallel()
	for _, reset := range []policies.Reset{policies.ResetForbid, policies.ResetEpoch} {
		c := bySequence()
		c.Reset = reset
		r := newRig(t, c)
		events := []policies.Metadata{{Sequence: 2}, {Sequence: 2}, {Sequence: 1}, {Sequence: 1}, {Sequence: 2}}
		if reset == policies.ResetEpoch {
			events = append(events, policies.Metadata{Sequence: 1, Epoch: 1}, policies.Metadata{Sequence: 2}) // a straggler
		}
		for _, m := range events {
			m.Entity, m.HasSequence = "A", true
			r.m.Record(r.Entity("A"), &topology.OrderEvent{Metadata: m}, 0)
			r.drive()
		}
		n := r.m.Counts()[0]
		if applied, duplicate := int64(2), int64(3); reset == policies.ResetForbid && (n.Applied != applied || n.Duplicate != duplicate) ||
			reset == policies.ResetEpoch && (n.Applied != applied+1 || n.Duplicate != duplicate+1) {
			t.Errorf("reset %s: %+v", reset, n)
		}
	}
}

func TestAnUnknownCommandIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	if err := r.m.Command(topology.OrderCommand{Kind: "redrive", Entity: "nobody"}, 0); !errors.Is(err, ErrUnknownEntity) {
		t.Errorf("%v", err)
	}
	if err := r.m.Command(topology.OrderCommand{Kind: "dance"}, 0); err == nil {
		t.Error("no error")
	}
}

func TestARecordWithoutMetadataIsALetterOfNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.m.Refuse(&topology.OrderEvent{Source: 1}, policies.ReasonUndecodable)
	r.drive()
	r.wantLast("could not be decoded")
	if n := r.m.Counts()[1]; n.Delivered != 1 || n.DeadLettered != 1 {
		t.Errorf("%+v", n)
	}
}

func TestNothingIsSharedWithTheRecordThatIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	buf := []byte("A-2")
	id := string(buf)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 2, ID: id, Class: "c", Causation: "x"})
	e := r.m.entityOf(r.Entity("A")).held.Get(2)
	if e.ID != "A-2" || string(e.Payload) != "bytes of A-2" || e.Class != "c" {
		t.Errorf("%+v", e)
	}
}

func TestARestartCountsWhatItLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	r.fate = func(id string, _ int) topology.ApplyOutcome {
		if id == "B-1" {
			return topology.OutcomeRetryable
		}
		return topology.OutcomeDone
	}
	r.seq("A", 2, 3)
	r.seq("B", 1)
	if at, ok := r.m.Pending(0); !ok || at != 0 {
		t.Errorf("offset %d is held back (%t)", at, ok)
	}
	r.commit()
	r.start()
	if n := r.m.Counts()[0]; n.Lost != 3 || n.Held != 0 || n.Retrying != 0 || !n.Balanced() {
		t.Errorf("%+v", n)
	}
	if _, ok := r.m.Pending(0); ok {
		t.Error("an offset is held back for what is lost")
	}
}

func TestADurableBufferComesBackWithItsDeadlineAndBytes(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Buffer, c.OnTimeout = policies.BufferDurable, policies.OnTimeoutSkip
	r := newRig(t, c)
	r.seq("A", 2)
	if _, ok := r.m.Pending(0); ok {
		t.Error("an offset is held back for what is stored")
	}
	r.commit()
	r.now = 900
	r.start()
	if n := r.m.Counts()[0]; n.Held != 1 || n.Lost != 0 {
		t.Errorf("%+v", n)
	}
	r.tick(999)
	r.wantApplied("A", "")
	r.tick(1000)
	r.wantApplied("A", "A-2")
	r.commit()
	for key := range r.rows {
		if key[0] == kindHeld {
			t.Errorf("held row %x is left", key)
		}
	}
}

func TestARowThatWasBornAndRemovedWithinACommitIsNotLogged(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Buffer = policies.BufferDurable
	r := newRig(t, c)
	r.seq("A", 2, 1)
	r.m.Changes(func(key, value []byte) { t.Errorf("row %x = %x", key, value) })
}

func TestLettersKeepTheBytesOfWhatCanBeNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, bySequence())
	poison := true
	r.fate = func(id string, _ int) topology.ApplyOutcome {
		if id == "A-2" && poison {
			return topology.OutcomePoison
		}
		return topology.OutcomeDone
	}
	r.seq("A", 1, 2, 3)
	r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 1, ID: "other"})
	r.deliver(policies.Metadata{Entity: "B"})
	r.commit()
	r.start()
	kept := map[string]string{}
	for _, entity := range []string{"A", "B"} {
		held := &r.m.entityOf(r.Entity(entity)).held
		for l := held.NextLetter(nil); l != nil; l = held.NextLetter(l) {
			kept[l.ID] = string(l.Payload)
		}
	}
	want := map[string]string{"A-2": "bytes of A-2", "A-3": "bytes of A-3", "other": "", "B-0": ""}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Error(diff)
	}
	poison = false
	r.redrive("A")
	r.wantApplied("A", "A-1 A-2 A-3")
	r.wantLast("no longer parked")
	r.commit()
	letters := 0
	for key := range r.rows {
		if key[0] == kindLetter {
			letters++
		}
	}
	if letters != 2 {
		t.Errorf("%d letters are left, not 2", letters)
	}
}

func TestCausesOutliveARestart(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Causal = true
	r := newRig(t, c)
	r.seq("A", 1)
	r.commit()
	r.start()
	r.deliver(policies.Metadata{Entity: "B", HasSequence: true, Sequence: 1, Causation: "A-1"})
	r.wantApplied("B", "B-1")
}

func TestTheOldestCauseIsForgottenFirst(t *testing.T) {
	t.Parallel()
	q := causeQueue{limit: 2, byHash: map[uint64]uint64{}}
	for h := uint64(1); h <= 3; h++ {
		q.add(h)
		q.add(h)
	}
	if q.has(1) || !q.has(2) || !q.has(3) || len(q.gone) != 0 {
		t.Errorf("%+v", q)
	}
	q.saved = q.ordinal
	q.add(4)
	if !slices.Equal(q.gone, []uint64{2}) {
		t.Errorf("%+v", q)
	}
}

func TestWatermarksOutliveARestart(t *testing.T) {
	t.Parallel()
	for _, buffer := range []policies.Buffer{policies.BufferDurable, policies.BufferVolatile} {
		c := bySequence()
		c.OrderBy, c.Buffer = policies.ByEventTime, buffer
		r := newRig(t, c)
		fail := true
		r.fate = func(id string, _ int) topology.ApplyOutcome {
			if id == "A-1" && fail {
				return topology.OutcomeRetryable
			}
			return topology.OutcomeDone
		}
		at := func(n, time int64) {
			r.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: n, EventTime: time})
		}
		at(1, 100) // released at once, and in local retry
		r.commit()
		fail = false
		r.start()
		if buffer == policies.BufferVolatile {
			at(1, 100) // it is delivered again, and is not late
		}
		at(2, 99)
		r.wantApplied("A", "A-1")
		r.wantLast("dead-lettered as late")
	}
}

// An entity that tries again may stand above those that wait.
func TestTheOldestGapIsFoundBehindAnotherTimer(t *testing.T) {
	t.Parallel()
	stand := func(first, hole int64) *entity {
		return &entity{aside: &aside{due: timer{on: true, due: first}}, row: Row{rare: &rare{hole: timer{on: hole != 0, due: hole}, opened: hole - 5}}}
	}
	h := timers{stand(1, 0), stand(2, 9), stand(3, 0), stand(8, 8), stand(12, 12), stand(7, 7)}
	if got := h.oldest(0, 5, math.MaxInt64); got != 2 {
		t.Errorf("found %d", got)
	}
}

// More become letters at once than one Step decides about.
func TestALongDrainGoesOn(t *testing.T) {
	r := newRig(t, bySequence())
	const held = 3 * stepBudget
	for n := range int64(held) {
		r.seq("A", n+2)
	}
	r.tick(1000)
	if c := r.m.Counts()[0]; c.DeadLettered != held || c.Held != 0 {
		t.Errorf("%+v: not all %d held events are letters", c, held)
	}
}
