package serde_test

import (
	"bytes"
	"testing"

	"github.com/streamrun/streamrun/topology/serde"
)

func roundTrip[T comparable](t *testing.T, s serde.Serde[T], v T, want string) {
	t.Helper()
	b, err := s.Append([]byte(">"), v)
	if err != nil || string(b) != ">"+want {
		t.Errorf("%v is written as %q, %v; want %q", v, b, err, ">"+want)
	}
	if got, err := s.Decode(b[1:]); err != nil || got != v {
		t.Errorf("%q is read as %v, %v; want %v", b[1:], got, err, v)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	roundTrip(t, serde.String(), "a\x00b", "a\x00b")
	roundTrip(t, serde.Int64(), -2, "\xff\xff\xff\xff\xff\xff\xff\xfe")
	roundTrip(t, serde.JSON[point](), point{1, 2}, `{"X":1,"Y":2}`)
	b := []byte("same")
	if got, _ := serde.Bytes().Decode(b); &got[0] != &b[0] {
		t.Error("Bytes copies")
	}
	if got, _ := serde.Bytes().Append(nil, b); !bytes.Equal(got, b) || &got[0] == &b[0] {
		t.Errorf("Bytes writes %q", got)
	}
}

func TestBadBytesAreErrors(t *testing.T) {
	t.Parallel()
	if _, err := serde.Int64().Decode([]byte{1}); err == nil {
		t.Error("one byte is an int64")
	}
	if _, err := serde.JSON[int]().Decode([]byte("x")); err == nil {
		t.Error("x is JSON")
	}
}
