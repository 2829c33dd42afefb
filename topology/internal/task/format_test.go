package task

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/record"
)

var (
	sampleMetadata = Metadata{
		Commit: 7, Writer: Writer{ProducerID: 4711, Epoch: 3}, Clock: 1_700_000_000_123, StreamTime: 1_699_999_999_000, Journal: 42,
		Counts: policies.Counts{Delivered: 10, Applied: 8, Duplicate: 1, Held: 1},
	}
	sampleJournal = JournalRecord{
		Commit: 7, Plan: 0x0123456789abcdef, Continued: true,
		Steps: []JournalStep{
			{Kind: StepOpen},
			{Kind: StepRecords, Clock: 1_700_000_000_123, Wall: 1_700_000_000_523, Budget: 1000, Slices: []Slice{{0, 5, 9}, {1, 0, 300}}, Facts: []Fact{{1, 7, 2, "totals"}}},
			{Kind: StepTick, Clock: 1_700_000_000_223, Wall: 1_700_000_000_223, Budget: 1000},
			{Kind: StepCommand, Clock: 1_700_000_000_224, Wall: 1_700_000_000_224, Budget: 1000, Entity: "A", Word: "redrive"},
			{Kind: StepRewind, Clock: 1_700_000_000_224, Wall: 1_700_000_000_224, Slices: []Slice{{0, 9, 2}}},
			{Kind: StepJump, Clock: 1_700_000_000_224, Wall: 1_700_000_000_224, Slices: []Slice{{1, 300, 310}}},
			{Kind: StepSkip, Clock: 1_700_000_000_225, Wall: 1_700_000_000_225, Slices: []Slice{{1, 310, 312}}},
		},
		StreamTime: 1_699_999_999_000,
		Sources:    []JournalSource{{"orders", 2, policies.Counts{Delivered: 3, Applied: 3}}, {"refunds", 312, policies.Counts{Skipped: 12}}},
	}
	samplePayload = record.Record{
		Timestamp: 1_700_000_000_123, Key: []byte("A"), Value: []byte(`{"n":1}`),
		Headers: []record.Header{{Key: []byte("ce_sequence"), Value: []byte("1")}, {Key: []byte("x")}},
	}
)

// The bytes of a format never change: golden.txt has a line "name hex" for each.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, bytes, _ := strings.Cut(strings.TrimSpace(line), " ")
		golden[name] = bytes
	}
	got := map[string]string{
		"metadata": sampleMetadata.String(),
		"journal":  hex.EncodeToString(sampleJournal.Append(nil)),
		"payload":  hex.EncodeToString(appendPayload(nil, &samplePayload)),
	}
	if d := cmp.Diff(golden, got); d != "" {
		t.Error(d)
	}
}

func TestFormatsRoundTrip(t *testing.T) {
	t.Parallel()
	if m, err := ParseMetadata(sampleMetadata.String()); err != nil || m != sampleMetadata {
		t.Errorf("metadata %+v, %v", m, err)
	}
	if j, err := DecodeJournal(sampleJournal.Append(nil)); err != nil || cmp.Diff(sampleJournal, j) != "" {
		t.Errorf("journal %v, %s", err, cmp.Diff(sampleJournal, j))
	}
	if p, err := decodePayload(appendPayload(nil, &samplePayload)); err != nil || cmp.Diff(samplePayload, p) != "" {
		t.Errorf("payload %v, %s", err, cmp.Diff(samplePayload, p))
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add(sampleMetadata.String())
	f.Add(Metadata{}.String())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMetadata(s); err == nil && m.String() != s {
			t.Errorf("%q is read as %+v, which is %q", s, m, m.String())
		}
	})
}

func FuzzDecodeJournal(f *testing.F) {
	f.Add(sampleJournal.Append(nil))
	f.Add((&JournalRecord{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if j, err := DecodeJournal(b); err == nil && string(j.Append(nil)) != string(b) {
			t.Errorf("% x is read as %+v", b, j)
		}
	})
}

func FuzzDecodePayload(f *testing.F) {
	f.Add(appendPayload(nil, &samplePayload))
	f.Add(appendPayload(nil, &record.Record{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodePayload(b); err == nil && string(appendPayload(nil, &r)) != string(b) {
			t.Errorf("% x is read as %+v", b, r)
		}
	})
}
