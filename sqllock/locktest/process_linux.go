package locktest

import "syscall"

// dieWithParent keeps a stopped helper process, which cannot notice that its pipe is closed, from staying for ever.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
