//go:build linux

package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a client process as the test sees it. Its methods are called one at a time.
type process struct {
	number   int
	history  string
	stderr   string
	cmd      *exec.Cmd
	commands io.WriteCloser
	killed   bool
}

// startProcess runs an assignment in a process of its own, with files in dir.
func startProcess(a assignment, dir string) (*process, error) {
	p := &process{
		number:  a.Process,
		history: filepath.Join(dir, fmt.Sprintf("process-%d.jsonl", a.Process)),
		stderr:  filepath.Join(dir, fmt.Sprintf("process-%d.stderr", a.Process)),
	}
	a.History = p.history
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	stderr, err := os.Create(p.stderr)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	p.cmd = exec.CommandContext(context.Background(), os.Args[0]) // the bed ends it
	p.cmd.Env = append(os.Environ(), clientEnv+"="+string(text))
	p.cmd.Stderr = stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // stopped, it would not notice the end of its input
	if p.commands, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// tell sends a command.
func (p *process) tell(command string) error {
	_, err := io.WriteString(p.commands, command+"\n")
	return err
}

// stop freezes the process, and returns when it has stopped.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	stopped, err := p.stopped(0)
	if err == nil && !stopped {
		err = fmt.Errorf("torture: process %d does not stop", p.number)
	}
	return err
}

// freeze lets the process stop itself in the middle of a guarded transaction. If it comes to none in time, it stops where it is.
func (p *process) freeze() error {
	if err := p.tell(cmdFreeze); err != nil {
		return err
	}
	for until := now() + 2*soon; now() < until; time.Sleep(time.Millisecond) {
		if stopped, err := p.stopped(syscall.WNOHANG); stopped || err != nil {
			return err
		}
	}
	return p.stop()
}

// stopped waits until the process has stopped, or with WNOHANG only looks.
func (p *process) stopped(options int) (bool, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED|options, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid == 0:
			return false, err
		case !status.Stopped():
			return false, fmt.Errorf("torture: process %d has ended instead of stopping: %#x; see %s", p.number, int(status), p.stderr)
		default:
			return true, nil
		}
	}
}

func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// kill ends the process as a crash does.
func (p *process) kill() error {
	p.killed = true
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
	return err
}

// finish lets the process take every lock once more, and end. If it does not, it is made to say where it hangs.
func (p *process) finish(patience time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	late := time.After(patience)
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				return nil
			}
			text, _ := os.ReadFile(p.stderr)
			return fmt.Errorf("torture: process %d: %w: %.2000s", p.number, err, text)
		case <-again.C:
			_ = p.resume() // it may have stopped itself a moment too late for the test to see
		case <-late:
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
			late = nil
		}
	}
}
