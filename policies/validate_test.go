package policies_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/policies"
)

// sound is a contract without a contradiction, to break in one place.
func sound(change func(*policies.Contract)) policies.Contract {
	c := policies.Contract{EventsFor: "order_id", Because: "a refund must follow its payment"}
	if change != nil {
		change(&c)
	}
	return c
}

type badContract struct {
	field    string // with classes.NAME. where a class says it
	code     policies.Code
	contract policies.Contract
	facts    policies.Facts
}

func classes(cl policies.Class) map[string]policies.Class {
	return map[string]policies.Class{"view": cl}
}

func badContracts() []badContract {
	type (
		C = policies.Contract
		F = policies.Facts
	)
	volatile := F{AtLeastOnce: true}
	bad := func(field string, code policies.Code, facts F, change func(*C)) badContract {
		return badContract{field, code, sound(change), facts}
	}
	return []badContract{
		bad("events_for", policies.CodeSentence, F{}, func(c *C) { c.EventsFor = " " }),
		bad("because", policies.CodeSentence, F{}, func(c *C) { c.Because = "" }),
		bad("events_for", policies.CodeSentence, F{}, func(c *C) { c.EventsFor = "order\nid" }),
		bad("because", policies.CodeSentence, F{}, func(c *C) { c.Because = "so\rso" }),

		bad("shape", policies.CodeUnknownValue, F{}, func(c *C) { c.Shape = "event" }),
		bad("order_by", policies.CodeUnknownValue, F{}, func(c *C) { c.OrderBy = "offset" }),
		bad("reset", policies.CodeUnknownValue, F{}, func(c *C) { c.Reset = "allow" }),
		bad("gap", policies.CodeUnknownValue, F{}, func(c *C) { c.Gap = "bufer" }),
		bad("on_timeout", policies.CodeUnknownValue, F{}, func(c *C) { c.OnTimeout = "drop" }),
		bad("on_overflow", policies.CodeUnknownValue, F{}, func(c *C) { c.OnOverflow = "drop" }),
		bad("buffer", policies.CodeUnknownValue, F{}, func(c *C) { c.Buffer = "disk" }),
		bad("on_version_backward", policies.CodeUnknownValue, F{}, func(c *C) { c.OnVersionBackward = "drop" }),
		bad("early", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Early = "hold" }),
		bad("late", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Late = "apply" }),
		bad("duplicate", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Duplicate = "apply" }),
		bad("conflict", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Conflict = "drop" }),
		bad("poison", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Poison = "stop" }),
		bad("effects", policies.CodeUnknownValue, F{}, func(c *C) { c.Class.Effects = "once" }),
		bad("classes.view.late", policies.CodeUnknownValue, F{}, func(c *C) { c.Classes = classes(policies.Class{Late: "apply"}) }),
		bad("classes.view.conflict", policies.CodeUnknownValue, F{}, func(c *C) { c.OrderBy, c.Classes = policies.ByVersion, classes(policies.Class{Conflict: "drop"}) }),
		bad("classes", policies.CodeNamelessClass, F{}, func(c *C) { c.Classes = map[string]policies.Class{"": {Late: policies.LateCompensate}} }),

		bad("start", policies.CodeBadStart, F{}, func(c *C) { c.Start = policies.StartAt(-1) }),
		bad("start", policies.CodeBadStart, F{}, func(c *C) { c.Start = policies.StartAt(1<<63 - 1) }),
		bad("max_wait", policies.CodeBadWait, F{}, func(c *C) { c.MaxWait = -time.Second }),
		bad("max_wait", policies.CodeBadWait, F{}, func(c *C) { c.MaxWait = 1500 * time.Microsecond }),
		bad("max_wait.min", policies.CodeBadWait, F{}, func(c *C) { c.AutoWait, c.MinWait, c.MaxWait = true, 3*time.Second, 2*time.Second }),
		bad("max_wait.min", policies.CodeUnused, F{}, func(c *C) { c.MinWait = time.Second }),
		bad("retry.delay", policies.CodeBadWait, F{}, func(c *C) { c.Retry.Delay = -time.Second }),
		bad("slack", policies.CodeBadWait, F{}, func(c *C) { c.OrderBy, c.Slack = policies.ByEventTime, -time.Second }),
		bad("max_future", policies.CodeBadWait, F{}, func(c *C) { c.OrderBy, c.MaxFuture = policies.ByEventTime, -time.Second }),
		bad("max_held", policies.CodeBadBound, F{}, func(c *C) { c.MaxHeld = -1 }),
		bad("id_memory", policies.CodeBadBound, F{}, func(c *C) { c.IDMemory = -1 }),
		bad("max_holes", policies.CodeBadBound, F{}, func(c *C) { c.MaxHoles = -1 }),
		bad("max_dlq", policies.CodeBadBound, F{}, func(c *C) { c.MaxDLQ = -1 }),
		bad("max_jump", policies.CodeBadBound, F{}, func(c *C) { c.MaxJump = -1 }),
		bad("max_depth", policies.CodeBadBound, F{}, func(c *C) { c.MaxDepth = -1 }),

		bad("start", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.Start = policies.ByVersion, policies.StartAt(0) }),
		bad("gap", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.Gap = policies.ByVersion, policies.GapApply }),
		bad("on_timeout", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.OnTimeout = policies.ByEventTime, policies.OnTimeoutSkip }),
		bad("max_wait", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.MaxWait = policies.ByEventTime, time.Second }),
		bad("max_holes", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.MaxHoles = policies.ByVersion, 5 }),
		bad("max_jump", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.MaxJump = policies.ByVersion, 5 }),
		bad("on_version_backward", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.OnVersionBackward = policies.ByVersion, policies.VersionReject }),
		bad("conflict", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.Class.Conflict = policies.ByVersion, policies.ConflictPark }),
		bad("classes.view.late", policies.CodeUnused, F{}, func(c *C) {
			c.OrderBy, c.Classes = policies.ByVersion, classes(policies.Class{Late: policies.LateReject})
		}),
		bad("early", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.Class.Early = policies.ByVersion, policies.EarlyApply }),
		bad("classes.view.early", policies.CodeUnused, F{}, func(c *C) {
			c.OrderBy, c.Classes = policies.ByEventTime, classes(policies.Class{Early: policies.EarlyApply})
		}),
		bad("on_timeout", policies.CodeUnused, F{}, func(c *C) { c.Gap, c.OnTimeout = policies.GapReject, policies.OnTimeoutSkip }),
		bad("max_wait", policies.CodeUnused, F{}, func(c *C) { c.Gap, c.MaxWait = policies.GapApply, time.Second }),
		bad("max_wait", policies.CodeUnused, F{}, func(c *C) { c.Gap, c.AutoWait = policies.GapReject, true }),
		bad("max_wait", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.AutoWait = policies.ByEventTime, true }),
		bad("on_overflow", policies.CodeUnused, F{}, func(c *C) { c.OrderBy, c.OnOverflow = policies.ByVersion, policies.OnOverflowSkip }),
		bad("slack", policies.CodeUnused, F{}, func(c *C) { c.Slack = time.Second }),
		bad("max_future", policies.CodeUnused, F{}, func(c *C) { c.MaxFuture = time.Hour }),
		bad("max_depth", policies.CodeUnused, F{}, func(c *C) { c.MaxDepth = 5 }),
		bad("retry.delay", policies.CodeUnused, F{}, func(c *C) { c.Retry = policies.Retry{Max: -1, Delay: time.Second} }),

		bad("shape", policies.CodeShape, F{}, func(c *C) { c.Shape, c.OrderBy = policies.Delta, policies.ByVersion }),
		bad("shape", policies.CodeShape, F{}, func(c *C) { c.Shape, c.OrderBy = policies.Command, policies.ByVersion }),
		bad("order_by", policies.CodeLatestWins, F{NonIdempotentEffects: []string{"charge"}}, func(c *C) { c.OrderBy = policies.ByVersion }),
		bad("on_overflow", policies.CodeDeadlock, F{}, func(c *C) { c.OnTimeout = policies.OnTimeoutHold }),
		bad("on_overflow", policies.CodeDeadlock, F{}, func(c *C) {
			c.OrderBy, c.Slack, c.OnOverflow = policies.ByEventTime, time.Second, policies.OnOverflowPause
		}),
		bad("gap", policies.CodeNoRetries, F{}, func(c *C) { c.Gap, c.Retry.Max = policies.GapRetry, -1 }),

		bad("gap", policies.CodeUnreplayable, F{Unreplayable: "topic orders is compacted"}, func(c *C) { c.Gap = policies.GapRebuild }),
		bad("on_timeout", policies.CodeUnreplayable, F{Unreplayable: "topic orders is compacted"}, func(c *C) { c.OnTimeout = policies.OnTimeoutRebuild }),
		bad("late", policies.CodeUnreplayable, F{Unreplayable: "topic orders is compacted"}, func(c *C) { c.Class.Late = policies.LateRebuild }),
		bad("classes.view.late", policies.CodeUnreplayable, F{Unreplayable: "topic orders is compacted"}, func(c *C) { c.Classes = classes(policies.Class{Late: policies.LateRebuild}) }),
		bad("max_wait", policies.CodeForgotten, F{Retention: time.Hour}, func(c *C) { c.OnTimeout, c.MaxWait = policies.OnTimeoutRebuild, 2*time.Hour }),

		bad("causal", policies.CodeCausalOrder, F{}, func(c *C) { c.Causal, c.OrderBy = true, policies.ByVersion }),
		bad("causal", policies.CodeCausalOrder, F{}, func(c *C) { c.Causal, c.OrderBy = true, policies.ByEventTime }),
		bad("causal", policies.CodeCausalKey, F{ScatteredCauses: "payments are keyed by account, orders by order"}, func(c *C) { c.Causal = true }),
		bad("on_timeout", policies.CodeCausalRebuild, F{}, func(c *C) { c.Causal, c.OnTimeout = true, policies.OnTimeoutRebuild }),

		bad("buffer", policies.CodeVolatile, F{}, func(c *C) { c.Buffer = policies.BufferVolatile }),
		bad("max_wait", policies.CodeVolatileWait, volatile, func(c *C) { c.Buffer, c.MaxWait = policies.BufferVolatile, 61*time.Second }),
		bad("buffer", policies.CodeVolatileWait, volatile, func(c *C) { c.Buffer, c.OrderBy = policies.BufferVolatile, policies.ByEventTime }),
		bad("buffer", policies.CodeVolatileWait, volatile, func(c *C) { c.Buffer, c.OnTimeout = policies.BufferVolatile, policies.OnTimeoutRebuild }),
		bad("gap", policies.CodeVolatileWait, F{RebalanceBudget: 10 * time.Second}, func(c *C) {
			c.Gap, c.Retry = policies.GapRetry, policies.Retry{Max: 11, Delay: time.Second}
		}),

		bad("late", policies.CodeNoCompensation, F{}, func(c *C) { c.Class.Late = policies.LateCompensate }),
		bad("classes.view.late", policies.CodeNoCompensation, F{}, func(c *C) { c.Classes = classes(policies.Class{Late: policies.LateCompensate}) }),
		bad("early", policies.CodeNothingWaits, F{}, func(c *C) { c.Class.Early = policies.EarlyApply }),
		bad("max_jump", policies.CodeNarrowJump, F{}, func(c *C) { c.MaxJump = 1 }),
		bad("max_dlq", policies.CodeNarrowDLQ, F{}, func(c *C) { c.MaxHeld, c.MaxDLQ = 100, 100 }),
		bad("effects", policies.CodeEffects, F{}, func(c *C) { c.Class.Effects = policies.EffectsAlways }),
		bad("classes.view.effects", policies.CodeEffects, F{}, func(c *C) {
			c.OrderBy, c.Classes = policies.ByVersion, classes(policies.Class{Effects: policies.EffectsAlways})
		}),
	}
}

func TestEachBadContractHasItsOwnError(t *testing.T) {
	t.Parallel()
	texts, codes := map[string]int{}, map[policies.Code]bool{}
	for i, b := range badContracts() {
		errs := unjoin(t, b.contract.Validate(b.facts))
		if len(errs) != 1 {
			t.Errorf("contract %d (%s %s): %d errors: %v", i, b.field, b.code, len(errs), errs)
			continue
		}
		e := errs[0]
		field := e.Field
		if e.Class != "" {
			field = "classes." + e.Class + "." + e.Field
		}
		if field != b.field || e.Code != b.code {
			t.Errorf("contract %d: want %s at %s, got %s at %s: %v", i, b.code, b.field, e.Code, field, e)
		}
		if e.Problem == "" || e.Fix == "" || !errors.Is(b.contract.Validate(b.facts), b.code) {
			t.Errorf("contract %d: no problem, fix or code: %#v", i, e)
		}
		if j, twice := texts[e.Error()]; twice {
			t.Errorf("contracts %d and %d have one text: %v", i, j, e)
		}
		texts[e.Error()], codes[e.Code] = i, true
	}
	if len(texts) < 40 || len(codes) != 23 {
		t.Errorf("%d texts, %d codes", len(texts), len(codes))
	}
}

func TestValidateSaysTheSameOfAContractWithItsDefaults(t *testing.T) {
	t.Parallel()
	for _, b := range badContracts() {
		switch b.code {
		case policies.CodeUnknownValue, policies.CodeBadBound, policies.CodeBadWait, policies.CodeBadStart:
			continue // a bad value has no defaults to it
		default:
		}
		before, after := unjoin(t, b.contract.Validate(b.facts)), unjoin(t, b.contract.WithDefaults().Validate(b.facts))
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s: before %v, after %v", b.field, before, after)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	c := policies.Contract{
		Gap: "bufer", OnTimeout: policies.OnTimeoutHold, Causal: true, MaxHeld: -1,
		Classes: map[string]policies.Class{"b": {Late: policies.LateCompensate}, "a": {Poison: "stop"}},
	}
	var got []string
	for _, e := range unjoin(t, c.Validate(policies.Facts{ScatteredCauses: "they are"})) {
		got = append(got, e.Class+":"+e.Field)
	}
	want := ":events_for :because :gap a:poison :max_held :on_overflow :causal b:late"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if c.Classes["a"].Poison != "stop" {
		t.Error("Validate wrote to the contract's classes")
	}
}

// goodContracts are sound in the surroundings beside them.
func goodContracts() []struct {
	contract policies.Contract
	facts    policies.Facts
} {
	type (
		C = policies.Contract
		F = policies.Facts
	)
	good := func(facts F, change func(*C)) struct {
		contract policies.Contract
		facts    policies.Facts
	} {
		return struct {
			contract policies.Contract
			facts    policies.Facts
		}{sound(change), facts}
	}
	return []struct {
		contract policies.Contract
		facts    policies.Facts
	}{
		good(F{}, nil),
		good(F{}, func(c *C) { c.Shape = policies.Snapshot }),
		good(F{}, func(c *C) { c.OrderBy = policies.ByVersion }),
		good(F{}, func(c *C) { c.Shape, c.OrderBy = policies.Snapshot, policies.BySequence }),
		good(F{}, func(c *C) { c.Shape = policies.Command }),
		good(F{}, func(c *C) { c.OrderBy, c.Slack = policies.ByEventTime, 5*time.Second }),
		good(F{}, func(c *C) {
			c.OrderBy, c.Class.Late, c.Classes = policies.ByEventTime, policies.LateDrop, classes(policies.Class{Late: policies.LateReject})
		}),
		good(F{}, func(c *C) { c.OrderBy, c.OnOverflow = policies.ByEventTime, policies.OnOverflowPause }),
		good(F{}, func(c *C) { c.Start, c.Reset = policies.StartFirstSeen(), policies.ResetEpoch }),
		good(F{}, func(c *C) { c.Start, c.OnTimeout = policies.StartAt(0), policies.OnTimeoutSkip }),
		good(F{}, func(c *C) { c.OnTimeout, c.OnOverflow = policies.OnTimeoutHold, policies.OnOverflowPark }),
		good(F{Retention: time.Hour}, func(c *C) { c.Gap, c.OnTimeout = policies.GapRebuild, policies.OnTimeoutRebuild }),
		good(F{}, func(c *C) { c.Gap, c.Retry = policies.GapRetry, policies.Retry{Max: 5, Delay: time.Second} }),
		good(F{}, func(c *C) { c.Gap, c.MaxJump = policies.GapReject, 1 }),
		good(F{Compensation: true}, func(c *C) {
			c.Gap, c.Class.Late, c.Class.Effects = policies.GapApply, policies.LateCompensate, policies.EffectsAlways
		}),
		good(F{}, func(c *C) { c.Causal, c.MaxDepth, c.OnTimeout = true, 5, policies.OnTimeoutSkip }),
		good(F{AtLeastOnce: true}, func(c *C) { c.Buffer, c.OnTimeout = policies.BufferVolatile, policies.OnTimeoutSkip }),
		good(F{SequencedPaths: true, Unreplayable: "it is compacted"}, func(c *C) { c.Buffer = policies.BufferVolatile }),
		good(F{NonIdempotentEffects: []string{"charge"}}, nil),
		good(F{NonIdempotentEffects: []string{"charge"}}, func(c *C) { c.OrderBy, c.Class.Effects = policies.ByVersion, policies.EffectsNever }),
		good(F{}, func(c *C) {
			c.Classes = map[string]policies.Class{
				"view":    {Early: policies.EarlyApply, Late: policies.LateDrop, Poison: policies.PoisonSkip, Effects: policies.EffectsNever},
				"payment": {Conflict: policies.ConflictPark, Duplicate: policies.DuplicateReject},
			}
		}),
		good(F{}, func(c *C) {
			c.Class.Early = policies.EarlyApply
			c.Classes = map[string]policies.Class{"payment": {Early: policies.EarlyWait}}
			c.OnVersionBackward, c.Retry.Max = policies.VersionReject, -1
		}),
		good(F{}, func(c *C) {
			c.OnTimeout, c.Class.Poison, c.MaxHeld, c.MaxDLQ = policies.OnTimeoutSkip, policies.PoisonSkip, 100, 10
		}),
	}
}

func TestGoodContractsHaveNoError(t *testing.T) {
	t.Parallel()
	if n := len(goodContracts()); n < 20 {
		t.Fatalf("only %d", n)
	}
	for i, g := range goodContracts() {
		if err := g.contract.Validate(g.facts); err != nil {
			t.Errorf("contract %d: %v", i, err)
		}
		if err := g.contract.WithDefaults().Validate(g.facts); err != nil {
			t.Errorf("contract %d with defaults: %v", i, err)
		}
	}
}

func TestDefaultsAreAFixedPoint(t *testing.T) {
	t.Parallel()
	for i, g := range goodContracts() {
		once := g.contract.WithDefaults()
		if twice := once.WithDefaults(); !reflect.DeepEqual(once, twice) {
			t.Errorf("contract %d: %+v, then %+v", i, once, twice)
		}
	}
}

func unjoin(t *testing.T, err error) []*policies.ContractError {
	t.Helper()
	if err == nil {
		return nil
	}
	var all []*policies.ContractError
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatalf("no joined errors: %v", err)
	}
	for _, e := range joined.Unwrap() {
		var fault *policies.ContractError
		if !errors.As(e, &fault) {
			t.Fatalf("no *ContractError: %v", e)
		}
		all = append(all, fault)
	}
	return all
}
