//go:build unix

package locktest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// stopProcess returns when the process has stopped, not when it was asked to.
func stopProcess(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case !status.Stopped():
			return fmt.Errorf("locktest: the helper process has ended instead of stopping: %#x", int(status))
		default:
			return nil
		}
	}
}

func resumeProcess(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
