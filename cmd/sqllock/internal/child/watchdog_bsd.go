//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package child

// watchdog does not exist here: it relies on /proc for its executable, and on a leader that can be watched without
// being reaped.
type watchdog struct{}

func startWatchdog() (*watchdog, error) { return nil, nil }
func (*watchdog) guard(int) error       { return nil }
func (*watchdog) dismiss()              {}

// RunWatchdogIfAsked does nothing: there is no watchdog on this system.
func RunWatchdogIfAsked() {}
