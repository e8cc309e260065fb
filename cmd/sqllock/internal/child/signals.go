package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// ForwardedSignals are the signals that a supervisor should catch and pass to [Child.Signal]: TERM, INT, HUP and QUIT,
// without those that this process was started to ignore. Catching such a one would undo what nohup, or the shell's &,
// has arranged for the command.
func ForwardedSignals() []os.Signal {
	all := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	return slices.DeleteFunc(all, signal.Ignored)
}
