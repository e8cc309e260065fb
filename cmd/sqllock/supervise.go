package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqllock/toolkit/cmd/sqllock/internal/child"
	"github.com/sqllock/toolkit/sqllock"
)

// errLost ends the program after its command was ended because of the lock. What happened has been told when it happened.
var errLost = &exitError{code: exitLost}

// supervise runs the command while the lock is held. Its error is errLost if the command was ended for want of the lock.
func (h *holder) supervise(lock *sqllock.Lock, command []string, signals <-chan os.Signal) error {
	if err := lock.Err(); err != nil { // we may have been stopped since it was granted
		h.warn("%v; the command was not started", err)
		return errLost
	}
	running, err := child.Start(child.Command{
		Args: command, Env: environment(lock, h.owner),
		Stdin: h.stdin, Stdout: h.stdout, Stderr: h.stderr,
		Resume: func() bool { return lock.Err() == nil },
	})
	var start *child.StartError
	switch {
	case errors.As(err, &start):
		return &exitError{start.Code, fmt.Errorf("cannot start %q: %w", start.Program, start.Err)}
	case err != nil:
		return &exitError{exitSystem, err}
	}
	lost := h.watch(lock, running, signals)
	code, err := running.Wait()
	switch {
	case lost:
		return errLost
	case err != nil:
		return &exitError{exitSystem, err}
	case code != 0:
		return &exitError{code: code}
	}
	return nil
}

// glance is how often the clock is looked at: timers stand still while the machine is suspended, leases do not.
const glance = time.Second

// watch forwards signals until the command has ended. It has the command ended if the lock was lost, or could be before the command
// could have been killed, and returns true then.
func (h *holder) watch(lock *sqllock.Lock, running *child.Child, signals <-chan os.Signal) (lost bool) {
	// The command gets its grace as long as the lease lasts, and not a moment longer. A session lock has no such end: when it is lost it
	// may be somebody else's, and then no grace is short enough, or nobody's for a time that only the server knows.
	end := func(why error) {
		grace := h.killAfter
		if deadline := lock.Deadline(); !deadline.IsZero() {
			grace = max(min(grace, time.Until(deadline)), 0)
		}
		running.Terminate(grace)
		if !lost {
			lost = true
			h.warn("%v; ending the command", why)
		}
	}
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	ended := lock.Done()
	for {
		select {
		case <-running.Done():
			return lost
		case sig := <-signals:
			h.interrupted = true
			running.Signal(sig)
		case <-ended:
			ended = nil
			end(lock.Err())
		case <-alarm.C:
			deadline := lock.Deadline()
			if deadline.IsZero() {
				_ = lock.Err() // if the clock says that it is lost, this closes lock.Done
				alarm.Reset(glance)
			} else if left := time.Until(deadline) - h.killAfter; left > 0 {
				alarm.Reset(min(left, glance))
			} else {
				end(fmt.Errorf("the lease on %q could not be renewed in time", lock.Name()))
			}
		}
	}
}

// environment is ours, without our credentials and with what the command may want to know.
func environment(lock *sqllock.Lock, owner string) []string {
	set := [][2]string{
		{"SQLLOCK_NAME", lock.Name()},
		{"SQLLOCK_TOKEN", strconv.FormatInt(lock.Token(), 10)},
		{"SQLLOCK_OWNER", owner},
	}
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == dsnVariable || slices.ContainsFunc(set, func(s [2]string) bool { return s[0] == name })
	})
	for _, s := range set {
		env = append(env, s[0]+"="+s[1])
	}
	return env
}
