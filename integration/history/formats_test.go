package history

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The bytes that the writer of the formats keeps are read as what it says that they
// are.
func TestGoldenBytesAreUnderstood(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../topology/internal/task/testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		golden[name] = value
	}
	m, err := ParseMetadata(golden["metadata"])
	want := Metadata{Commit: 7, ProducerID: 4711, Epoch: 3, Clock: 1_700_000_000_123, StreamTime: 1_699_999_999_000, Journal: 42}
	want.Counts[delivered], want.Counts[applied], want.Counts[duplicate], want.Counts[held] = 10, 8, 1, 1
	if d := cmp.Diff(want, m); d != "" || err != nil {
		t.Errorf("metadata: %v, -want +got:\n%s", err, d)
	}
	b, err := hex.DecodeString(golden["journal"])
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseJournal(b)
	sources := []sourceEnd{{topic: "orders", offset: 2}, {topic: "refunds", offset: 312}}
	sources[0].counts[delivered], sources[0].counts[applied] = 3, 3
	sources[1].counts[skipped] = 12
	record := journalRecord{commit: 7, plan: 0x0123456789abcdef, continued: true, time: 1_699_999_999_000, sources: sources, steps: []step{
		{kind: 4},
		{kind: 1, clock: 1_700_000_000_123, slices: []slice{{0, 5, 9}, {1, 0, 300}}},
		{kind: 3, clock: 1_700_000_000_223},
		{kind: 5, clock: 1_700_000_000_224},
		{kind: 6, clock: 1_700_000_000_224, slices: []slice{{0, 9, 2}}},
		{kind: 7, clock: 1_700_000_000_224, slices: []slice{{1, 300, 310}}},
		{kind: 8, clock: 1_700_000_000_225, slices: []slice{{1, 310, 312}}},
	}}
	if d := cmp.Diff(record, j, cmp.AllowUnexported(journalRecord{}, step{}, slice{}, sourceEnd{})); d != "" || err != nil {
		t.Errorf("journal: %v, -want +got:\n%s", err, d)
	}
	for cut := range b {
		if _, err := parseJournal(b[:cut]); err == nil {
			t.Errorf("a journal record of %d of %d bytes is accepted", cut, len(b))
		}
	}
	if _, err := parseJournal(append(b, 0)); err == nil {
		t.Error("a journal record with a byte too many is accepted")
	}
}

func FuzzFormats(f *testing.F) {
	f.Add([]byte{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 1, 0, 0, 8, 0, 0, 1, 1, 't', 0, 0})
	f.Add([]byte{3, 1, 'A', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 3, 2, 4, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		// What is read is only ever judged; nothing may make the judge fall over.
		_, _ = parseJournal(b)
		_, _, _ = parseOrderKey(b)
		_, _, _ = parseOrderRow(b)
		_, _ = ParseMetadata(string(b))
		_, _ = parsePosition(b)
	})
}
