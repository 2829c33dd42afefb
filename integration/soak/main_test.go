package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The lines that a run ends with when all is well do not say why it failed: those before
// them do, and what it printed to stderr.
func TestKeepsWhyARunFailed(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for n := range 100 {
		fmt.Fprintf(&b, "line %d\n\n", n)
	}
	if got := told(b.String(), 2, nil); !slices.Equal(got, []string{"line 98", "line 99"}) {
		t.Errorf("of a run that succeeded: %q", got)
	}
	got := told(b.String(), 2, errors.New("exit status 1:\nwaiting\nnot within a minute"))
	if len(got) != 43 || got[0] != "line 60" || !slices.Equal(got[40:], []string{"FAILED: exit status 1:", "waiting", "not within a minute"}) {
		t.Errorf("of a run that failed: %q", got)
	}
}

// What a command prints to stderr is in its error.
func TestAnErrorHasWhatWasPrinted(t *testing.T) {
	t.Parallel()
	said, err := output(t.Context(), "sh", "-c", "echo table; echo first >&2; echo second >&2; exit 3")
	if said != "table\n" || err == nil || err.Error() != "exit status 3:\nfirst\nsecond" {
		t.Errorf("it said %q, and %v", said, err)
	}
}
