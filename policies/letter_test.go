package policies_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
)

func letters() []policies.Letter {
	return []policies.Letter{
		{
			Topic: "orders", Partition: 3, Offset: 1234, Exception: "*orders.StateError", Message: "a closed order cannot be paid",
			ID: "pay-7", Reason: policies.ReasonPoison, Rule: 13, Entity: "order/7", Epoch: 2, HasSequence: true, Sequence: 42,
			Step: "totals", Attempts: 4, FirstAt: 1_700_000_000_123,
		},
		{Topic: "orders", Reason: policies.ReasonUndecodable, Rule: policies.NoRule, Message: "at byte 7: \xff", Step: "in-order"},
		{Topic: "t", Partition: 1<<31 - 1, Offset: 1<<63 - 1, Reason: policies.ReasonInvalidMetadata, HasSequence: true, Sequence: -5, Entity: "e", Step: "s", FirstAt: -1},
	}
}

func TestLetterHeadersNeverChange(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, l := range letters() {
		hs := policies.AppendLetter(headers("ce_id=original"), &l)
		b.WriteString(lines(hs) + "\n")
		got, err := policies.ReadLetter(hs)
		if err != nil || got != l {
			t.Errorf("wrote %+v, read %+v, %v", l, got, err)
		}
	}
	golden(t, "letters.golden", b.String())
}

func TestReadLetterWantsEveryHeaderThatIsAlwaysWritten(t *testing.T) {
	t.Parallel()
	l := letters()[1]
	l.Message = ""
	all := policies.AppendLetter([]foreign(nil), &l)
	for i, h := range all {
		if _, err := policies.ReadLetter(slices.Delete(slices.Clone(all), i, i+1)); err == nil || !strings.Contains(err.Error(), string(h.Key)) {
			t.Errorf("without %s: %v", h.Key, err)
		}
	}
	if _, err := policies.ReadLetter(headers("ce_id=x")); !errors.Is(err, policies.ErrNoLetter) {
		t.Errorf("a plain record: %v", err)
	}
}

func TestReadLetterRefusesWhatAppendLetterDoesNotWrite(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"__streams.errors.partition=03", "__streams.errors.partition=2147483648", "__streams.errors.offset=+1", "__streams.errors.offset=",
		"__streams.errors.message=", "__streams.errors.message=" + strings.Repeat("x", policies.MaxLetterText+1), "__streams.errors.exception=",
		"streamrun.dlq.id=", "streamrun.dlq.entity=", "streamrun.dlq.reason=", "streamrun.dlq.rule=R20", "streamrun.dlq.rule=r1", "streamrun.dlq.rule=",
		"streamrun.dlq.epoch=x", "streamrun.dlq.sequence=007", "streamrun.dlq.attempts=-0", "streamrun.dlq.first_at=2023-11-14T22:13:20Z",
		"streamrun.dlq.first_at=2023-11-14T22:13:20.000+00:00", "streamrun.dlq.first_at=2023-11-14T22:13:20,000Z", "streamrun.dlq.generation=2",
	} {
		hs := append(policies.AppendLetter([]foreign(nil), &letters()[0]), headers(bad)...)
		var e *policies.HeaderError
		if l, err := policies.ReadLetter(hs); !errors.As(err, &e) || !strings.HasPrefix(bad, e.Header+"=") || l != (policies.Letter{}) {
			t.Errorf("%s: %+v, %v", bad, l, err)
		}
	}
}

func TestALetterOfALetterSaysWhyItIsHereNow(t *testing.T) {
	t.Parallel()
	ls := letters()
	hs := policies.AppendLetter(policies.AppendLetter([]foreign(nil), &ls[0]), &ls[2])
	l, err := policies.ReadLetter(hs)
	if err != nil || l.Reason != ls[2].Reason || l.Offset != ls[2].Offset {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := policies.ReadLetter(append(hs, headers("__streams.errors.stacktrace=at line 1")...)); err != nil {
		t.Errorf("with a stack trace: %+v, %v", l, err)
	}
}

func TestLongTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	l := letters()[0]
	l.Message, l.FirstAt = strings.Repeat("x", policies.MaxLetterText-1)+"\u00e4\u00e4", 1<<62
	got, err := policies.ReadLetter(policies.AppendLetter([]foreign(nil), &l))
	if err != nil || got.Message != l.Message[:policies.MaxLetterText-1] || got.FirstAt != 253402300799999 {
		t.Errorf("%d bytes, at %d, %v", len(got.Message), got.FirstAt, err)
	}
}

func FuzzReadLetter(f *testing.F) {
	for _, l := range letters() {
		f.Add(packHeaders(policies.AppendLetter([]foreign(nil), &l)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		hs := cutHeaders(data)
		l, err := policies.ReadLetter(hs)
		if err != nil {
			return
		}
		// Of the headers given, the last of each name that a letter has is what is written again.
		last := map[string]string{}
		for _, h := range hs {
			last[string(h.Key)] = string(h.Value)
		}
		again := policies.AppendLetter([]foreign(nil), &l)
		for _, h := range again {
			if value, ok := last[string(h.Key)]; !ok || value != string(h.Value) {
				t.Fatalf("%s was %q, is %q", h.Key, value, h.Value)
			}
		}
		if back, err := policies.ReadLetter(again); err != nil || !reflect.DeepEqual(l, back) {
			t.Fatalf("%+v, then %+v, %v", l, back, err)
		}
	})
}

func TestLetterCauseIsTheLastReason(t *testing.T) {
	headers := policies.AppendLetter([]policies.Header{{Key: []byte("own"), Value: []byte("x")}}, &policies.Letter{Reason: policies.ReasonPoison, Rule: 13})
	headers = policies.AppendLetter(headers, &policies.Letter{Reason: policies.ReasonUndecodable, Rule: policies.NoRule})
	if reason, rule := policies.LetterCause(headers); string(reason) != "undecodable" || string(rule) != "-" {
		t.Errorf("got %q, %q", reason, rule)
	}
	if reason, rule := policies.LetterCause(headers[:1]); reason != nil || rule != nil {
		t.Errorf("of no letter: %q, %q", reason, rule)
	}
	if n := testing.AllocsPerRun(100, func() { policies.LetterCause(headers) }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}
