//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test's program be the app's process as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "app" || os.Args[1] == "drain-app") {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Every drill in small, on the embedded broker; the full counts are for the command.
func TestDrillsInSmall(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "") // another test's
	for _, c := range []struct {
		args, want string
	}{
		{"kill9 -kills 3 -instances 2 -events 6000 -partitions 4 -rate 1000", "wiped 0; "},
		{"stop -kills 1 -instances 2 -events 3000 -partitions 4 -rate 2000 -session 1s -transaction 2s", "refused when they woke: 1 commits"},
		{"storm -kills 4 -instances 2 -events 3000 -partitions 4 -every 1s", "storm 4: one leaves"},
		{"timeout -kills 12 -instances 2 -events 4000 -partitions 4 -rate 1000 -transaction 2s", "EndTxn, applied                      injected   1 (   1 requests), turned out committed   1, aborted   0"},
		{"disk -kills 6 -instances 2 -events 6000 -partitions 4 -rate 2000", "directories cut: "},
		{"truncate -instances 2 -events 3000 -partitions 4 -rate 2000", "its committed offset stayed: true"},
	} {
		verb, _, _ := strings.Cut(c.args, " ")
		t.Run(verb, func(t *testing.T) {
			var said string
			// A busy machine may stop an instance that has nothing in hand: another seed
			// then. Every run must be OK, and one of them must show what is wanted.
			for attempt := 0; attempt < 3 && !strings.Contains(said, c.want); attempt++ {
				var out, log bytes.Buffer
				if code := run(t.Context(), strings.Fields(c.args), nil, &out, &log); code != 0 {
					t.Fatalf("exit code %d\n%s%s", code, out.String(), log.String())
				}
				said = out.String()
				if !strings.Contains(said, "\nOK: torture "+verb) || !strings.Contains(said, "seed ") {
					t.Fatalf("it does not say OK and its seed:\n%s", said)
				}
				if verb != "truncate" && !strings.Contains(said, " of 4 tasks equal their changelogs (") {
					t.Fatalf("it compared no directories:\n%s", said)
				}
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("it does not say %q:\n%s", c.want, said)
			}
		})
	}
}

func TestWhatCannotBeRunIsRefused(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "")
	for _, c := range []struct{ args, want string }{
		{"", "usage: torture"},
		{"burn", "usage: torture"},
		{"drain -held 10", "at least"},
		{"drain now", `what is "now"`},
		{"kill9 now", `what is "now"`},
		{"kill9 -kills 0", "at least 1"},
		{"kill9 -nodes 2", "a cluster has 1 or 3"},
		{"leader", "needs -nodes 3"},
		{"coordinator -nodes 1", "needs -nodes 3"},
		{"timeout -brokers localhost:9092", "embedded broker"},
		{"stop -instances 1", "another instance"},
		{"timeout -kills 11", "timeout needs 12"},
		{"storm -nonsense", "not defined: -nonsense"},
	} {
		var out, log bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), nil, &out, &log); code != exitUsage || !strings.Contains(log.String(), c.want) || out.Len() > 0 {
			t.Errorf("%q: code %d, said %q", c.args, code, log.String())
		}
	}
}
