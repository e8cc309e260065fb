package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// withoutSIGTTOU runs f with SIGTTOU blocked in this thread, to which the caller's goroutine must be locked. A
// background process that changes the foreground group is stopped by that signal otherwise.
func withoutSIGTTOU(f func()) {
	var block, before unix.Sigset_t
	block.Val[0] = 1 << (syscall.SIGTTOU - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before); err != nil {
		return
	}
	f()
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
}

// stopThisProcess returns when the process was continued; at once if its group is orphaned, that is, if there is no
// shell that could ever continue it. A signal to the calling thread is dealt with before the system call returns, so
// nothing here runs on for a moment while the stop is under way.
//
// It is not SIGTSTP, which no longer stops a Go process that has once caught it, nor SIGSTOP, which spares no orphans.
func stopThisProcess() {
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), syscall.SIGTTOU)
}
