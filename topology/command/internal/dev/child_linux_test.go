package dev

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestParentOfAnApp is no test: it is the process that
// TestTheAppEndsWhenItsParentIsKilled kills.
func TestParentOfAnApp(_ *testing.T) {
	if os.Getenv("DEV_TEST_PARENT") == "" {
		return
	}
	app := newChild("sleep", []string{"600"})
	if err := app.start(); err != nil {
		panic(err)
	}
	fmt.Printf("app %d\n", app.current.cmd.Process.Pid)
	select {}
}

func TestTheAppEndsWhenItsParentIsKilled(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestParentOfAnApp$")
	parent.Env = append(os.Environ(), "DEV_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "app %d", &pid) // other lines are the testing package's
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // it is gone, unless the test failed
	if !alive(pid) {
		t.Fatalf("the app (process %d) does not run", pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // says that it was killed
	for deadline := time.Now().Add(10 * time.Second); alive(pid); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the app (process %d) outlives its parent", pid)
		}
	}
}

// alive reports whether a process runs; one that only waits to be reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
