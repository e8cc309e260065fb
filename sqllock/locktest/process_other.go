//go:build !linux

package locktest

import "syscall"

// dieWithParent: elsewhere a helper process ends when its pipe is closed.
func dieWithParent() *syscall.SysProcAttr { return nil }
