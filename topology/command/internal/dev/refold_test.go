package dev

import (
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/statestore"
)

func TestDifferenceNamesTheFirstRow(t *testing.T) {
	t.Parallel()
	state := func(applied int64, rows ...string) restored {
		m := statestore.NewMemory()
		for _, r := range rows {
			key, value, _ := strings.Cut(r, "=")
			if err := m.Apply([]statestore.Put{{Key: []byte(key), Row: []byte(value)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		return restored{m, policies.Counts{Applied: applied}}
	}
	for _, c := range []struct {
		a, b restored
		want string
	}{
		{state(1, "a=1", "b=2"), state(1, "b=2", "a=1"), ""},
		{state(1, "a=1"), state(2, "a=1"), "dispositions"},
		{state(1, "a=1", "b=2"), state(1, "a=1", "b=3"), `row "b" is "2", folded again "3"`},
		{state(1, "a=1", "b=2"), state(1, "b=2"), `row "a" is there, but is not when folded again`},
		{state(1, "a=1", "b=2"), state(1, "a=1"), `row "b" is there, but is not when folded again`},
		{state(1, "b=2"), state(1, "a=1", "b=2"), `row "a" is there only when folded again`},
		{state(1), state(1, "a=1"), `row "a" is there only when folded again`},
	} {
		got, err := c.a.difference(c.b)
		if err != nil || !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}
