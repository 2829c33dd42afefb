package badgerdb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sampleStand() stand {
	return stand{number: 300, layout: "totals,order", checkpoint: statestore.Checkpoint{
		Cluster: "abc", Generation: 2, Wall: 1_700_000_000_123,
		Changelogs: []statestore.ChangelogPosition{{Position: statestore.Position{Topic: "t", Partition: 3, Offset: 42}, TopicID: [16]byte{1, 15: 2}}},
	}}
}

func TestStandGolden(t *testing.T) {
	t.Parallel()
	s := sampleStand()
	want := golden(t, "stand.hex")
	if got := s.append(nil); !bytes.Equal(got, want) {
		t.Errorf("bytes %x, want %x", got, want)
	}
	got, err := decodeStand(want)
	if d := cmp.Diff(s, got, cmp.AllowUnexported(stand{})); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestRowGolden(t *testing.T) {
	t.Parallel()
	want := golden(t, "row.hex")
	if got := sealRow(nil, []byte("skey"), []byte("row")); !bytes.Equal(got, want) {
		t.Errorf("bytes %x, want %x", got, want)
	}
	if got := appendMarkKey(nil, 65536+258); !bytes.Equal(got, []byte{'m', 1, 2}) {
		t.Errorf("mark key % x", got)
	}
	for i := range want {
		b := bytes.Clone(want)
		b[i] ^= 4
		if _, err := openRow([]byte("skey"), b); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	if _, err := openRow([]byte("sKey"), want); !errors.Is(err, ErrDamaged) {
		t.Errorf("the row of another key: %v", err)
	}
}

func FuzzDecodeStand(f *testing.F) {
	s := sampleStand()
	f.Add(s.append(nil))
	f.Add((&stand{}).append(nil))
	f.Add([]byte{1, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeStand(b); err == nil && !bytes.Equal(s.append(nil), b) {
			t.Errorf("% x is read as %+v", b, s)
		}
	})
}

func FuzzOpenRow(f *testing.F) {
	f.Add([]byte("k"), sealRow(nil, []byte("k"), []byte("row")))
	f.Add([]byte(""), sealRow(nil, nil, nil))
	f.Add([]byte("k"), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if row, err := openRow(key, b); err == nil && !bytes.Equal(sealRow(nil, key, row), b) {
			t.Errorf("% x is read as % x", b, row)
		}
	})
}

// The twin remembers every number: none up to the last may be missing, as far as
// slots reach.
func TestMarks(t *testing.T) {
	t.Parallel()
	with := func(last uint64, missing ...uint64) *[slots]uint64 {
		m := new([slots]uint64)
		for n := uint64(1); n <= last; n++ {
			lost := false
			for _, x := range missing {
				lost = lost || x == n
			}
			if !lost {
				m[n%slots] = n
			}
		}
		return m
	}
	for _, c := range []struct {
		name       string
		marks      *[slots]uint64
		checkpoint uint64
		last       uint64 // 0: damaged
	}{
		{"all there", with(5), 5, 5},
		{"a flush was broken off", with(7), 5, 7},
		{"the first is lost", with(5, 1), 5, 0},
		{"one before the last is lost", with(5, 4), 5, 0},
		{"the last are lost with the checkpoint", with(3), 3, 3},
		{"the checkpoint is newer than all", with(3), 4, 0},
		{"round the slots", with(slots + 10), slots + 10, slots + 10},
		{"lost after a round", with(slots+10, slots+3), slots + 10, 0},
		{"lost before a round", with(slots+10, 12), slots + 10, 0},
	} {
		last, err := checkMarks(c.marks, c.checkpoint)
		if last != c.last || errors.Is(err, ErrDamaged) != (c.last == 0) {
			t.Errorf("%s: last %d, %v", c.name, last, err)
		}
	}
}
