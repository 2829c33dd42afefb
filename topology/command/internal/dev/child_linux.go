package dev

import "syscall"

// ownGroup keeps an interrupt at the keyboard from the app: it is this program that
// stops it. If this program is killed its broker is gone, and the app must not stay
// and hold the data directory. The kernel asks for the thread that started the app,
// which the Go runtime keeps as long as the process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
