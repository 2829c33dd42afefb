//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
)

// A drain in small. What depends on time is a matter of the machine, and is judged by who
// runs the drill: here it only has to be told.
func TestADrainInSmall(t *testing.T) {
	var out, log bytes.Buffer
	code := run(t.Context(), strings.Fields("drain -held 20000 -rate 500 -quiet 2s -limit 1m"), nil, &out, &log)
	said := out.String()
	if code != 0 && code != exitNo {
		t.Fatalf("exit code %d\n%s%s", code, said, log.String())
	}
	for _, want := range []string{"  others: p99 ", "  drain: ", "good  group: 0 changes", "good  memory: "} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if bad := strings.Contains(said, "BAD"); bad != (code == exitNo) {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}
