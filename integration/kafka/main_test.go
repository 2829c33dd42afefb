//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		secure string
		want   int
		says   string
	}{
		"nothing":    {nil, "", exitUsage, "usage:"},
		"two nodes":  {[]string{"up", "2"}, "", exitUsage, "usage:"},
		"SEC=yes":    {[]string{"up"}, "yes", exitUsage, "it is 0 or 1"},
		"nothing up": {[]string{"down"}, "", 0, "no cluster is up"},
		"no java":    {[]string{"up"}, "", exitMissing, "apt-get install"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			var out, progress bytes.Buffer
			if got := run(t.Context(), c.args, c.secure, t.TempDir(), &out, &progress); got != c.want || !strings.Contains(progress.String(), c.says) || out.Len() > 0 {
				t.Errorf("code %d, said %q, printed %q", got, progress.String(), out.String())
			}
		})
	}
}

// What is left of a start that failed, was killed, or whose machine went down does
// not keep the next one from starting.
func TestStartsOverWhatWasLeft(t *testing.T) {
	for name, left := range map[string]string{
		"before the state": "log4j2.properties",
		"dead nodes":       "state.json",
	} {
		t.Run(name, func(t *testing.T) {
			bin, cache := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "java"), []byte("#!/bin/sh\necho 'version \"17\"' >&2\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			dir := filepath.Join(cache, "cluster")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, left), []byte(`{"nodes": [{"id": 1, "pid": 999999999}]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			var progress bytes.Buffer
			// There is no Maven, so it ends when it has made room.
			if got := run(t.Context(), []string{"up"}, "", cache, io.Discard, &progress); got != exitMissing {
				t.Errorf("code %d: %s", got, progress.String())
			}
			if found, err := os.ReadDir(dir); len(found) > 0 {
				t.Errorf("left: %v, %v", found, err)
			}
		})
	}
}

func TestOneClusterAtATimeUntilDown(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	dir := filepath.Join(cache, "cluster")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A process with the command line of a node, by the shell's $0.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", filepath.Join(dir, "n1", "server.properties"))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 3)); err != nil { // the trap is set
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	state := fmt.Sprintf(`{"nodes": [{"id": 1, "port": 20001, "pid": %d}]}`, cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if got := run(t.Context(), []string{"up"}, "", cache, &out, &progress); got != exitRunning || out.Len() > 0 {
		t.Errorf("up: code %d, printed %q", got, out.String())
	}
	want := fmt.Sprintf("KAFKA_BROKERS=127.0.0.1:20001, pids [%d]; end it with integration/kafka/down", cmd.Process.Pid)
	if !strings.Contains(progress.String(), want) {
		t.Errorf("up said %q, want %q", progress.String(), want)
	}
	if got := run(t.Context(), []string{"down"}, "", cache, &out, &progress); got != 0 {
		t.Errorf("down: code %d: %s", got, progress.String())
	}
	if err := <-ended; cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("it did not end by SIGTERM: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("its data is left")
	}
}
