package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqllock/toolkit/cmd/sqllock/internal/child"
	"github.com/sqllock/toolkit/sqllock"
)

// execution is sqllock exec.
type execution struct {
	*cli
	backend   string
	nonblock  bool
	wait      time.Duration
	conflict  int
	shared    bool
	slots     int
	ttl       time.Duration
	atLeast   time.Duration
	killAfter time.Duration
	owner     string
}

func (c *cli) execCommand() *cobra.Command {
	e := &execution{cli: c}
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME [--] COMMAND [ARG...]",
		Short: "Run a command while a lock is held",
		Long: `Run a command while a lock is held.

The command gets the terminal, the signals TERM, INT, HUP and QUIT, and SQLLOCK_NAME, SQLLOCK_TOKEN and SQLLOCK_OWNER in its
environment. If the lock is about to be lost the command gets TERM and, after --kill-after, KILL: before anybody else can have
the lock. If sqllock itself is killed, the command is killed too (on Linux).`,
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows NAME belongs to the command
	f.StringVar(&e.backend, "backend", "", "how the lock is kept: table (the default on SQLite)")
	f.BoolVarP(&e.nonblock, "nonblock", "n", false, "do not wait")
	f.DurationVarP(&e.wait, "wait", "w", 0, "wait no longer than this; 0 is for ever")
	f.IntVarP(&e.conflict, "conflict-exit-code", "E", exitConflict, "exit code if the lock is not acquired")
	f.BoolVarP(&e.shared, "shared", "s", false, "a reader's lock")
	f.IntVar(&e.slots, "slots", 0, "one of so many permits")
	f.DurationVar(&e.ttl, "ttl", sqllock.DefaultTTL, "after a crash the lock is free in at most this time")
	f.DurationVar(&e.atLeast, "at-least", 0, "keep the lock for so long although the command has ended")
	f.DurationVar(&e.killAfter, "kill-after", 0, "time between TERM and KILL when the lock is lost (default a quarter of --ttl, at most 10s)")
	f.StringVar(&e.owner, "owner", "", "how this process calls itself in the database (default HOST/PID)")
	return cmd
}

func (e *execution) run(cmd *cobra.Command, args []string) error {
	name, command, err := split(args)
	if err != nil {
		return usage(err)
	}
	opts, err := e.options(cmd)
	if err != nil {
		return usage(err)
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	ctx := cmd.Context()
	backend, disconnect, err := e.target.backend(ctx, e.backend, e.namespace, e.warn)
	if err != nil {
		return err
	}
	defer disconnect()
	clientOpts := []sqllock.ClientOption{e.logger()}
	if e.owner != "" {
		clientOpts = append(clientOpts, sqllock.Owner(e.owner))
	}
	locks := sqllock.New(backend, clientOpts...)
	defer func() { _ = locks.Close(ctx) }()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, child.ForwardedSignals()...)
	defer signal.Stop(signals)
	if err := locks.Ping(ctx); err != nil {
		return err
	}
	lock, err := e.acquire(ctx, locks, name, opts, signals)
	if err != nil {
		return err
	}
	e.say("acquired %q, token %d", name, lock.Token())
	return e.runLocked(ctx, lock, command, signals)
}

// split takes NAME [--] COMMAND [ARG...] apart.
func split(args []string) (name string, command []string, err error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return "", nil, errors.New("exec needs the NAME of a lock and a COMMAND")
	}
	name, command = args[0], args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return "", nil, errors.New("exec needs a COMMAND after the NAME")
	}
	return name, command, nil
}

func (e *execution) options(cmd *cobra.Command) ([]sqllock.Option, error) {
	opts := []sqllock.Option{sqllock.TTL(e.ttl)}
	switch {
	case e.shared && cmd.Flags().Changed("slots"):
		return nil, errors.New("--shared and --slots exclude each other")
	case e.nonblock && e.wait != 0:
		return nil, errors.New("--nonblock and --wait exclude each other")
	case e.conflict < 0 || e.conflict > 255:
		return nil, fmt.Errorf("--conflict-exit-code %d: a code is between 0 and 255", e.conflict)
	case e.wait < 0:
		return nil, fmt.Errorf("--wait %v is negative", e.wait)
	}
	if e.shared {
		opts = append(opts, sqllock.Shared())
	}
	if cmd.Flags().Changed("slots") {
		opts = append(opts, sqllock.Permits(e.slots))
	}
	if e.atLeast != 0 {
		opts = append(opts, sqllock.AtLeast(e.atLeast))
	}
	if !cmd.Flags().Changed("kill-after") {
		e.killAfter = min(e.ttl/4, 10*time.Second)
	}
	// A renewal that succeeds in time leaves more than half of the TTL: the grace must fit into what is left when one has failed.
	if e.killAfter < 0 || e.killAfter > e.ttl/3 {
		return nil, fmt.Errorf("--kill-after %v: the time is between 0 and a third of --ttl (%v)", e.killAfter, e.ttl)
	}
	return opts, nil
}

// acquire waits for the lock as the flags say; a signal ends the waiting.
func (e *execution) acquire(ctx context.Context, locks *sqllock.Client, name string, opts []sqllock.Option, signals <-chan os.Signal) (*sqllock.Lock, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case sig := <-signals:
			cancel(interrupted{sig})
		case <-finished:
		}
	}()

	var lock *sqllock.Lock
	var err error
	if e.nonblock || e.verbose {
		lock, err = locks.TryAcquire(ctx, name, opts...)
	}
	if lock == nil && !e.nonblock && (err == nil || errors.Is(err, sqllock.ErrNotAcquired)) {
		if err != nil {
			e.say("waiting: %v", err)
		}
		if e.wait > 0 {
			opts = append(opts, sqllock.Wait(e.wait))
		}
		lock, err = locks.Acquire(ctx, name, opts...)
	}
	var by interrupted
	switch {
	case err == nil:
		return lock, nil
	case errors.As(err, &by):
		return nil, &exitError{exitSignal + by.number(), err}
	case errors.Is(err, sqllock.ErrNotAcquired):
		return nil, &exitError{e.conflict, err}
	}
	return nil, err
}

// interrupted is the cause of a wait that a signal ended.
type interrupted struct{ sig os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.sig.String() }

func (i interrupted) number() int {
	if n, ok := i.sig.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// runLocked runs the command while the lock is held, and ends it when the lock is about to be lost.
func (e *execution) runLocked(ctx context.Context, lock *sqllock.Lock, command []string, signals <-chan os.Signal) error {
	running, err := child.Start(child.Command{
		Args: command, Env: environment(lock, e.ownerName()),
		Stdin: e.stdin, Stdout: e.stdout, Stderr: e.stderr,
		Resume: func() bool { return lock.Err() == nil },
	})
	if err != nil {
		return errors.Join(err, lock.Release(ctx))
	}
	lost := e.supervise(lock, running, signals)
	code, err := running.Wait()
	if err != nil {
		return errors.Join(err, lock.Release(ctx))
	}
	release := lock.Release(ctx)
	switch {
	case lost != nil:
		return &exitError{exitLost, lost}
	case errors.Is(release, sqllock.ErrLost):
		return &exitError{exitLost, release}
	case release != nil:
		e.warn("%v; the lock ends by itself", release)
	default:
		e.say("released %q", lock.Name())
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// supervise forwards signals until the command has ended. It returns an error if the lock was lost, or could be before the command could
// have been killed, and has the command ended then.
func (e *execution) supervise(lock *sqllock.Lock, running *child.Child, signals <-chan os.Signal) error {
	alarm := time.NewTimer(e.slack(lock))
	defer alarm.Stop()
	var lost error
	ended := lock.Done()
	for {
		select {
		case <-running.Done():
			return lost
		case sig := <-signals:
			running.Signal(sig)
		case <-ended:
			ended = nil
			if lost == nil {
				lost = lock.Err()
				e.warn("%v; ending the command", lost)
			}
			running.Terminate(e.killAfter)
		case <-alarm.C:
			left := e.slack(lock)
			if left > 0 {
				alarm.Reset(left)
				continue
			}
			lost = fmt.Errorf("the lease on %q could not be renewed in time", lock.Name())
			e.warn("%v; ending the command", lost)
			running.Terminate(max(time.Until(lock.Deadline()), 0))
		}
	}
}

// slack is how long the command may go on if the lock is not renewed.
func (e *execution) slack(lock *sqllock.Lock) time.Duration {
	return time.Until(lock.Deadline()) - e.killAfter
}

func (e *execution) ownerName() string {
	if e.owner != "" {
		return e.owner
	}
	return sqllock.DefaultOwner()
}

// environment is ours, without the credentials, and with what the command may want to know.
func environment(lock *sqllock.Lock, owner string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SQLLOCK_") })
	return append(env,
		"SQLLOCK_NAME="+lock.Name(),
		"SQLLOCK_TOKEN="+strconv.FormatInt(lock.Token(), 10),
		"SQLLOCK_OWNER="+owner)
}
