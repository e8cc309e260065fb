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
	*cli
	backend   string
	nonblock  bool
	wait      time.Duration
	bounded   bool // by wait
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
environment. If the lock is lost, or about to be, the command gets TERM and, after --kill-after, KILL. If sqllock itself is killed,
the command is killed too (on Linux).

On PostgreSQL the lock is a session lock (advisory): it needs no tables, and ends with our connection. A lease (table) needs
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
	f.StringVar(&e.backend, "backend", "", "how the lock is kept: advisory (the default on PostgreSQL) or table (the default on SQLite)")
	f.BoolVarP(&e.nonblock, "nonblock", "n", false, "do not wait")
	f.DurationVarP(&e.wait, "wait", "w", 0, "wait no longer than this, connecting included (default: for ever)")
	f.IntVarP(&e.conflict, "conflict-exit-code", "E", exitConflict, "exit code if the lock is not acquired")
	f.BoolVarP(&e.shared, "shared", "s", false, "a reader's lock")
	f.IntVar(&e.slots, "slots", 0, "one of so many permits; everybody must give the same number")
	f.DurationVar(&e.ttl, "ttl", sqllock.DefaultTTL, "after a crash the lock is free in at most this time; of --backend table")
	f.DurationVar(&e.atLeast, "at-least", 0, "keep the lock for so long although the command has ended; of --backend table")
	f.DurationVar(&e.killAfter, "kill-after", 0, "time between TERM and KILL when the lock is lost (default: a quarter of --ttl, at most 10s; 3.75s with advisory)")
	f.StringVar(&e.owner, "owner", "", "how this process calls itself in the database (default: HOST/PID)")
	return cmd
}

func (e *execution) run(cmd *cobra.Command, args []string) error {
	name, command, err := split(args, cmd.ArgsLenAtDash() == 0)
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
	db, err := e.target.database(e.warn)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	backend, disconnect, err := e.target.backend(ctx, db, e.backend)
	if err != nil {
		return err
	}
	client := []sqllock.ClientOption{sqllock.Owner(e.owner), e.logger()}
	if cmd.Flags().Changed("ttl") {
		client = append(client, sqllock.TTL(e.ttl))
	}
	if !backend.Capabilities().Leases {
		for _, flag := range []string{"ttl", "at-least"} {
			if cmd.Flags().Changed(flag) {
				return usage(fmt.Errorf("--%s is for leases, and a session lock ends with its session: it needs --backend %s", flag, kindTable))
			}
		}
	}
	locks := sqllock.New(backend, client...)

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
	case errors.Is(err, sqllock.ErrTooMany):
		return fmt.Errorf("%w; --backend %s takes no room there", err, kindTable)
	}
	return err
}

// split takes NAME [--] COMMAND [ARG...] apart. Where a -- stands in front of NAME, the one behind it is not optional: otherwise
// `exec $NAME -- rm file` would, for want of a NAME, lock rm and run file.
func split(args []string, dashed bool) (name string, command []string, err error) {
	if len(args) == 0 {
		return "", nil, errors.New("exec needs the NAME of a lock and a COMMAND")
	}
	name, command = args[0], args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	} else if dashed {
		return "", nil, errors.New("no NAME before --, or no -- between NAME and COMMAND: exec [flags] [--] NAME -- COMMAND")
	}
	if len(command) == 0 {
		return "", nil, errors.New("exec needs a COMMAND after the NAME")
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
	case e.ttl < sqllock.MinTTL || e.ttl > sqllock.MaxTTL:
		return nil, fmt.Errorf("--ttl %v: the time is between %v and %v", e.ttl, sqllock.MinTTL, sqllock.MaxTTL)
	}
	e.bounded = given("wait")
	e.nonblock = e.nonblock || e.bounded && e.wait == 0
	if e.owner == "" {
		e.owner = sqllock.DefaultOwner()
	}
	if !given("kill-after") {
		e.killAfter = min(e.ttl/4, 10*time.Second)
	}
	// A renewal that succeeds in time leaves more than half of the TTL: the grace must fit into what is left when one has failed.
	if e.killAfter < 0 || e.killAfter > e.ttl/3 {
		return nil, fmt.Errorf("--kill-after %v: the time is between 0 and %v, a third of --ttl, or of a session lock's %v", e.killAfter, e.ttl/3, sessionTimeout)
	}
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
		if err != nil {
			e.say("waiting: %v", err)
		}
		lock, err = locks.Acquire(ctx, name, opts...)
	}
	if errors.Is(err, sqllock.ErrNotAcquired) {
		return nil, &exitError{e.conflict, err}
	}
	return lock, err
}
