//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
)

// A drain in small. What depends on time is a matter of the machine too: one run of a few
// must be good in everything, and all of them in the rest.
func TestADrainInSmall(t *testing.T) {
	good := false
	for attempt := 0; attempt < 4 && !good; attempt++ {
		var out, log bytes.Buffer
		code := run(t.Context(), strings.Fields("drain -held 20000 -rate 500 -quiet 2s -limit 1m"), nil, &out, &log)
		if code != 0 && code != exitNo {
			t.Fatalf("exit code %d\n%s%s", code, out.String(), log.String())
		}
		for _, want := range []string{"  others: p99 ", "  drain: ", "good  group: 0 changes", "good  memory: "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, out.String())
			}
		}
		if bad := strings.Contains(out.String(), "BAD"); bad != (code == exitNo) {
			t.Errorf("exit code %d:\n%s", code, out.String())
		}
		good = code == 0
		t.Log(out.String())
	}
	if !good {
		t.Error("no run is good")
	}
}
