package statestore

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRowRoundTrip(t *testing.T) {
	t.Parallel()
	for _, parts := range [][][]byte{
		{nil, nil, nil},
		{[]byte("row"), nil, nil},
		{nil, []byte{}, nil},
		{[]byte("row"), nil, []byte("value")},
		{nil, nil, bytes.Repeat([]byte("x"), 300)},
	} {
		got := make([][]byte, 3)
		if err := DecodeRow(AppendRow(nil, parts), got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(parts, got); d != "" {
			t.Error(d)
		}
	}
}

func TestRowGolden(t *testing.T) {
	t.Parallel()
	got := AppendRow(nil, [][]byte{[]byte("ab"), nil, {}, []byte("c"), nil})
	if want := []byte{1, 3, 'a', 'b', 0, 1, 2, 'c'}; !bytes.Equal(got, want) {
		t.Errorf("row % x, want % x", got, want)
	}
}

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte{1, 3, 'a', 'b', 0, 1, 2, 'c'})
	f.Add([]byte{1})
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 0x81, 0})
	f.Add([]byte{2, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		parts := make([][]byte, 4)
		if DecodeRow(row, parts) == nil && !bytes.Equal(AppendRow(nil, parts), row) {
			t.Errorf("% x is read as % x", row, parts)
		}
	})
}
