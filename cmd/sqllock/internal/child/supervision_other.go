//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package child

import "os"

// supervision is one process, without a group.
type supervision struct {
	process *os.Process
}

func (c *Child) start(path string, cmd Command, files []*os.File) error {
	env := append([]string{}, cmd.Env...) // to os.StartProcess, nil means our own environment
	process, err := os.StartProcess(path, cmd.Args, &os.ProcAttr{Env: env, Files: files})
	if err != nil {
		return &StartError{Program: cmd.Args[0], Code: CodeCannotStart, Err: err}
	}
	c.process, c.pid = process, process.Pid
	go c.supervise()
	return nil
}

func (c *Child) supervise() {
	state, err := c.process.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	if err != nil {
		c.end(-1, err)
		return
	}
	c.end(state.ExitCode(), nil)
}

// send kills: these systems have no signals that a program could be expected to understand.
func (c *Child) send(os.Signal) { _ = c.process.Kill() }

func (c *Child) askToEnd() { c.send(os.Kill) }

// RunWatchdogIfAsked does nothing: there is no watchdog on this system.
func RunWatchdogIfAsked() {}
