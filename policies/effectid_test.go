package policies_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
)

func effectIDs() []policies.EffectID {
	return []policies.EffectID{
		{App: "shop", Effect: "charge", Entity: "order-7", Epoch: 2, Sequence: 42},
		{App: "shop", Effect: "charge", Entity: "order-7", Sequence: 42, N: 1},
		{App: "shop", Effect: "charge", Entity: "a/b%c@d e\u00e4\x00", Sequence: 1},
		{App: "shop", Effect: "remind", Entity: "order-7", Timer: "expire", Due: 1_700_000_000_000},
		{App: "shop", Effect: "remind", Entity: "order-7", Timer: "a/b", Due: -5},
		{App: "shop", Effect: "index", Entity: "order-7", Event: "pay-7"},
		{App: "shop", Effect: "index", Entity: "order-7", Event: "42"},
		{App: "shop", Effect: "index", Entity: "order-7", Event: "expire@1700000000000"},
		{App: "shop", Effect: "index", Entity: "order-7", Event: "order-7/0/42"},
	}
}

func TestEffectIDsNeverChange(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, id := range effectIDs() {
		b.WriteString(id.String() + "\n")
		if got, err := policies.ParseEffectID(id.String()); err != nil || got != id {
			t.Errorf("%+v became %+v, %v", id, got, err)
		}
	}
	golden(t, "effectids.golden", b.String())
}

func TestParseEffectIDRefusesOtherTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "a/b/c/0/1", "a/b/c/0/1/0/0", "/b/c/0/1/0", "a//c/0/1/0", "a/b//0/1/0", "a/b/c//1/0", "a/b/c/0//0", "a/b/c/0/1/",
		"a/b/c/01/1/0", "a/b/c/-1/1/0", "a/b/c/0/01/0", "a/b/c/0/9223372036854775808/0", "a/b/c/0/1/-1", "a/b/c/0/1/00",
		"a/b/c/0/t@/0", "a/b/c/0/@1/0", "a/b/c/0/t@+1/0", "a/b/c/0/t@1@2/0", "a/b/c%/0/1/0", "a/b/c%2/0/1/0", "a/b/c%2f/0/1/0",
		"a/b/c%41/0/1/0", "a/b/c%zz/0/1/0", "a/b/c d/0/1/0", "a/b/\u00e4/0/1/0", "a/b/c/0/%31a/0", "a/b/c/0/4%32/0",
	} {
		if id, err := policies.ParseEffectID(text); err == nil || id != (policies.EffectID{}) {
			t.Errorf("%q: %+v, %v", text, id, err)
		}
	}
}

func TestDistinctEffectsHaveDistinctIDs(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.RuneFrom([]rune("a1/%@2F")), 1, 4, -1)
	number := rapid.Int64Range(0, 12)
	gen := rapid.Custom(func(t *rapid.T) policies.EffectID {
		id := policies.EffectID{
			App: text.Draw(t, "app"), Effect: text.Draw(t, "effect"), Entity: text.Draw(t, "entity"),
			Epoch: number.Draw(t, "epoch"), N: int(number.Draw(t, "n")),
		}
		switch rapid.IntRange(0, 2).Draw(t, "input") {
		case 0:
			id.Sequence = number.Draw(t, "sequence")
		case 1:
			id.Event = text.Draw(t, "event")
		default:
			id.Timer, id.Due = text.Draw(t, "timer"), number.Draw(t, "due")
		}
		return id
	})
	rapid.Check(t, func(t *rapid.T) {
		id := gen.Draw(t, "id")
		got, err := policies.ParseEffectID(id.String())
		if err != nil || got != id {
			t.Fatalf("%+v is %q is %+v, %v", id, id, got, err)
		}
	})
}

func FuzzParseEffectID(f *testing.F) {
	for _, id := range effectIDs() {
		f.Add(id.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := policies.ParseEffectID(text)
		if err == nil && id.String() != text {
			t.Fatalf("%q became %q", text, id)
		}
	})
}
