package child

import (
	"errors"
	"os"
	"sync"
	"time"
)

// Child is a command that was started. All methods are safe for concurrent use.
type Child struct {
	pid    int
	resume func() bool
	supervision

	done     chan struct{}
	exitCode int   // written before done is closed
	err      error // likewise

	mu sync.Mutex
	// reaped: the pid may belong to somebody else by now. Set under mu, which whoever sends a signal holds.
	reaped      bool
	terminating bool
	killTimer   *time.Timer
	killAt      time.Time
}

// Start starts the command. The error is a *StartError if the command itself is at fault; any other means that
// supervision could not be set up. In both cases nothing runs.
func Start(cmd Command) (*Child, error) {
	if len(cmd.Args) == 0 {
		return nil, errors.New("child: no command given")
	}
	path, err := lookup(cmd.Args[0])
	if err != nil {
		return nil, err
	}
	files, closeNull, err := cmd.files()
	if err != nil {
		return nil, err
	}
	defer closeNull()
	c := &Child{resume: cmd.Resume, done: make(chan struct{})}
	if err := c.start(path, cmd, files); err != nil {
		return nil, err
	}
	return c, nil
}

// files are the command's descriptors 0, 1 and 2.
func (cmd Command) files() (files []*os.File, closeNull func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, file := range []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if file == nil {
			file = null
		}
		files = append(files, file)
	}
	return files, func() { _ = null.Close() }, nil
}

// Pid is the process ID of the command, and on Unix that of its process group.
func (c *Child) Pid() int { return c.pid }

// Done is closed when the command has ended, its terminal was taken back and the watchdog is gone.
func (c *Child) Done() <-chan struct{} { return c.done }

// Wait blocks until Done and returns the command's exit code, or 128 + the number of the signal that killed it. The
// error is not nil only if the system lost track of the command; the code is then -1.
func (c *Child) Wait() (exitCode int, err error) {
	<-c.done
	return c.exitCode, c.err
}

// Signal sends the signal to the command's process group. After the command has ended it does nothing.
// On Windows every signal kills.
func (c *Child) Signal(sig os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		c.send(sig)
	}
}

// Terminate asks the process group to end (TERM, and CONT for those who are stopped) and kills it after the grace. What
// is left of the group when the command itself has ended is killed at once, whatever the grace. Terminate does not
// wait; see Done.
//
// A further call can bring the kill forward, not put it off.
func (c *Child) Terminate(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return
	}
	killAt := time.Now().Add(grace)
	if c.terminating {
		if !killAt.Before(c.killAt) {
			return
		}
		c.killTimer.Stop()
	} else {
		c.terminating = true
		c.askToEnd()
	}
	c.killAt = killAt
	c.killTimer = time.AfterFunc(grace, func() { c.Signal(os.Kill) })
}

func (c *Child) isTerminating() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.terminating
}

// end publishes the result. The pid must have been reaped.
func (c *Child) end(exitCode int, err error) {
	c.exitCode, c.err = exitCode, err
	if c.killTimer != nil {
		c.killTimer.Stop()
	}
	close(c.done)
}
