//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package child

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// catchStops keeps ^Z from stopping us while *our* group is in the foreground: we would stop and the command, in
// another group, would work on. Call it before there is a command, and forwardStops afterwards.
func (t *terminal) catchStops() {
	if t != nil {
		signal.Notify(t.stops, syscall.SIGTSTP)
	}
}

func (t *terminal) releaseStops() {
	if t != nil {
		signal.Stop(t.stops)
	}
}

// forwardStops passes ^Z on to the command. We stop when we see that it did.
func (t *terminal) forwardStops(c *Child) (end func()) {
	if t == nil {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case sig := <-t.stops:
				c.Signal(sig)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

// stopped reacts to the command's having been stopped.
func (c *Child) stopped(by syscall.Signal) {
	if c.tty == nil || c.isTerminating() {
		return // whoever stopped it may continue it; or it will be killed, which needs us running
	}
	ownsTerminal := c.tty.foreground() == c.pid
	wantsTerminal := by == syscall.SIGTTIN || by == syscall.SIGTTOU
	if !wantsTerminal || c.tty.foreground() != c.tty.ours {
		c.tty.takeBack(c.pid)
		c.tty.stopOurGroup()
		if c.resume != nil && !c.resume() {
			return
		}
	}
	if (ownsTerminal || wantsTerminal) && c.tty.foreground() == c.tty.ours {
		c.tty.give(c.pid)
	}
	c.Signal(syscall.SIGCONT)
}

// stopOurGroup stops this process, and its companions in the pipeline or script, and returns when it was continued.
func (t *terminal) stopOurGroup() {
	// We must not take the group's SIGTSTP for a ^Z. The kernel discards an ignored signal when it is sent.
	signal.Ignore(syscall.SIGTSTP)
	_ = unix.Kill(-t.ours, syscall.SIGTSTP)
	t.catchStops()
	stopThisProcess()
}
