package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqllock/toolkit/sqllock"
)

// execution is sqllock exec.
type execution struct {
	holder
	nonblock bool
	wait     time.Duration
	bounded  bool // by wait
	conflict int
	shared   bool
	slots    int
	atLeast  time.Duration
}

func (c *cli) execCommand() *cobra.Command {
	e := &execution{holder: holder{cli: c}}
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME [--] COMMAND [ARG...]",
		Short: "Run a command while a lock is held",
		Long: `Run a command while a lock is held.

The command gets the terminal, the signals TERM, INT, HUP and QUIT, and SQLLOCK_NAME, SQLLOCK_TOKEN and SQLLOCK_OWNER in its
environment. If the lock is lost, or about to be, the command gets TERM and, after --kill-after, KILL. If sqllock itself is killed,
the command is killed too (on Linux).

On PostgreSQL and MySQL the lock is a session lock (advisory, named): it needs no tables, and ends with our connection. A lease (table) needs
sqllock migrate up, survives the connection, works through a pooler in transaction mode, and is what --ttl and --at-least are for.
The two do not exclude each other: everybody who wants a name must use the same.

The exit code is the command's, or 1 (-E) if the lock was not acquired, 75 if it was lost, 64 for wrong usage, 69 if the
database cannot be reached, 78 if its tables are missing or session locks would exclude nobody there, 126 or 127 if the command
cannot be started, 128 + n for signal n.`,
		Example: `  sqllock exec nightly-report -- ./report.sh
  sqllock exec --dsn-file db.dsn -w 30s deploy -- ./deploy.sh --verbose
  sqllock exec -n --slots 3 downloads -- curl -O https://example.com/file`,
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows NAME belongs to the command
	e.register(f)
	f.BoolVarP(&e.nonblock, "nonblock", "n", false, "do not wait")
	f.DurationVarP(&e.wait, "wait", "w", 0, "wait no longer than this, connecting included (default: for ever)")
	f.IntVarP(&e.conflict, "conflict-exit-code", "E", exitConflict, "exit code if the lock is not acquired")
	f.BoolVarP(&e.shared, "shared", "s", false, "a reader's lock")
	f.IntVar(&e.slots, "slots", 0, "one of so many permits; everybody must give the same number")
	f.DurationVar(&e.atLeast, "at-least", 0, "keep the lock for so long although the command has ended; of --backend table")
	return cmd
}

func (e *execution) run(cmd *cobra.Command, args []string) error {
	name, command, err := split(cmd.Name(), args, cmd.ArgsLenAtDash() == 0)
	if err != nil {
		return usage(err)
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	opts, err := e.options(cmd)
	if err != nil {
		return usage(err)
	}
	ctx := cmd.Context()
	locks, disconnect, err := e.open(ctx, cmd.Flags().Changed)
	if err != nil {
		return err
	}

	surviveBrokenPipe()
	err = advise(e.runLocked(ctx, locks, name, command, opts))
	// With the lock lost there is nothing left to tell the database, which may not even answer.
	if !errors.Is(err, errLost) {
		_ = locks.Close(ctx)
		disconnect()
	}
	return err
}

// advise adds what the library, which does not know of our flags, cannot say. The exit code stays that of the error.
func advise(err error) error {
	switch {
	case errors.Is(err, sqllock.ErrRefused):
		return fmt.Errorf("%w; --backend %s needs no session of its own, but the tables of sqllock migrate up", err, kindTable)
	case errors.Is(err, sqllock.ErrUnsupported):
		return fmt.Errorf("%w; --backend %s can do it", err, kindTable)
	case errors.Is(err, sqllock.ErrTooMany):
		return fmt.Errorf("%w; --backend %s takes no room there", err, kindTable)
	}
	return err
}

// split takes the subcommand's NAME [--] COMMAND [ARG...] apart. Where a -- stands in front of NAME, the one behind it is not optional: otherwise
// `exec $NAME -- rm file` would, for want of a NAME, lock rm and run file.
func split(subcommand string, args []string, dashed bool) (name string, command []string, err error) {
	if len(args) == 0 {
		return "", nil, fmt.Errorf("%s needs the NAME of a lock and a COMMAND", subcommand)
	}
	name, command = args[0], args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	} else if dashed {
		return "", nil, fmt.Errorf("no NAME before --, or no -- between NAME and COMMAND: %s [flags] [--] NAME -- COMMAND", subcommand)
	}
	if len(command) == 0 {
		return "", nil, fmt.Errorf("%s needs a COMMAND after the NAME", subcommand)
	}
	return name, command, nil
}

// options checks the flags and makes the lock's options of them.
func (e *execution) options(cmd *cobra.Command) ([]sqllock.Option, error) {
	given := cmd.Flags().Changed
	switch {
	case e.shared && given("slots"):
		return nil, errors.New("--shared and --slots exclude each other")
	case e.nonblock && given("wait"):
		return nil, errors.New("--nonblock and --wait exclude each other")
	case e.conflict < 0 || e.conflict > 255:
		return nil, fmt.Errorf("--conflict-exit-code %d: a code is between 0 and 255", e.conflict)
	case e.wait < 0:
		return nil, fmt.Errorf("--wait %v is negative", e.wait)
	}
	if err := e.check(given); err != nil {
		return nil, err
	}
	e.bounded = given("wait")
	e.nonblock = e.nonblock || e.bounded && e.wait == 0
	var opts []sqllock.Option
	if e.shared {
		opts = append(opts, sqllock.Shared())
	}
	if given("slots") {
		opts = append(opts, sqllock.Permits(e.slots))
	}
	if given("at-least") {
		opts = append(opts, sqllock.AtLeast(e.atLeast))
	}
	return opts, nil
}

// runLocked acquires the lock, runs the command and releases the lock.
func (e *execution) runLocked(ctx context.Context, locks *sqllock.Client, name string, command []string, opts []sqllock.Option) error {
	signals := catchSignals()
	var lock *sqllock.Lock
	err := untilSignal(ctx, signals, func(ctx context.Context) (err error) {
		lock, err = e.acquire(ctx, locks, name, opts)
		return err
	})
	if err == nil {
		if token := lock.Token(); token != 0 {
			e.say("acquired %q, token %d", name, token)
		} else {
			e.say("acquired %q", name)
		}
		err = e.supervise(lock, command, signals)
	}
	if lock == nil || errors.Is(err, errLost) {
		return err
	}
	switch release := lock.Release(ctx); {
	case errors.Is(release, sqllock.ErrLost):
		e.warn("%v", release)
		return errLost
	case release != nil:
		e.warn("%v; the lock ends by itself", release)
	default:
		e.say("released %q", name)
	}
	return err
}

// acquire waits for the lock as the flags say.
func (e *execution) acquire(ctx context.Context, locks *sqllock.Client, name string, opts []sqllock.Option) (*sqllock.Lock, error) {
	if e.bounded && !e.nonblock {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.wait, fmt.Errorf("waited %v", e.wait))
		defer cancel()
	}
	// What is wrong with the database should not look like a lock that cannot be had.
	if err := locks.Ping(ctx); err != nil {
		return nil, err
	}
	var lock *sqllock.Lock
	var err error
	if e.nonblock || e.verbose {
		lock, err = locks.TryAcquire(ctx, name, opts...)
	}
	if !e.nonblock && lock == nil && (err == nil || errors.Is(err, sqllock.ErrNotAcquired)) {
		refused := err
		if refused != nil {
			e.say("waiting: %v", refused)
		}
		lock, err = locks.Acquire(ctx, name, opts...)
		if cause := context.Cause(ctx); refused != nil && cause != nil && errors.Is(err, cause) && !errors.Is(err, sqllock.ErrNotAcquired) {
			err = refused // all that there was time for
		}
	}
	if errors.Is(err, sqllock.ErrNotAcquired) {
		return nil, &exitError{e.conflict, err}
	}
	return lock, err
}
