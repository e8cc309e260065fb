package testdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// startTimeout is ample: a server is ready in half a second, but the machine may
// be busy with everybody else's tests.
const startTimeout = time.Minute

// errPortTaken says that a server has found its port in use.
var errPortTaken = errors.New("testdb: the port is in use")

// A daemon is a server program that runs in a directory of its own. Its methods
// are not safe for concurrent use.
type daemon struct {
	name string // for people
	dir  string // contains data and the log, and is the working directory
	port int

	env   []string // what its program is run with, besides what all have
	clock string   // the file that sets its own clock; empty: it has the machine's

	process *os.Process
	exited  chan struct{} // closed when process has ended; nil before the first start
	logged  int64         // bytes of log from before process
}

func (d *daemon) dataDir() string { return filepath.Join(d.dir, "data") }

func (d *daemon) logFile() string { return filepath.Join(d.dir, "log") }

func (d *daemon) startOnFreePort(start func() error) error {
	const tries = 10
	var err error
	for range tries {
		if d.port, err = freePort(); err != nil {
			return err
		}
		if err = start(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// launched is one goroutine for each server program that runs.
var launched sync.WaitGroup

// launch runs the program and returns when it is ready.
func (d *daemon) launch(program string, args []string, ready func() bool) error {
	if d.running() {
		return fmt.Errorf("testdb: %s is running already", d.name)
	}
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	defer log.Close()
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	cmd := exec.Command(program, args...)
	if err := asServer(cmd, d.dir); err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("testdb: start %s: %w", d.name, err)
	}
	d.process, d.exited, d.logged = cmd.Process, make(chan struct{}), before.Size()
	exited := d.exited
	launched.Go(func() {
		_ = cmd.Wait()
		close(exited)
	})
	return d.awaitReady(ready)
}

// awaitReady watches what the server itself says. To connect would be less
// certain: if the port was taken meanwhile, whoever took it might answer.
func (d *daemon) awaitReady(ready func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(startTimeout)
	for !ready() {
		select {
		case <-tick.C:
		case <-d.exited:
			log := d.logFrom(d.logged)
			if bytes.Contains(log, []byte("Address already in use")) {
				return errPortTaken
			}
			return fmt.Errorf("testdb: %s has ended instead of starting; its log:\n%s", d.name, tail(log))
		case <-timeout:
			return fmt.Errorf("testdb: %s is not ready after %v; its log:\n%s", d.name, startTimeout, tail(d.logFrom(d.logged)))
		}
	}
	return nil
}

func (d *daemon) running() bool {
	if d.exited == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// end sends the signal on which the program shuts down, and returns when it has.
// A frozen server thaws for it.
func (d *daemon) end(signal os.Signal) error {
	if !d.running() {
		return nil
	}
	if err := thawServer(d.dir); err != nil {
		return err
	}
	if err := d.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("testdb: stop %s: %w", d.name, err)
	}
	select {
	case <-d.exited:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("testdb: %s has not stopped after %v; its log:\n%s", d.name, startTimeout, tail(d.logFrom(0)))
	}
}

// kill ends the server at one blow.
func (d *daemon) kill() error {
	if err := killServer(d.dir); err != nil {
		return err
	}
	if d.exited != nil {
		<-d.exited
	}
	return nil
}

// remove ends the server and removes its directory.
func (d *daemon) remove() error {
	if err := d.kill(); err != nil {
		return err
	}
	return removeServerDir(d.dir)
}

// logFrom returns what the server has logged since its log was offset bytes long.
func (d *daemon) logFrom(offset int64) []byte {
	log, err := os.ReadFile(d.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	return log[min(offset, int64(len(log))):]
}

// tail is as much of a log as people want to read.
func tail(log []byte) []byte {
	const enough = 4096
	return log[max(0, len(log)-enough):]
}
