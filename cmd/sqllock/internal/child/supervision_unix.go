//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package child

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// supervision is what a Child consists of on Unix besides its process.
type supervision struct {
	tty    *terminal // nil without a controlling terminal
	dog    *watchdog
	reaper reaper
}

func (c *Child) start(path string, cmd Command, files []*os.File) error {
	dog, err := startWatchdog()
	if err != nil {
		return err
	}
	c.dog = dog
	c.tty = openTerminal()
	started := make(chan error)
	go c.supervise(path, cmd, files, started)
	return <-started
}

// supervise forks the command and sees it through to its end, on one thread: the parent-death signal
// comes when the *thread* that forked ends, so that thread must last as long as the command.
func (c *Child) supervise(path string, cmd Command, files []*os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer c.tty.close()
	c.reaper.prepare()
	defer c.reaper.discard()
	c.tty.catchStops()
	defer c.tty.releaseStops()

	if err := c.fork(path, cmd, files); err != nil {
		c.dog.dismiss()
		started <- err
		return
	}
	defer c.tty.forwardStops(c)()
	started <- nil

	for {
		stop, err := c.awaitChange()
		if err != nil || stop == 0 {
			c.bury(err)
			return
		}
		c.stopped(stop)
	}
}

func (c *Child) fork(path string, cmd Command, files []*os.File) error {
	attr := &syscall.ProcAttr{Env: cmd.Env, Sys: c.tty.attr(files)}
	setParentDeathSignal(attr.Sys)
	for _, file := range files {
		attr.Files = append(attr.Files, file.Fd())
	}
	pid, err := syscall.ForkExec(path, cmd.Args, attr)
	runtime.KeepAlive(files)
	if err != nil {
		// lookup has found the file, so even ENOENT (a script whose interpreter is missing) is not "command not found".
		if attr.Sys.Foreground {
			c.tty.give(c.tty.ours) // the fork had got it already when the exec failed
		}
		return &StartError{Program: cmd.Args[0], Code: CodeCannotStart, Err: err}
	}
	c.pid = pid
	if err := c.dog.guard(pid); err != nil {
		c.send(syscall.SIGKILL)
		c.tty.takeBack(pid)
		_, _ = c.reap()
		return err
	}
	return nil
}

// bury does in order what must happen between the leader's death and the reuse of its number. With an error from
// awaitChange that number may be anybody's already.
func (c *Child) bury(lost error) {
	if lost == nil {
		c.tty.takeBack(c.pid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if lost == nil && c.terminating {
		c.send(syscall.SIGKILL)
	}
	c.dog.dismiss()
	status, err := c.reap()
	c.reaped = true
	switch {
	case lost != nil || err != nil:
		c.end(-1, fmt.Errorf("child: lost track of the command: %w", errors.Join(lost, err)))
	case status.Signaled():
		c.end(128+int(status.Signal()), nil)
	default:
		c.end(status.ExitStatus(), nil)
	}
}

// send needs c.mu once the Child is shared. It fails when nobody is left, and when a member has changed its user ID;
// there is nothing to do about either.
func (c *Child) send(sig os.Signal) {
	if number, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(-c.pid, number)
	}
}

func (c *Child) askToEnd() {
	c.send(syscall.SIGTERM)
	c.send(syscall.SIGCONT) // who is stopped could not use its grace
}
