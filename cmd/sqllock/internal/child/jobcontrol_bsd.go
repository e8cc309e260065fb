//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package child

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// withoutSIGTTOU runs f with SIGTTOU ignored. A background process that changes the foreground group is stopped by that
// signal otherwise.
func withoutSIGTTOU(f func()) {
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	f()
}

// stopTakes bounds how long the system needs to stop us once it was told to.
const stopTakes = 100 * time.Millisecond

// stopThisProcess returns when the process was continued, or after a moment if its group is orphaned, that is, if there
// is no shell that could ever continue it: the system drops the signal then, and does not say so.
//
// SIGTSTP no longer stops a Go process that has once caught it, SIGTTOU one that has ignored it; SIGSTOP spares no
// orphans.
func stopThisProcess() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGTTIN)
	select {
	case <-continued:
	case <-time.After(stopTakes):
	}
}
