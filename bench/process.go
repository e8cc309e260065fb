package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// envPart is set in the environment of children.
const envPart = "SQLLOCK_BENCH_PART"

// A part is what a child is.
type part struct {
	Contestant string
	Address    string
	Candidate  bool // else it locks
	Options    options
}

// A reply is what a child has done, and when on the clock that all processes share: before it has begun to release or resign, after a grant or an
// election.
type reply struct {
	Verb string
	At   time.Duration
	Err  string
}

// A process is a child that takes locks, or leads.
type process struct {
	name    string
	cmd     *exec.Cmd
	input   io.WriteCloser
	replies chan reply // closed when it has ended
	dead    bool
}

// spawn returns when the child has opened what it uses.
func spawn(ctx context.Context, p part) (*process, error) {
	env, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program) //nolint:noctx // it ends when its standard input does
	cmd.Env = append(os.Environ(), envPart+"="+string(env))
	cmd.Stderr = os.Stderr
	child := &process{name: p.Contestant, cmd: cmd, replies: make(chan reply, 16)}
	if child.input, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(child.replies)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			var r reply
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				r = reply{Err: fmt.Sprintf("has said %q: %v", lines.Text(), err)}
			}
			child.replies <- r
		}
	}()
	if _, err := child.hear(ctx, "open"); err != nil {
		return nil, errors.Join(err, child.kill())
	}
	return child, nil
}

// ask tells the child to do something, to which it replies when it has.
func (p *process) ask(verb string) error {
	_, err := fmt.Fprintln(p.input, verb)
	return err
}

// hear waits for the next reply, which has to be to verb.
func (p *process) hear(ctx context.Context, verb string) (time.Duration, error) {
	select {
	case r, ok := <-p.replies:
		switch {
		case !ok:
			return 0, fmt.Errorf("a process of %s has ended instead of a reply to %s", p.name, verb)
		case r.Err != "":
			return 0, fmt.Errorf("%s in a process of %s: %s", verb, p.name, r.Err)
		case r.Verb != verb:
			return 0, fmt.Errorf("a process of %s has replied to %s instead of %s", p.name, r.Verb, verb)
		}
		return r.At, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s in a process of %s: %w", verb, p.name, context.Cause(ctx))
	}
}

// do is ask and hear.
func (p *process) do(ctx context.Context, verb string) (time.Duration, error) {
	if err := p.ask(verb); err != nil {
		return 0, err
	}
	return p.hear(ctx, verb)
}

// kill ends the child with SIGKILL.
func (p *process) kill() error {
	if p.dead {
		return nil
	}
	p.dead = true
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	for range p.replies { // all of it has to be read before Wait
		continue
	}
	_ = p.cmd.Wait() // it says that it was killed
	return nil
}

// end lets the child release what it holds, and waits for its end.
func (p *process) end(ctx context.Context) error {
	if p.dead {
		return nil
	}
	_, err := p.do(ctx, "close")
	return errors.Join(err, p.kill())
}
