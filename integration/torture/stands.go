//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
)

// stands reports whether the system has stopped the process: SIGSTOP is on its way
// for a while.
func (p *process) stands() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	// pid (name) state ...; the name may have anything in it.
	_, after, ok := bytes.Cut(stat[max(bytes.LastIndexByte(stat, ')'), 0):], []byte(" "))
	return ok && len(after) > 0 && after[0] == 'T'
}
