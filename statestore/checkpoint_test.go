package statestore

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleCheckpoint() Checkpoint {
	return Checkpoint{
		Cluster: "abc", Generation: 2, Wall: 1_700_000_000_123,
		Changelogs: []ChangelogPosition{
			{Position{"a-changelog", 3, 42}, [16]byte{1, 2, 15: 16}},
			{Position{"b-order", 0, 300}, [16]byte{}},
		},
	}
}

func TestCheckpointGolden(t *testing.T) {
	t.Parallel()
	c := sampleCheckpoint()
	const want = "010361626302f6a1abfef962020b612d6368616e67656c6f6701020000000000000000000000000010032a07622d6f7264657200000000000000000000000000000000" + "00ac02"
	b := c.Append(nil)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("bytes %s, want %s", got, want)
	}
	got, err := DecodeCheckpoint(b)
	if d := cmp.Diff(c, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c := sampleCheckpoint()
	f.Add(c.Append(nil))
	f.Add((&Checkpoint{}).Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeCheckpoint(b); err == nil && string(c.Append(nil)) != string(b) {
			t.Errorf("% x is read as %+v", b, c)
		}
	})
}
