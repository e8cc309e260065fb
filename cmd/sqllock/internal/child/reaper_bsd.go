//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package child

import (
	"os"
	"os/signal"
	"syscall"
)

// reaper learns of changes from SIGCHLD, because not all of these systems can wait without reaping.
type reaper struct {
	changes chan os.Signal
	ended   bool
	status  syscall.WaitStatus
}

func (r *reaper) prepare() {
	r.changes = make(chan os.Signal, 1) // one is enough: a signal that does not fit says what the one in the channel says
	signal.Notify(r.changes, syscall.SIGCHLD)
}

func (r *reaper) discard() { signal.Stop(r.changes) }

// awaitChange blocks until the leader was stopped, and returns the signal that did it, or has ended, and returns 0.
// It reaps, under the same lock as signals are sent, so none is sent to a number that is no longer ours.
func (c *Child) awaitChange() (stop syscall.Signal, err error) {
	for {
		stop, changed, err := c.poll()
		if changed || err != nil {
			return stop, err
		}
		<-c.reaper.changes
	}
}

func (c *Child) poll() (stop syscall.Signal, changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.Wait4(c.pid, &c.reaper.status, syscall.WNOHANG|syscall.WUNTRACED, nil)
	switch {
	case err == syscall.EINTR, err == nil && pid == 0:
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case c.reaper.status.Stopped():
		return c.reaper.status.StopSignal(), true, nil
	}
	c.reaper.ended = true
	c.reaped = true
	return 0, true, nil
}

func (c *Child) reap() (syscall.WaitStatus, error) {
	for !c.reaper.ended {
		if _, err := syscall.Wait4(c.pid, &c.reaper.status, 0, nil); err != syscall.EINTR {
			return c.reaper.status, err
		}
	}
	return c.reaper.status, nil
}

func setParentDeathSignal(*syscall.SysProcAttr) {}
