package child

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reaper needs no state on Linux: the kernel can tell of a death and leave the zombie in place.
type reaper struct{}

func (reaper) prepare() {}
func (reaper) discard() {}

// si_code of a child that was stopped; it is in no package's constants.
const cldStopped = 5

// awaitChange blocks until the leader was stopped, and returns the signal that did it, or has ended, and returns 0.
// It does not reap.
func (c *Child) awaitChange() (stop syscall.Signal, err error) {
	for {
		var seen, taken unix.Siginfo
		if err := c.waitid(&seen, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT); err != nil || seen.Code != cldStopped {
			return 0, err
		}
		// Take the stop out of the queue, and nothing else: an exit that came in between must stay a zombie. The leader may
		// also have been continued in between; then there is nothing to take (ECHILD, if it has ended too), and nothing to do.
		err := c.waitid(&taken, unix.WSTOPPED|unix.WNOHANG)
		if err == nil && taken.Code == cldStopped {
			return stopSignal(&taken), nil
		}
		if err != nil && !errors.Is(err, unix.ECHILD) {
			return 0, err
		}
	}
}

func (c *Child) waitid(info *unix.Siginfo, options int) error {
	for {
		err := unix.Waitid(unix.P_PID, c.pid, info, options, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// stopSignal reads si_status, which unix.Siginfo keeps in its unnamed part.
func stopSignal(info *unix.Siginfo) syscall.Signal {
	type siginfoChild struct {
		_      [3]int32                               // si_signo, si_errno, si_code
		_      [unsafe.Sizeof(uintptr(0))/4 - 1]int32 // the union that follows is aligned like a pointer
		_, _   int32                                  // si_pid, si_uid
		status int32
	}
	return syscall.Signal((*siginfoChild)(unsafe.Pointer(info)).status)
}

func (c *Child) reap() (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

func setParentDeathSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
