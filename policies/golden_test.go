package policies_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func TestContractsAsSentences(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, g := range goodContracts() {
		s := g.contract.String()
		if strings.Contains(s, "  ") || strings.Contains(s, ";;") || strings.Contains(s, "is ;") || !strings.HasPrefix(s[1:], g.contract.Sentence()[1:]) {
			t.Errorf("no plain sentence: %s", s)
		}
		b.WriteString(s + "\n\n")
	}
	golden(t, "sentences.golden", b.String())
}

func TestContractsAsTables(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, g := range goodContracts() {
		b.WriteString(g.contract.Table() + "\n----\n\n")
	}
	if s := b.String(); strings.Contains(s, " \n") {
		t.Error("trailing blanks")
	}
	golden(t, "tables.golden", b.String())
}

func TestOrderIndependenceOfContracts(t *testing.T) {
	t.Parallel()
	type C = policies.Contract
	for _, c := range []struct {
		independent bool
		why         string // part of it
		change      func(*C)
	}{
		{false, "on_timeout: park", nil},
		{false, "on_timeout: skip", func(c *C) { c.OnTimeout = policies.OnTimeoutSkip }},
		{true, "waits for its predecessors", func(c *C) { c.OnTimeout = policies.OnTimeoutRebuild }},
		{true, "waits for its predecessors", func(c *C) { c.Gap, c.OnTimeout = policies.GapRebuild, policies.OnTimeoutRebuild }},
		{true, "waits for its predecessors", func(c *C) { c.OnTimeout, c.Class.Poison = policies.OnTimeoutRebuild, policies.PoisonSkip }},
		{false, "on_overflow: skip", func(c *C) { c.OnTimeout, c.OnOverflow = policies.OnTimeoutHold, policies.OnOverflowSkip }},
		{false, "on_overflow: park", func(c *C) { c.OnTimeout, c.OnOverflow = policies.OnTimeoutHold, policies.OnOverflowPark }},
		{false, "first_seen", func(c *C) { c.OnTimeout, c.Start = policies.OnTimeoutRebuild, policies.StartFirstSeen() }},
		{false, "reset: epoch", func(c *C) { c.OnTimeout, c.Reset = policies.OnTimeoutRebuild, policies.ResetEpoch }},
		{false, "early: apply", func(c *C) {
			c.OnTimeout, c.Classes = policies.OnTimeoutRebuild, classes(policies.Class{Early: policies.EarlyApply})
		}},
		{false, "causal", func(c *C) { c.Causal = true }},
		{false, "gap: reject", func(c *C) { c.Gap = policies.GapReject }},
		{false, "gap: retry", func(c *C) { c.Gap = policies.GapRetry }},
		{false, "gap: apply", func(c *C) { c.Gap = policies.GapApply }},
		{true, "greatest", func(c *C) { c.OrderBy = policies.ByVersion }},
		{false, "poison: park", func(c *C) { c.OrderBy, c.Class.Poison = policies.ByVersion, policies.PoisonPark }},
		{false, "poison: park", func(c *C) {
			c.OrderBy, c.Classes = policies.ByVersion, classes(policies.Class{Poison: policies.PoisonPark})
		}},
		{false, "on_overflow: park", func(c *C) { c.OrderBy, c.OnOverflow = policies.ByVersion, policies.OnOverflowPark }},
		{true, "greatest", func(c *C) { c.OrderBy, c.OnOverflow, c.Retry.Max = policies.ByVersion, policies.OnOverflowPark, -1 }},
		{false, "reset: epoch", func(c *C) { c.OrderBy, c.Reset = policies.ByVersion, policies.ResetEpoch }},
		{false, "watermark", func(c *C) { c.OrderBy = policies.ByEventTime }},
	} {
		independent, why := sound(c.change).OrderIndependent()
		if independent != c.independent || !strings.Contains(why, c.why) {
			t.Errorf("want %v because of %q, got %v: %s", c.independent, c.why, independent, why)
		}
	}
}
