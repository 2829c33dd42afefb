//go:build unix && !linux

package dev

import "syscall"

// ownGroup keeps an interrupt at the keyboard from the app: it is this program that
// stops it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
