package command

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/serde"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"streamrun": func() { os.Exit(Main(nil)) },
		"ownapp": func() {
			b := topology.New("ownapp")
			topology.Sink(topology.Source(b, "in", serde.Of(serde.String(), serde.String())), "out", serde.Of(serde.String(), serde.String()))
			topo, err := b.Build()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(exitFailure)
			}
			os.Exit(Main(topo))
		},
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := filepath.Abs("../../reorder/scenario/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			env.Setenv("VECTORS", vectors)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command and expects its exit code: exits CODE COMMAND [ARG...].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// The main job on the real log, where it is.
func TestMainJobOnRealInput(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("STREAMRUN_REAL_INPUT")
	if folder == "" {
		t.Log("STREAMRUN_REAL_INPUT is not set: no real input was read")
		return
	}
	out, err := exec.CommandContext(t.Context(), "streamrun", "dev", "-c", "../../examples/permits/streamrun.yaml",
		"--feed", filepath.Join(folder, "permit-receipt.ndjson.gz"), "--shuffle", "50", "--duplicate", "10%", "--seed", "1", "--kill", "3", "--until-idle").Output()
	const want = "\nin 8577 + 858 copies | applied 8577 | duplicate 858 | held 0 | dead-lettered 0 | killed 3, in an open transaction 3 | " +
		"1434 entities = in-order fold: yes | table read back read_committed: equal | folded again from inputs and journal: equal\n"
	if err != nil || !strings.HasSuffix(string(out), want) {
		t.Errorf("error %v, output:\n%s", err, out)
	}
}

// An interrupted dev stops its app, and says by its exit code who asked for it.
func TestSignals(t *testing.T) {
	t.Parallel()
	events := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(events, []byte(`{"case_id":"a","sequence":1,"event_id":"1","event_time":"2026-01-05T08:00:00Z","last":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	never := filepath.Join(t.TempDir(), "never.ndjson") // its first event never comes
	if err := os.WriteFile(never, []byte(`{"case_id":"a","sequence":2,"event_id":"2","event_time":"2026-01-05T08:00:00Z","last":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signal syscall.Signal
		args   []string
		want   int
	}{
		{syscall.SIGINT, []string{"--feed", events}, exitInterrupted},
		{syscall.SIGTERM, []string{"--feed", events}, 0},
		{syscall.SIGINT, []string{"--feed", never, "--until-idle"}, exitInterrupted},
		{syscall.SIGTERM, []string{"--feed", never, "--until-idle"}, exitFailure},
	} {
		t.Run(fmt.Sprint(c.signal, c.args[2:]), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "streamrun", append([]string{"dev", "-c", "../../examples/permits/streamrun.yaml"}, c.args...)...)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			limit := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			defer limit.Stop()
			lines := bufio.NewScanner(stderr)
			for lines.Scan() && !strings.Contains(lines.Text(), "broker is up") {
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
				t.Log(lines.Text())
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}
