package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// ForwardedSignals are the signals that a supervisor should catch and pass to [Child.Signal]: TERM, INT, HUP and QUIT,
// without those that this process was started to ignore. Catching such a one would undo what nohup, or the shell's &,
// has arranged for the command. Of TERM and QUIT that cannot be known: Go does not let a process inherit their being
// ignored, so these two are always among them.
func ForwardedSignals() []os.Signal {
	all := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	return slices.DeleteFunc(all, signal.Ignored)
}
